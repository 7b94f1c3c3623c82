/// The settings of one format of tables, as a plan holds them: a type of the format's own.
public protocol TableFormatSettings: Sendable, Hashable, Codable {
  /// The format's name: the word of `lake.format`.
  static var adapter: String { get }
}

/// The format of a lake's tables: `{NAME: {…}}` in a plan's document.
public struct TableFormatSpec: Sendable {
  public var settings: any TableFormatSettings

  public init(_ settings: any TableFormatSettings) { self.settings = settings }

  /// The format's name.
  public var adapter: String { type(of: settings).adapter }
}

extension TableFormatSpec: Hashable {
  public static func == (a: TableFormatSpec, b: TableFormatSpec) -> Bool { AnyHashable(a.settings) == AnyHashable(b.settings) }
  public func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(settings)) }
}

extension TableFormatSpec: Codable {
  public init(from decoder: any Decoder) throws {
    let members = try decoder.container(keyedBy: AdapterKey.self)
    let types = (decoder.userInfo[.adapters] as? AdapterTypes)?.tableFormats ?? []
    guard let type = types.first(where: { members.contains(.init($0.adapter)) }) else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no module writes tables in this format"))
    }
    settings = try members.settings(type)
  }

  public func encode(to encoder: any Encoder) throws {
    var members = encoder.container(keyedBy: AdapterKey.self)
    try members.encode(settings, forKey: .init(adapter))
  }
}

extension KeyedDecodingContainer where Key == AdapterKey {
  fileprivate func settings(_ type: any TableFormatSettings.Type) throws -> any TableFormatSettings {
    func decoded<T: TableFormatSettings>(_ type: T.Type) throws -> any TableFormatSettings { try decode(type, forKey: .init(T.adapter)) }
    return try decoded(type)
  }
}
