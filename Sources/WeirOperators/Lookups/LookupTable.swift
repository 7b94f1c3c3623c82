import WeirCore

/// A lookup file in memory: key to row, columns of values. Immutable.
public final class LookupTable: Sendable {
  public let name: String
  /// Of the file's bytes: the lookup's version.
  public let contentHash: ContentHash
  public let bytes: [UInt8]
  /// All columns but the key.
  public let columns: [ColumnSchema]
  private let values: [Column]
  /// Row + 1 by hash of the key's text; 0 is free. Power of two, at most half full.
  private let slots: [UInt32]
  private let keys: Column

  /// - Parameters:
  ///   - keyType: of the field that is looked up: the file's keys are read as that, so that 1 and 1.00 are one decimal.
  ///   - types: of columns that are not strings. An empty field that is not quoted is null; a null key matches nothing.
  /// - Throws: `config` with file and line: no header, no key column, a row of another length, a key twice, a value that
  ///   is not of its type.
  public init(
    name: String, bytes: [UInt8], file: String, key: String, keyType: ColumnType = .string, types: [String: ColumnType] = [:]
  ) throws(WeirError) {
    func wrong(_ why: String, _ line: Int) -> WeirError { WeirError("config", "\(file):\(line): \(why)") }
    self.name = name
    self.bytes = bytes
    contentHash = ContentHash(of: bytes)
    let rows = try CSV.rows(bytes, file: file)
    guard let header = rows.first else { throw wrong("the file is empty", 1) }
    let names = header.cells.map(\.text)
    guard let keyColumn = names.firstIndex(of: key) else {
      throw wrong("there is no column \(key); the columns are \(names.joined(separator: ", "))", 1)
    }
    guard Set(names).count == names.count else { throw wrong("a column name stands twice", 1) }
    let others = names.indices.filter { $0 != keyColumn }
    columns = others.map { ColumnSchema(names[$0], types[names[$0]] ?? .string) }
    var builders = columns.map { ColumnBuilder($0.type) }
    var keyBuilder = ColumnBuilder(keyType)
    for row in rows.dropFirst() {
      guard row.cells.count == names.count else { throw wrong("\(row.cells.count) fields, the header has \(names.count)", row.line) }
      guard let key = LookupTable.value(row.cells[keyColumn], keyType) else {
        throw wrong("the key '\(row.cells[keyColumn].text)' is no \(keyType.name), as the field \(key) is", row.line)
      }
      keyBuilder.append(key)
      for (i, at) in others.enumerated() {
        guard let value = LookupTable.value(row.cells[at], columns[i].type) else {
          throw wrong("column \(columns[i].name): '\(row.cells[at].text)' is no \(columns[i].type.name)", row.line)
        }
        builders[i].append(value)
      }
    }
    values = builders.map { $0.finish() }
    keys = LookupTable.text(keyBuilder.finish(), count: rows.count - 1)
    slots = LookupTable.index(keys)
    // By their bytes, as fields are compared.
    var seen: [[UInt8]: Int] = [:]
    for (row, place) in rows.dropFirst().enumerated() where keys.isValid(row) {
      guard case .string(let refs) = keys.values else { break }
      if let before = seen.updateValue(place.line, forKey: Array(refs[row].bytes)) {
        throw wrong("the key \(place.cells[keyColumn].text) stands on line \(before) too", place.line)
      }
    }
  }

  /// Keys as what is compared: their canonical text, null where they are null.
  private static func text(_ keys: Column, count: Int) -> Column {
    if keys.type == .string { return keys }
    return Cast(count: count).run(Vector(type: keys.type, .column(keys)), to: .string, orNull: true).column(count)
  }

  /// The names in a lookup file's header.
  public static func header(_ bytes: [UInt8], file: String) throws(WeirError) -> [String] { try CSV.header(bytes, file: file) }

  private static func value(_ cell: CSV.Cell, _ type: ColumnType) -> Literal? {
    if cell.text.isEmpty, !cell.isQuoted { return .null }
    if type == .string { return .string(cell.text) }
    let expr = Expr(node: .cast(Expr(node: .literal(.string(cell.text)), type: .string, text: ""), orNull: true), type: type, text: "")
    let result = ExprEvaluator(expr).evaluate([], count: 1).column.literal(0)
    return result == .null ? nil : result
  }

  private static func index(_ keys: Column) -> [UInt32] {
    guard case .string(let refs) = keys.values else { return [0] }
    var size = 16
    while size < refs.count * 2 { size *= 2 }
    var slots = [UInt32](repeating: 0, count: size)
    for (row, key) in refs.enumerated() where keys.isValid(row) {
      var at = Int(truncatingIfNeeded: Hash128(key).low) & (size - 1)
      while slots[at] != 0 { at = (at + 1) & (size - 1) }
      slots[at] = UInt32(row + 1)
    }
    return slots
  }

  /// The row of each key, -1 where there is none (a null key has none). Keys that are not strings go by their canonical text.
  public func probe(_ column: Column, count: Int) -> [Int32] {
    let text = LookupTable.text(column, count: count)
    guard case .string(let refs) = text.values, case .string(let keys) = keys.values else {
      return [Int32](repeating: -1, count: count)
    }
    let mask = slots.count - 1
    return (0..<count).map { i in
      guard text.isValid(i) else { return -1 }
      var at = Int(truncatingIfNeeded: Hash128(refs[i]).low) & mask
      while slots[at] != 0 {
        let row = Int(slots[at]) - 1
        if keys[row] == refs[i] { return Int32(row) }
        at = (at + 1) & mask
      }
      return -1
    }
  }

  /// Values of one column at the rows that ``probe(_:count:)`` gave; null where there is none.
  public func gather(column: Int, rows: [Int32]) -> Column {
    let source = values[column]
    let valid = rows.contains(-1) || source.validity != nil ? rows.map { $0 >= 0 && source.isValid(Int($0)) } : nil
    func take<T>(_ values: [T], _ zero: T) -> [T] { rows.map { $0 < 0 ? zero : values[Int($0)] } }
    let taken: Column.Values =
      switch source.values {
      case .bool(let v): .bool(take(v, false))
      case .int64(let v): .int64(take(v, 0))
      case .double(let v): .double(take(v, 0))
      case .decimal(let v): .decimal(take(v, 0))
      case .string(let v): .string(take(v, .empty))
      }
    return Column(type: source.type, values: taken, validity: valid, owners: source.owners)
  }
}
