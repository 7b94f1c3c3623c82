/// The type of a column, as a pipeline file names it.
///
/// Physical form in a ``Column``: `bool` one byte, `int64` and `timestamp` an `Int64` (a timestamp is UTC
/// microseconds since 1970), `double` a `Double`, `decimal` an unscaled `Int128`, `string` and `binary` a ``StringRef``; `list`, `struct` and
/// `map` a ``StringRef`` to the bytes that ``NestedBuilder`` makes.
public enum ColumnType: Hashable, Sendable, Codable {
  case bool, int64, double, string, binary, timestamp
  /// `precision` 1...38 decimal digits of which `scale` (0...precision) are after the point.
  case decimal(precision: Int, scale: Int)
  /// Values of one type in their order; any may be null.
  indirect case list(element: ColumnType)
  /// Named members in their order; any may be null.
  case structure(members: [StructMember])
  /// From texts, each once, to values of one type, which may be null. In the order of the record.
  indirect case map(value: ColumnType)

  /// The type's name as written in a pipeline file: `decimal(12,2)`.
  public var name: String {
    switch self {
    case .bool: "bool"
    case .int64: "int64"
    case .double: "double"
    case .string: "string"
    case .binary: "binary"
    case .timestamp: "timestamp"
    case .decimal(let precision, let scale): "decimal(\(precision),\(scale))"
    case .list(let element): "list<\(element.name)>"
    case .structure(let members): "struct<\(members.map { "\(TypeText.shown($0.name)):\($0.type.name)" }.joined(separator: ","))>"
    case .map(let value): "map<string,\(value.name)>"
    }
  }

  /// Reads ``name``.
  public init?(name: String) {
    if TypeText.isNested(name) {
      guard let type = try? TypeText.parse(name), type.name == name else { return nil }
      self = type
    } else {
      self.init(scalar: name)
    }
  }

  /// Reads the name of a type that is not nested; nil: it is none.
  init?(scalar name: String) {
    switch name {
    case "bool": self = .bool
    case "int64": self = .int64
    case "double": self = .double
    case "string": self = .string
    case "binary": self = .binary
    case "timestamp": self = .timestamp
    default:
      let digits = name.dropFirst("decimal(".count).dropLast().split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      guard digits.count == 2, let precision = digits[0], let scale = digits[1], (1...38).contains(precision),
        (0...precision).contains(scale)
      else { return nil }
      self = .decimal(precision: precision, scale: scale)
      guard self.name == name else { return nil }
    }
  }

  public var isNumeric: Bool {
    switch self {
    case .int64, .double, .decimal: true
    default: false
    }
  }

  /// A list, struct or map: expressions take it whole, or a part of it by its path.
  public var isNested: Bool {
    switch self {
    case .list, .structure, .map: true
    default: false
    }
  }
}

/// A member of a struct.
public struct StructMember: Hashable, Sendable, Codable {
  public var name: String
  public var type: ColumnType

  public init(_ name: String, _ type: ColumnType) { (self.name, self.type) = (name, type) }
}

/// How a declared field is written in the JSON of a record.
public enum FieldEncoding: String, Hashable, Sendable, Codable {
  /// The type's own form: a JSON bool, number or string; for a timestamp an ISO 8601 string with a zone.
  case natural
  /// A timestamp as an integer number of seconds, milliseconds or microseconds since 1970.
  case seconds, milliseconds, microseconds
  /// A timestamp as a number of nanoseconds since 1970, rounded down to the microsecond.
  case nanoseconds
  /// A string that is any JSON value's text, as it is written in the record.
  case json
  /// A string that is a JSON object: what no other field reads, see ``Field/rescued``.
  case rescued
}

/// How a field's values are read from text.
public struct Coercion: Hashable, Sendable, Codable {
  /// The zone of times that name none, by its name in the time zone database; nil: such times are refused.
  public var zone: String?
  /// The forms of times, in the order in which they are tried; nil: ISO 8601.
  public var formats: [String]?

  public init(zone: String? = nil, formats: [String]? = nil) { (self.zone, self.formats) = (zone, formats) }

  /// For people.
  public var text: String {
    let more = [zone.map { "in \($0)" }, formats.map { "as \($0.joined(separator: " or "))" }].compactMap(\.self)
    return (["from text"] + more).joined(separator: " ")
  }
}

/// One declared field of a record.
public struct Field: Hashable, Sendable, Codable {
  public var name: String
  public var type: ColumnType
  public var encoding: FieldEncoding
  /// A required field that is missing or null makes the record invalid; an optional one is then null.
  public var required: Bool
  /// Where it is in the record, see ``FieldPath``. nil: a member of the record under its own name.
  public var path: [PathStep]?
  /// Its values may be texts. nil: they have the type's own form, as far as the format has one.
  public var coerce: Coercion?

  public init(
    name: String, type: ColumnType, encoding: FieldEncoding = .natural, required: Bool = false, path: [PathStep]? = nil,
    coerce: Coercion? = nil
  ) {
    self.path = path
    self.coerce = coerce
    self.name = name
    self.type = type
    self.encoding = encoding
    self.required = required
  }

  /// What a record has and no other field reads, as the text of a JSON object; null where there is nothing.
  ///
  /// A member within a member that fields are below keeps the names above it; a list that fields are below is kept whole if it has anything
  /// else. Values are as the record writes them.
  public static let rescued = Field(name: "_rescued", type: .string, encoding: .rescued)

  /// The way to it, also where it is just its name.
  public var steps: [PathStep] { path ?? [.name(name)] }

  /// Its name, and its path if it has one: for messages.
  public var title: String { path.map { "\(name) (\(FieldPath.text($0)))" } ?? name }
}

/// One column of a table or file.
public struct ColumnSchema: Hashable, Sendable, Codable {
  public var name: String
  public var type: ColumnType
  public var nullable: Bool

  public init(_ name: String, _ type: ColumnType, nullable: Bool = true) {
    self.name = name
    self.type = type
    self.nullable = nullable
  }
}
