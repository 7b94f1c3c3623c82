/// The settings of one sink adapter, as a plan holds them: a type of the adapter's own.
public protocol SinkSettings: Sendable, Hashable, Codable {
  /// The adapter's name: the key below `sinks`.
  static var adapter: String { get }
  /// Where it publishes, for people; nil: where the plan's source reads.
  var place: String? { get }
  /// What the settings need in addition to this source and do not have, as the key of the pipeline file; nil: nothing.
  func missing(with source: any SourceSettings) -> String?
  /// Whether records can be published to a topic of this name.
  func isTopic(_ name: String) -> Bool
}

extension SinkSettings {
  public func missing(with source: any SourceSettings) -> String? { nil }
  public func isTopic(_ name: String) -> Bool { true }
}

/// Tables whose rows are published to topics too. No part of the plan's meaning: no row of a table depends on it.
public struct SinkSpec: Sendable {
  /// One table's way to a topic.
  public struct Route: Sendable, Hashable, Codable {
    /// `gold/NAME`, `late/NAME`, `quarantine/STREAM`.
    public var table: String
    public var topic: String

    public init(table: String, topic: String) {
      self.table = table
      self.topic = topic
    }
  }

  /// Where a route begins that has published nothing yet.
  public enum Start: String, Sendable, Hashable, Codable, CaseIterable {
    /// At the oldest entry that the ledger still has.
    case earliest
    /// After the ledger's newest entry.
    case latest
  }

  /// In the order of their tables.
  public var routes: [Route]
  public var start = Start.earliest
  /// Ledger entries that the topics may be behind while workers read on; then they wait (law 5).
  public var behindMax: Int64 = SinkSpec.behindByDefault
  /// Of the adapter that publishes.
  public var settings: any SinkSettings

  public static let behindByDefault: Int64 = 64

  public init(routes: [Route], settings: any SinkSettings) {
    self.routes = routes
    self.settings = settings
  }

  /// The name of the adapter that publishes.
  public var adapter: String { type(of: settings).adapter }
}

extension SinkSpec: Hashable {
  public static func == (a: SinkSpec, b: SinkSpec) -> Bool {
    a.routes == b.routes && a.start == b.start && a.behindMax == b.behindMax && AnyHashable(a.settings) == AnyHashable(b.settings)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(routes)
    hasher.combine(start)
    hasher.combine(behindMax)
    hasher.combine(AnyHashable(settings))
  }
}

extension SinkSpec: Codable {
  public init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: AdapterKey.self)
    routes = try members.decode([Route].self, forKey: .init("routes"))
    start = try members.decode(Start.self, forKey: .init("start"))
    behindMax = try members.decode(Int64.self, forKey: .init("behindMax"))
    let types = (decoder.userInfo[.adapters] as? AdapterTypes)?.sinks ?? []
    guard let type = types.first(where: { members.contains(.init($0.adapter)) }) else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no adapter publishes to this sink"))
    }
    settings = try members.settings(type)
  }

  public func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: AdapterKey.self)
    try members.encode(routes, forKey: .init("routes"))
    try members.encode(start, forKey: .init("start"))
    try members.encode(behindMax, forKey: .init("behindMax"))
    try members.encode(settings, forKey: .init(adapter))
  }
}

extension KeyedDecodingContainer where Key == AdapterKey {
  fileprivate func settings(_ type: any SinkSettings.Type) throws -> any SinkSettings {
    func decoded<T: SinkSettings>(_ type: T.Type) throws -> any SinkSettings { try decode(type, forKey: .init(T.adapter)) }
    return try decoded(type)
  }
}
