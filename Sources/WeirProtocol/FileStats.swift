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

/// Name and type of a column that files of a table have statistics of: an entry has them once for each table.
struct StatsColumn: Equatable {
  var name: String
  var type: ColumnType

  /// `["amount","decimal(12,2)"]`
  var json: JSONValue { .array([.string(name), .string(type.name)]) }

  init(_ column: ColumnStats) { (name, type) = (column.name, column.type) }

  init(json: JSONValue) throws(WeirError) {
    guard let fields = json.array, fields.count == 2, let name = fields[0].string,
      let type = fields[1].string.flatMap(ColumnType.init(name:))
    else { throw WeirError.corruptLedger("a column of \"columns\" has no name or no known type") }
    (self.name, self.type) = (name, type)
  }
}

extension FileStats {
  /// What the statistics are of; empty where there are none.
  var columns: [StatsColumn] {
    if case .columns(let columns) = self { columns.map { StatsColumn($0) } } else { [] }
  }

  /// - Parameters:
  ///   - format: of the entry.
  ///   - columns: of the table. All files of a table have the same; statistics of others are left out.
  func json(format: Int64, columns: [StatsColumn]) -> JSONValue {
    switch self {
    case .columns(let own) where format > 1 && own.elementsEqual(columns) { StatsColumn($0) == $1 }: .array(own.map(\.json))
    case .delta(let value) where format == 1: value
    default: .null
    }
  }

  init(json: JSONValue, format: Int64, columns: [StatsColumn]) throws(WeirError) {
    if json.isNull {
      self = .none
    } else if format == 1 {
      self = .delta(json)
    } else {
      guard let items = json.array, items.count == columns.count else {
        throw WeirError.corruptLedger("\"stats\" does not have one list for each of \"columns\"")
      }
      var stats: [ColumnStats] = []
      for (item, column) in zip(items, columns) { stats.append(try ColumnStats(json: item, of: column)) }
      self = .columns(stats)
    }
  }
}

extension ColumnStats {
  /// `[0,"0.01","99.50"]`: nulls, least, greatest, NaNs, and whether the greatest is cut. What is not known or 0 at the end is left out.
  var json: JSONValue {
    var items: [JSONValue] = [
      .int(nulls), min.map(ColumnStats.json) ?? .null, max.map(ColumnStats.json) ?? .null, .int(nans), .bool(isMaxCut),
    ]
    if !isMaxCut { items.removeLast() }
    if items.count == 4, nans == 0 { items.removeLast() }
    while items.count > 1, items.count < 4, let last = items.last, last.isNull { items.removeLast() }
    return .array(items)
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

  init(json: JSONValue, of column: StatsColumn) throws(WeirError) {
    guard let items = json.array, (1...5).contains(items.count), case .int(let nulls) = items[0], nulls >= 0 else {
      throw WeirError.corruptLedger("the statistics of \(column.name) are not a list that begins with a count")
    }
    func bound(_ at: Int) throws(WeirError) -> Literal? {
      guard items.count > at, !items[at].isNull else { return nil }
      guard let literal = ColumnStats.literal(items[at], column.type) else {
        throw WeirError.corruptLedger("a bound in the statistics of \(column.name) is not a \(column.type.name)")
      }
      return literal
    }
    let nans = items.count > 3 ? items[3].int : 0
    guard let nans, nans >= 0 else { throw WeirError.corruptLedger("the NaNs in the statistics of \(column.name) are not a count") }
    self.init(name: column.name, type: column.type, nulls: nulls, nans: nans, min: try bound(1), max: try bound(2))
    isMaxCut = items.count > 4
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
