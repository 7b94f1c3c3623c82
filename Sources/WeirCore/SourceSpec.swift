/// Where a plan's records come from.
public struct SourceSpec: Sendable {
  /// The stream's name: of bronze, silver and quarantine tables, and of a capture's shard.
  public var stream: String
  /// How the engine partitions the records of an input without shards of its own.
  public var deal: Dealing
  /// Of the adapter that reads it.
  public var settings: any SourceSettings

  public init(stream: String, deal: Dealing = .murmur2, settings: any SourceSettings) {
    self.stream = stream
    self.deal = deal
    self.settings = settings
  }

  /// nil: an input that the engine partitions.
  public var live: LiveSourceTraits? { settings.live }

  /// Its positions are not dense: lanes count its records.
  public var countsRecords: Bool { live?.countsRecords ?? false }

  /// The name of the adapter that reads it.
  public var adapter: String { type(of: settings).adapter }
}

extension SourceSpec: Hashable {
  public static func == (a: SourceSpec, b: SourceSpec) -> Bool {
    a.stream == b.stream && a.deal == b.deal && AnyHashable(a.settings) == AnyHashable(b.settings)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(stream)
    hasher.combine(deal)
    hasher.combine(AnyHashable(settings))
  }
}

/// `{"deal": …, "stream": …, ADAPTER: {…}}`: ledgers keep this document, so its members never change their names.
extension SourceSpec: Codable {
  public init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: AdapterKey.self)
    stream = try members.decode(String.self, forKey: .init("stream"))
    deal = try members.decode(Dealing.self, forKey: .init("deal"))
    let types = (decoder.userInfo[.adapters] as? AdapterTypes)?.sources ?? []
    let named = types.first { $0.member.map { members.contains(.init($0)) } ?? false }
    guard let type = named ?? types.first(where: { $0.member == nil }) else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no adapter reads this source"))
    }
    settings = try type.member.map { try members.settings(type, $0) } ?? type.init(from: decoder)
  }

  public func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: AdapterKey.self)
    try members.encode(stream, forKey: .init("stream"))
    try members.encode(deal, forKey: .init("deal"))
    if let member = type(of: settings).member { try members.encode(settings, forKey: .init(member)) }
  }
}

/// A member of a document that an adapter names.
struct AdapterKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(_ name: String) { stringValue = name }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { nil }
}

extension KeyedDecodingContainer where Key == AdapterKey {
  fileprivate func settings(_ type: any SourceSettings.Type, _ member: String) throws -> any SourceSettings {
    func decoded<T: SourceSettings>(_ type: T.Type) throws -> any SourceSettings { try decode(type, forKey: .init(member)) }
    return try decoded(type)
  }
}

/// The types of all adapters' and formats' settings, for a decoder of plans.
public struct AdapterTypes: Sendable {
  public var sources: [any SourceSettings.Type]
  public var sinks: [any SinkSettings.Type]
  public var formats: [any RecordFormat.Type]
  public var stateTables: [any StateTableSettings.Type]
  public var tableFormats: [any TableFormatSettings.Type]

  public init(
    sources: [any SourceSettings.Type], sinks: [any SinkSettings.Type], formats: [any RecordFormat.Type],
    stateTables: [any StateTableSettings.Type] = [], tableFormats: [any TableFormatSettings.Type] = []
  ) {
    self.sources = sources
    self.sinks = sinks
    self.formats = formats
    self.stateTables = stateTables
    self.tableFormats = tableFormats
  }
}

extension CodingUserInfoKey {
  /// Under which a decoder of plans has its ``AdapterTypes``.
  public static let adapters: CodingUserInfoKey = {
    guard let key = CodingUserInfoKey(rawValue: "weir.adapters") else { preconditionFailure("any text is a key") }
    return key
  }()
}
