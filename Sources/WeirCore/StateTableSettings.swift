/// The settings of one kind of state table, as a plan holds them: a type of the adapter's own.
public protocol StateTableSettings: Sendable, Hashable, Codable {
  /// The adapter's name: the key below `store`.
  static var adapter: String { get }
  /// The member of the plan's document that holds the settings; nil for the one table whose settings are among the others.
  static var member: String? { get }
}

extension StateTableSettings {
  public static var member: String? { adapter }
}

/// The state table of a plan whose front door named none. Ledgers keep it as the meaning of every plan: which state table a pipeline has
/// means nothing for its rows.
public struct UnnamedStateTable: StateTableSettings {
  public static let adapter = ""
  public static let member: String? = nil

  private var path = "./state"

  public init() {}
}

/// The state table and how it is written. Settings, not meaning.
public struct StoreSpec: Sendable {
  /// Of the adapter that keeps the table.
  public var settings: any StateTableSettings
  public var flushMicroseconds: Int64
  /// Largest share of the time (0...1) that flushes may take; the interval stretches.
  public var share: Double

  public init(settings: any StateTableSettings = UnnamedStateTable(), flushMicroseconds: Int64 = 100_000, share: Double = 0.10) {
    self.settings = settings
    self.flushMicroseconds = flushMicroseconds
    self.share = share
  }

  /// The name of the adapter that keeps the table.
  public var adapter: String { type(of: settings).adapter }
}

extension StoreSpec: Hashable {
  public static func == (a: StoreSpec, b: StoreSpec) -> Bool {
    a.flushMicroseconds == b.flushMicroseconds && a.share == b.share && AnyHashable(a.settings) == AnyHashable(b.settings)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(flushMicroseconds)
    hasher.combine(share)
    hasher.combine(AnyHashable(settings))
  }
}

/// `{"flushMicroseconds": …, "share": …, ADAPTER: {…}}`: ledgers keep this document, so its members never change their names.
extension StoreSpec: Codable {
  public init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: AdapterKey.self)
    flushMicroseconds = try members.decode(Int64.self, forKey: .init("flushMicroseconds"))
    share = try members.decode(Double.self, forKey: .init("share"))
    let types = (decoder.userInfo[.adapters] as? AdapterTypes)?.stateTables ?? []
    let named = types.first { $0.member.map { members.contains(.init($0)) } ?? false }
    let type = named ?? types.first { $0.member == nil } ?? UnnamedStateTable.self
    settings = try type.member.map { try members.settings(type, $0) } ?? type.init(from: decoder)
  }

  public func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: AdapterKey.self)
    try members.encode(flushMicroseconds, forKey: .init("flushMicroseconds"))
    try members.encode(share, forKey: .init("share"))
    if let member = type(of: settings).member {
      try members.encode(settings, forKey: .init(member))
    } else {
      try settings.encode(to: encoder)
    }
  }
}

extension KeyedDecodingContainer where Key == AdapterKey {
  fileprivate func settings(_ type: any StateTableSettings.Type, _ member: String) throws -> any StateTableSettings {
    func decoded<T: StateTableSettings>(_ type: T.Type) throws -> any StateTableSettings { try decode(type, forKey: .init(member)) }
    return try decoded(type)
  }
}
