/// A format of records with its settings, as a plan holds them: how a record's bytes become the declared fields.
///
/// The engine, plans and captures know formats by this protocol alone, and make one dynamic call a block. A format is one file and one
/// entry in the list of those that the program has.
public protocol RecordFormat: Sendable, Hashable, Codable {
  /// The word of `record: {format: …}`.
  static var name: String { get }
  /// The settings of a plan that writes the name alone. A ledger's plan has no more than the name then: they must never change.
  init()
  /// Records carry the ids of schemas, which a registry resolves before they are decoded.
  var carriesSchemaIDs: Bool { get }
  /// Lines of a plain capture can be such records.
  var readsLines: Bool { get }
  /// All values are read from text, so that nothing remains for ``Field/coerce`` to say.
  var isText: Bool { get }
  /// Where records are in a plain capture; nil: each is a line.
  var captureFraming: (any CaptureFraming)? { get }
  /// Records are JSON: a field may be any value of it, as its text.
  var holdsJSON: Bool { get }
  /// Why a declared field cannot be read; nil if it can.
  func problem(with field: Field) -> String?
  /// Why the declared fields cannot be read together; nil if they can.
  func problem(with fields: [Field]) -> String?
  /// Why the texts of a field cannot be made its values by ``Field/coerce``; nil if they can.
  func problem(withCoercionOf field: Field) -> String?
  /// The same, with no more of what its settings name than the fields need: what a plan keeps.
  func narrowed(to fields: [Field]) -> any RecordFormat
  /// Why records cannot be of several kinds with fields of their own; nil if they can.
  var problemWithKinds: String? { get }
  /// Where a block's records name their schemas; nil for a format that has none.
  func framing(of raw: RawBlock) -> SchemaFraming?
  /// A decoder, which serves one block at a time.
  func decoder(_ request: DecoderRequest) -> any BlockDecoder
  /// Why a record was probably rejected and what to do: a sentence without a full stop; nil: nothing is evident. Asked for the first
  /// record of a kind only.
  func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String?
}

extension RecordFormat {
  public var carriesSchemaIDs: Bool { false }
  public var readsLines: Bool { true }
  public var isText: Bool { false }
  public var captureFraming: (any CaptureFraming)? { nil }
  public var holdsJSON: Bool { false }
  public func problem(with field: Field) -> String? { nil }
  public func problem(with fields: [Field]) -> String? { nil }
  public func problem(withCoercionOf field: Field) -> String? { nil }
  public func narrowed(to fields: [Field]) -> any RecordFormat { self }
  public var problemWithKinds: String? { nil }
  public func framing(of raw: RawBlock) -> SchemaFraming? { nil }
  public func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? { nil }
}

/// What a decoder is made for.
public struct DecoderRequest: Sendable {
  public var fields: [Field]
  /// By field, whether its column is read; nil: all are. A field that is not read is checked all the same.
  public var read: [Bool]?
  /// A line of white space is a record, which is rejected; else it has no row, and is counted.
  public var keepsBlankLines: Bool

  public init(fields: [Field], read: [Bool]? = nil, keepsBlankLines: Bool = true) {
    self.fields = fields
    self.read = read
    self.keepsBlankLines = keepsBlankLines
  }
}

/// Decodes blocks into columns: a pure function of a block's bytes and of the schemas of its ids, however the records were cut into
/// blocks.
public protocol BlockDecoder: AnyObject {
  func decode(_ raw: RawBlock) -> DecodedBlock
}

/// The schema ids of a block's records, without the schemas.
public struct SchemaFraming: Sendable {
  /// In order of appearance.
  public let ids: [SchemaID]
  private let places: [Int32]
  private let prefixes: [UInt8]

  /// - Parameters:
  ///   - places: of each record its place in `ids`; -1: it names none.
  ///   - prefixes: of each record the bytes before its body.
  public init(ids: [SchemaID], places: [Int32], prefixes: [UInt8]) {
    self.ids = ids
    self.places = places
    self.prefixes = prefixes
  }

  /// - Parameter resolved: one for each of ``ids``.
  public func schemas(_ resolved: [BlockSchemas.Resolved]) -> BlockSchemas {
    BlockSchemas(places: places, prefixes: prefixes, resolved: resolved)
  }
}

/// A plan's format. In a document it is the name, or `{NAME: settings}` where the settings are not those of the name alone.
public struct FormatSpec: Sendable {
  public var format: any RecordFormat

  public init(_ format: any RecordFormat) { self.format = format }

  public var name: String { type(of: format).name }
}

extension FormatSpec: Hashable {
  public static func == (a: FormatSpec, b: FormatSpec) -> Bool { AnyHashable(a.format) == AnyHashable(b.format) }
  public func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(format)) }
}

extension FormatSpec: Codable {
  public init(from decoder: any Decoder) throws {
    let types = (decoder.userInfo[.adapters] as? AdapterTypes)?.formats ?? []
    func unknown() -> DecodingError {
      .dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no format of this name"))
    }
    if let name = try? decoder.singleValueContainer().decode(String.self) {
      guard let type = types.first(where: { $0.name == name }) else { throw unknown() }
      format = type.init()
      return
    }
    let members = try decoder.container(keyedBy: AdapterKey.self)
    guard let type = types.first(where: { members.contains(.init($0.name)) }) else { throw unknown() }
    func settings<T: RecordFormat>(_ type: T.Type) throws -> any RecordFormat { try members.decode(type, forKey: .init(T.name)) }
    format = try settings(type)
  }

  public func encode(to encoder: any Encoder) throws {
    if self == FormatSpec(type(of: format).init()) {
      var value = encoder.singleValueContainer()
      try value.encode(name)
    } else {
      var members = encoder.container(keyedBy: AdapterKey.self)
      try members.encode(format, forKey: .init(name))
    }
  }
}
