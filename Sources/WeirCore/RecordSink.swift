/// A record on its way to a topic.
public struct SinkRecord: Sendable {
  /// nil: none.
  public var key: [UInt8]?
  /// nil: a tombstone.
  public var value: [UInt8]?
  public var headers: [Header]

  public struct Header: Sendable, Hashable {
    public var name: String
    public var value: [UInt8]?

    public init(_ name: String, _ value: [UInt8]?) {
      self.name = name
      self.value = value
    }

    public init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
  }

  public init(key: [UInt8]?, value: [UInt8]?, headers: [Header]) {
    self.key = key
    self.value = value
    self.headers = headers
  }

  /// About what it takes in a buffer.
  public var byteCount: Int {
    (key?.count ?? 0) + (value?.count ?? 0) + headers.reduce(0) { $0 + $1.name.utf8.count + ($1.value?.count ?? 0) }
  }
}

/// Topics that rows are published to. Errors are ``WeirError``s.
///
/// Records of one topic partition are stored in the order in which they were sent, none left out: after a record that cannot be
/// stored no later one is, and the sink is broken for good.
public protocol RecordSink: Sendable {
  /// Takes records over. They are stored only when ``flush(within:)`` says so.
  func send(_ records: [SinkRecord], to topic: String) async throws
  /// Whether everything that was sent is stored, after waiting for it at most this long. False: it may be later.
  func flush(within nanoseconds: Int64) async throws -> Bool
  /// Gives up what is not stored.
  func close() async
}

/// Topics as the engine gets them (law 8).
public struct SinkEnvironment: Sendable {
  /// Connects; called again after a sink broke.
  public var make: @Sendable () async throws -> any RecordSink
  /// Called with a failure that passes by itself: an unreachable broker.
  public var tell: @Sendable (WeirError) -> Void

  public init(make: @escaping @Sendable () async throws -> any RecordSink, tell: @escaping @Sendable (WeirError) -> Void) {
    self.make = make
    self.tell = tell
  }
}
