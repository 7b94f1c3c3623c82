import WeirKafka

/// How many records an outlet has taken, and what became of them.
package struct LoadDelivery: Sendable {
  package var sent: Int64 = 0
  package var delivered: Int64 = 0
  package var failed: Int64 = 0
  /// Sent again because the target refused them at first.
  package var repeated: Int64 = 0

  var waiting: Int64 { sent - delivered - failed }
}

/// What carries the records of a load to their target.
package protocol LoadOutlet: Sendable {
  var delivery: LoadDelivery { get }
  /// Carries records until ``flush(within:)``; returns at once where the client does that by itself.
  func carry() async throws
  /// Waits until everything that was sent is delivered or given up.
  func flush(within nanoseconds: Int64) async throws
}

extension KafkaProducer: LoadOutlet {
  package var delivery: LoadDelivery {
    let counts = counts
    return LoadDelivery(sent: Int64(counts.sent), delivered: Int64(counts.delivered), failed: Int64(counts.failed))
  }

  package func carry() async throws {}
}
