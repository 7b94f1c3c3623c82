import Synchronization

/// Requests that were sent, by service, operation and outcome: what metrics show, and what AWS bills. Each attempt counts.
package struct AWSRequestCounts: Sendable, Equatable {
  package enum Outcome: String, Sendable, CaseIterable {
    /// 2xx and 304.
    case succeeded
    /// 404.
    case notFound = "not_found"
    /// 409 and 412, a condition of DynamoDB.
    case conflict
    case throttled
    /// Other answers of 3xx and 4xx.
    case refused
    /// 5xx.
    case failed
    /// No complete answer.
    case unanswered
  }

  package struct Key: Sendable, Hashable {
    package var service: String
    /// ``AWSRequest/operation``.
    package var operation: String
    package var outcome: Outcome

    package init(service: String, operation: String, outcome: Outcome) {
      self.service = service
      self.operation = operation
      self.outcome = outcome
    }
  }

  package struct Count: Sendable, Equatable {
    package var requests = 0
    /// Of bodies.
    package var bytesSent: Int64 = 0
    package var bytesReceived: Int64 = 0
    package init() {}
  }

  package private(set) var counts: [Key: Count] = [:]

  package init() {}

  /// Of all outcomes, or of one.
  package func requests(service: String, operation: String, outcome: Outcome? = nil) -> Int {
    counts.reduce(0) { sum, entry in
      let isMeant = entry.key.service == service && entry.key.operation == operation && (outcome == nil || entry.key.outcome == outcome)
      return isMeant ? sum + entry.value.requests : sum
    }
  }

  mutating func add(_ key: Key, sent: Int, received: Int) {
    counts[key, default: Count()].requests += 1
    counts[key, default: Count()].bytesSent += Int64(sent)
    counts[key, default: Count()].bytesReceived += Int64(received)
  }
}

/// Counts for all clients of a process.
package final class AWSRequestCounter: Sendable {
  private let counts = Mutex(AWSRequestCounts())

  package init() {}

  /// Up to now.
  package var snapshot: AWSRequestCounts { counts.withLock { $0 } }

  func add(_ key: AWSRequestCounts.Key, sent: Int, received: Int) { counts.withLock { $0.add(key, sent: sent, received: received) } }
}
