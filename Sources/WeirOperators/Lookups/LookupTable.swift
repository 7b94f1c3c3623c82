import WeirCore

/// A lookup file in memory: key to row, columns of values. Immutable.
///
/// Texts are views into the file's bytes: a table takes the file, and 16 bytes for each field and about 30 for each row.
package final class LookupTable: Sendable {
  /// `lookup_bytes`: of the files of all lookups of a pipeline together.
  package static let bytesMax = 256 << 20
  /// `lookup_cells`: fields of one file.
  package static let cellsMax = 1 << 25

  package let name: String
  /// Of the file's bytes: the lookup's version.
  package let contentHash: ContentHash
  /// All columns but the key.
  package let columns: [ColumnSchema]
  /// Of ``columns``, the last ones: they have a declared type, and no object of an NDJSON file has them. All their values are null.
  package let absentColumns: Int
  private let text: TextBuffer
  private let count: Int
  private let values: [Column]
  /// Row + 1 by hash of the key's text; 0 is free. Power of two, at most half full.
  private let slots: [UInt32]
  private let keys: Column

  /// What the table holds in memory, about: the file, views of all fields, the index.
  package var memoryBytes: Int64 {
    guard case .string(let refs) = keys.values else { return Int64(count) }
    return Int64(count) + Int64(refs.count) * Int64(columns.count + 1) * 16 + Int64(slots.count) * 4
  }

  /// Of the file.
  package var byteCount: Int { count }

  /// The file's bytes: a copy.
  package var bytes: [UInt8] { Array(UnsafeBufferPointer(start: text.base, count: count)) }

  /// - Parameters:
  ///   - keyType: of the field that is looked up: the file's keys are read as that, so that 1 and 1.00 are one decimal.
  ///   - types: of columns that are not strings. An empty field that is not quoted is null; a null key matches nothing.
  /// - Throws: `config` with file and line: no header, no key column, a row of another length, a line that is no object, a key twice, a value that
  ///   is not of its type, more than ``cellsMax`` fields.
  package init(
    name: String, bytes: [UInt8], file: String, format: LookupFormat = .csv, key: String, keyType: ColumnType = .string,
    types: [String: ColumnType] = [:]
  ) throws(WeirError) {
    self.name = name
    contentHash = ContentHash(of: bytes)
    text = TextBuffer(bytes: bytes.count)
    count = bytes.count
    text.base.update(from: bytes, count: bytes.count)
    let rows: any LookupText =
      switch format {
      case .csv: try LookupRows(text, count: bytes.count, file: file)
      case .ndjson: LookupObjects(text, count: bytes.count, file: file)
      }
    let (found, keyColumn) = try rows.header(key)
    // A header row says which columns there are; of objects, a member may just be missing in all.
    let absent = format == .ndjson ? types.keys.filter { !found.contains($0) }.sorted() : []
    let names = found + absent
    absentColumns = absent.count
    let cells = try rows.cells(names)
    let typed = names.enumerated().map { $0 == keyColumn ? keyType : types[$1] ?? .string }
    let others = names.indices.filter { $0 != keyColumn }
    columns = others.map { ColumnSchema(names[$0], typed[$0]) }
    values = try others.map { i throws(WeirError) in
      try rows.column(cells[i], typed[i], at: i) { shown in "column \(names[i]): \(shown) is not \(typed[i].name)" }
    }
    keys = LookupTable.text(
      try rows.column(cells[keyColumn], keyType, at: keyColumn) { shown in
        "the key \(shown) is not \(keyType.name), the type of the field \(key)"
      },
      count: cells[keyColumn].refs.count)
    switch LookupTable.index(keys) {
    case .success(let slots): self.slots = slots
    case .failure(let twice):
      let line = rows.line(ofRow: twice.first)
      throw rows.fault(inRow: twice.second, at: keyColumn) { shown in "the key \(shown) is on line \(line) too" }
    }
  }

  /// Keys as what is compared: their canonical text, null where they are null.
  private static func text(_ keys: Column, count: Int) -> Column {
    if keys.type == .string { return keys }
    return Cast(count: count).run(Vector(type: keys.type, .column(keys)), to: .string, orNull: true).column(count)
  }

  /// Two rows with one key.
  private struct Twice: Error {
    var first: Int
    var second: Int
  }

  private static func index(_ keys: Column) -> Result<[UInt32], Twice> {
    guard case .string(let refs) = keys.values else { return .success([0]) }
    var size = 16
    while size < refs.count * 2 { size *= 2 }
    var slots = [UInt32](repeating: 0, count: size)
    for (row, key) in refs.enumerated() where keys.isValid(row) {
      var at = Int(truncatingIfNeeded: Hash128(key).low) & (size - 1)
      while slots[at] != 0 {
        // By their bytes, as fields are compared.
        let before = Int(slots[at]) - 1
        if refs[before] == key { return .failure(Twice(first: before, second: row)) }
        at = (at + 1) & (size - 1)
      }
      slots[at] = UInt32(row + 1)
    }
    return .success(slots)
  }

  /// The row of each key, -1 where there is none (a null key has none). Keys that are not strings go by their canonical text.
  package func probe(_ column: Column, count: Int) -> [Int32] {
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
  package func gather(column: Int, rows: [Int32]) -> Column {
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
