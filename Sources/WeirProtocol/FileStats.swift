import WeirCore

/// What is known of the values of a data file, for whatever table format follows the ledger.
public enum FileStats: Sendable, Equatable {
  case none
  /// Of the file's first columns, in their order.
  case columns([ColumnStats])
  /// As entries of format 1 have them: the JSON of the Delta table format.
  case delta(JSONValue)

  /// Columns that are described at most.
  public static let columnsMax = 32
}

/// What is known of one column of a data file.
public struct ColumnStats: Sendable, Equatable {
  public var name: String
  public var type: ColumnType
  public var nulls: Int64
  /// Doubles that are not a number; ``min`` and ``max`` leave them out.
  public var nans: Int64
  /// The least value, or a prefix of it; nil where none is known, and for binary columns.
  public var min: Literal?
  /// The greatest value, or the prefix of it that ``isMaxCut`` announces.
  public var max: Literal?
  /// The greatest value is longer than ``max``, and so greater.
  public var isMaxCut: Bool

  /// Characters of a bound at most.
  public static let scalarsMax = 64

  /// Cuts long texts. Bounds of another type than the column's are left out, and those of binary columns.
  public init(name: String, type: ColumnType, nulls: Int64, nans: Int64 = 0, min: Literal?, max: Literal?) {
    (self.name, self.type, self.nulls, self.nans) = (name, type, nulls, nans)
    (self.min, self.max) = (
      min.flatMap { ColumnStats.isBound($0, of: type) ? $0 : nil }, max.flatMap { ColumnStats.isBound($0, of: type) ? $0 : nil }
    )
    isMaxCut = false
    if case .string(let text)? = self.min { self.min = .string(ColumnStats.prefix(text).text) }
    if case .string(let text)? = self.max {
      let (prefix, isCut) = ColumnStats.prefix(text)
      (self.max, isMaxCut) = (.string(prefix), isCut)
    }
  }

  private static func prefix(_ text: String) -> (text: String, isCut: Bool) {
    let scalars = text.unicodeScalars
    guard let end = scalars.index(scalars.startIndex, offsetBy: scalarsMax, limitedBy: scalars.endIndex), end < scalars.endIndex else {
      return (text, false)
    }
    return (String(scalars[..<end]), true)
  }

  private static func isBound(_ value: Literal, of type: ColumnType) -> Bool {
    switch (value, type) {
    case (.bool, .bool), (.int64, .int64), (.string, .string), (.timestamp, .timestamp): true
    case (.double(let number), .double): !number.isNaN
    case (.decimal(_, _, let scale), .decimal(_, let own)): scale == own
    default: false
    }
  }
}

// MARK: - In an entry

extension FileStats {
  /// - Parameter format: of the entry.
  func json(format: Int64) -> JSONValue {
    switch self {
    case .none: .null
    case .columns(let columns): .array(columns.map(\.json))
    case .delta(let value): value
    }
  }

  init(json: JSONValue, format: Int64) throws(WeirError) {
    if json.isNull {
      self = .none
    } else if format == 1 {
      self = .delta(json)
    } else {
      guard let items = json.array else { throw WeirError.corruptLedger("\"stats\" is not a list") }
      var columns: [ColumnStats] = []
      for item in items { columns.append(try ColumnStats(json: item)) }
      self = .columns(columns)
    }
  }
}

extension ColumnStats {
  /// `{"column":"amount","type":"decimal(12,2)","nulls":0,"min":"0.01","max":"99.50"}`: bounds only where they are known.
  var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("column", .string(name)), .init("type", .string(type.name)), .init("nulls", .int(nulls)),
    ]
    if nans > 0 { members.append(.init("nans", .int(nans))) }
    if let min { members.append(.init("min", ColumnStats.json(min))) }
    if let max { members.append(.init("max", ColumnStats.json(max))) }
    if isMaxCut { members.append(.init("maxIsCut", .bool(true))) }
    return .object(members)
  }

  private static func json(_ value: Literal) -> JSONValue {
    switch value {
    case .bool(let v): .bool(v)
    case .int64(let v), .timestamp(let v): .int(v)
    // As texts: JSON has no infinity, and its readers round.
    case .double(let v): .string("\(v)")
    case .decimal(let v, _, _): .string(String(v))
    case .string(let v): .string(v)
    case .null, .binary: .null
    }
  }

  init(json: JSONValue) throws(WeirError) {
    let name = try json.requiredString("column")
    guard let type = ColumnType(name: try json.requiredString("type")) else {
      throw WeirError.corruptLedger("the statistics of \(name) are of an unknown type")
    }
    func bound(_ member: String) throws(WeirError) -> Literal? {
      guard let value = json[member] else { return nil }
      guard let literal = ColumnStats.literal(value, type) else {
        throw WeirError.corruptLedger("\"\(member)\" of the statistics of \(name) is not a \(type.name)")
      }
      return literal
    }
    self.init(
      name: name, type: type, nulls: try json.requiredCount("nulls"), nans: json["nans"] == nil ? 0 : try json.requiredCount("nans"),
      min: try bound("min"), max: try bound("max"))
    isMaxCut = json["maxIsCut"] != nil
  }

  private static func literal(_ value: JSONValue, _ type: ColumnType) -> Literal? {
    switch (type, value) {
    case (.bool, .bool(let v)): .bool(v)
    case (.int64, .int(let v)): .int64(v)
    case (.timestamp, .int(let v)): .timestamp(v)
    case (.double, .string(let text)): Double(text).map { .double($0) }
    case (.decimal(let precision, let scale), .string(let text)): Int128(text).map { .decimal($0, precision: precision, scale: scale) }
    case (.string, .string(let v)): .string(v)
    default: nil
    }
  }
}
