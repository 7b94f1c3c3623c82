import Synchronization

/// Requests that were sent, by service, operation and outcome: what metrics show, and what AWS bills. Each attempt counts.
public struct AWSRequestCounts: Sendable, Equatable {
  public enum Outcome: String, Sendable, CaseIterable {
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

  public struct Key: Sendable, Hashable {
    public var service: String
    /// ``AWSRequest/operation``.
    public var operation: String
    public var outcome: Outcome

    public init(service: String, operation: String, outcome: Outcome) {
      self.service = service
      self.operation = operation
      self.outcome = outcome
    }
  }

  public struct Count: Sendable, Equatable {
    public var requests = 0
    /// Of bodies.
    public var bytesSent: Int64 = 0
    public var bytesReceived: Int64 = 0
    public init() {}
  }

  public private(set) var counts: [Key: Count] = [:]

  public init() {}

  /// Of all outcomes, or of one.
  public func requests(service: String, operation: String, outcome: Outcome? = nil) -> Int {
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
public final class AWSRequestCounter: Sendable {
  private let counts = Mutex(AWSRequestCounts())

  public init() {}

  /// Up to now.
  public var snapshot: AWSRequestCounts { counts.withLock { $0 } }

  func add(_ key: AWSRequestCounts.Key, sent: Int, received: Int) { counts.withLock { $0.add(key, sent: sent, received: received) } }
}
