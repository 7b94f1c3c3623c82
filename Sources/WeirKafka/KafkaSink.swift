import WeirCore

/// Topics as the engine publishes to them: an idempotent producer that leaves no gap.
package struct KafkaSink: RecordSink {
  private let producer: KafkaProducer

  package init(_ producer: KafkaProducer) { self.producer = producer }

  /// Makes the client; that brokers are in reach shows only when records are sent.
  package static func connect(_ settings: KafkaProducerSettings, observer: KafkaObserver) throws -> KafkaSink {
    do { return KafkaSink(try KafkaProducer(settings, observer: observer)) } catch { throw error.weirError }
  }

  package func send(_ records: [SinkRecord], to topic: String) async throws {
    var batch = KafkaBatch(topic: topic)
    for record in records {
      batch.append(key: record.key, value: record.value, headers: record.headers.map { ($0.name, $0.value) })
    }
    do { try await producer.send(batch) } catch let error as KafkaError { throw KafkaSink.translated(error) }
  }

  package func flush(within nanoseconds: Int64) async throws -> Bool {
    do {
      try await producer.flush(within: nanoseconds)
      return true
    } catch let error as KafkaError {
      let isLate = error.name == "_TIMED_OUT" && producer.counts.failed == 0
      if isLate { return false }
      throw KafkaSink.translated(error)
    }
  }

  package func close() async { await producer.close() }

  /// A producer that is broken for good is replaced, and what it did not deliver is sent again.
  private static func translated(_ error: KafkaError) -> WeirError {
    var translated = error.weirError
    guard error.fatalTo == .worker else { return translated }
    translated.code = .unavailable
    translated.fatalTo = .operation
    translated.advice = "A new producer sends the unacknowledged records again."
    return translated
  }
}
