import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol

/// A table's rows as records of a topic: read from the data files that a ledger entry names, so that any worker that publishes an entry,
/// and however often, sends the same bytes in the same order.
///
///     gold            key: the `by` columns; value: the row as JSON
///     late, quarantine  key and value as received, after the original headers
///
/// Ours come last: where a name occurs twice, the last one counts.
struct SinkRows: Sendable {
  let table: String
  private let ledgerID: String
  private let layout: TableLayout
  /// Columns that a gold row's JSON has, in order: those of the files, and partition columns that are columns of the table.
  private let shown: [ColumnSchema]
  /// Gold: names of the key's columns.
  private let by: [String]

  init(_ layout: TableLayout, plan: Plan, ledgerID: String) {
    self.layout = layout
    self.ledgerID = ledgerID
    table = layout.table
    let derived = Set(layout.partitionBy.filter { $0.transform != .identity }.map(\.name))
    shown = layout.schema.filter { !derived.contains($0.name) }
    by = layout.kind.gold.map { plan.gold[$0].by.map(\.name) } ?? []
  }

  /// A row group, decoded: records are made of it in parts.
  struct Group: Sendable {
    fileprivate var columns: [String: ParquetColumn]
    fileprivate var partition: [String: String?]
    var rows: Int
  }

  func groups(_ reader: ParquetReader) -> Int { reader.groups }

  func group(_ number: Int, of reader: ParquetReader, file: DataFile) throws(WeirError) -> Group {
    var columns: [String: ParquetColumn] = [:]
    for column in layout.stored {
      // A file of an older version may lack a column that came later.
      if let leaf = reader.leaves(below: [column.name]).first { columns[column.name] = try reader.column(leaf, group: number) }
    }
    return Group(
      columns: columns, partition: Dictionary(file.partition.map { ($0.name, $0.value) }) { first, _ in first },
      rows: reader.rows(inGroup: number))
  }

  /// - Parameter first: the number of the group's row 0 among the entry's rows of this table.
  func records(_ group: Group, _ rows: Range<Int>, entry: Int64, first: Int64) throws(WeirError) -> [SinkRecord] {
    var records: [SinkRecord] = []
    records.reserveCapacity(rows.count)
    for row in rows {
      var record = layout.kind.gold != nil ? try gold(group, row) : try received(group, row)
      record.headers += [
        .init("weir-ledger", ledgerID), .init("weir-entry", String(entry)), .init("weir-table", table),
        .init("weir-row", String(first + Int64(row))),
      ]
      records.append(record)
    }
    return records
  }

  // MARK: Gold

  private func gold(_ group: Group, _ row: Int) throws(WeirError) -> SinkRecord {
    var value: [UInt8] = [UInt8(ascii: "{")]
    for column in shown {
      if value.count > 1 { value.append(UInt8(ascii: ",")) }
      JSONValue.write(column.name, into: &value)
      value.append(UInt8(ascii: ":"))
      write(try cell(group, column, row), into: &value)
    }
    value.append(UInt8(ascii: "}"))
    return SinkRecord(key: try key(group, row), value: value, headers: [])
  }

  /// One column: its text, as another program would key by it; null is not a key. Several: a JSON array.
  private func key(_ group: Group, _ row: Int) throws(WeirError) -> [UInt8]? {
    var cells: [Cell?] = []
    for name in by {
      cells.append(try shown.first { $0.name == name }.flatMap { column throws(WeirError) in try cell(group, column, row) })
    }
    if cells.count == 1 { return cells[0].map { Array($0.text.utf8) } }
    if cells.isEmpty { return nil }
    var key: [UInt8] = [UInt8(ascii: "[")]
    for (i, cell) in cells.enumerated() {
      if i > 0 { key.append(UInt8(ascii: ",")) }
      write(cell, into: &key)
    }
    key.append(UInt8(ascii: "]"))
    return key
  }

  /// A value's text, and whether it is quoted in JSON.
  private struct Cell {
    var text: String
    var isQuoted: Bool
  }

  private func write(_ cell: Cell?, into out: inout [UInt8]) {
    guard let cell else { return JSONValue.null.write(into: &out) }
    if cell.isQuoted { JSONValue.write(cell.text, into: &out) } else { out += cell.text.utf8 }
  }

  private func cell(_ group: Group, _ column: ColumnSchema, _ row: Int) throws(WeirError) -> Cell? {
    if let value = group.partition[column.name] {
      // The texts of numbers and bools are JSON's too.
      return value.map { text in
        let isNumber = column.type == .double ? Double(text)?.isFinite == true : column.type.isNumeric
        return Cell(text: text, isQuoted: !isNumber && column.type != .bool)
      }
    }
    guard let values = group.columns[column.name] else { return nil }
    switch column.type {
    case .bool: return values.bool(row).map { Cell(text: $0 ? "true" : "false", isQuoted: false) }
    case .int64: return values.int(row).map { Cell(text: String($0), isQuoted: false) }
    // JSON cannot represent NaN and infinity.
    case .double: return values.double(row).map { Cell(text: "\($0)", isQuoted: !$0.isFinite) }
    case .timestamp: return values.int(row).map { Cell(text: CivilTime.text(ofMicroseconds: $0), isQuoted: true) }
    case .decimal(_, let scale):
      let number = values.int(row).map { Int128($0) } ?? values.bytes(row).map(SinkRows.number)
      return number.map { Cell(text: DecimalText.text($0, scale: scale), isQuoted: false) }
    case .list, .structure, .map:
      throw WeirError(.internal, "no table that is published has columns of type \(column.type.name), and \(table) has \(column.name)")
    case .string, .binary: return values.bytes(row).map { Cell(text: String(decoding: $0, as: UTF8.self), isQuoted: true) }
    }
  }

  /// Big-endian two's complement, as Parquet has decimals of more than 18 digits.
  private static func number(_ bytes: ArraySlice<UInt8>) -> Int128 {
    bytes.reduce(Int128(Int8(bitPattern: bytes.first ?? 0) < 0 ? -1 : 0)) { $0 << 8 | Int128($1) }
  }

  // MARK: Records as received

  private func received(_ group: Group, _ row: Int) throws(WeirError) -> SinkRecord {
    func bytes(_ name: String) -> [UInt8]? { group.columns[name]?.bytes(row).map { Array($0) } }
    func text(_ name: String) -> String { bytes(name).map { String(decoding: $0, as: UTF8.self) } ?? "" }
    func time(_ name: String) -> SinkRecord.Header {
      .init(
        "weir-" + name.map { $0 == "_" ? "-" : String($0) }.joined(),
        group.columns[name]?.int(row).map { Array(CivilTime.text(ofMicroseconds: $0).utf8) })
    }
    var headers: [SinkRecord.Header] = []
    if let original = bytes("headers") {
      guard let parsed = RecordHeaders.parse(original) else { throw WeirError(.corrupt, "\(table): headers are not a JSON list") }
      headers = parsed.map { .init($0.name, $0.value) }
    }
    let shard = text("_shard")
    if let name = ShardName(shard) {
      headers += [.init("weir-topic", name.stream), .init("weir-partition", name.part)]
    } else {
      headers.append(.init("weir-topic", shard))
    }
    headers.append(.init("weir-offset", group.columns["_position"]?.int(row).map { Array(String($0).utf8) }))
    if case .late = layout.kind {
      headers += [.init("weir-stage", "late"), time("event_time"), time("window_start"), time("window_end")]
    } else {
      headers += [.init("weir-stage", text("stage")), .init("weir-reason", text("reason"))]
    }
    return SinkRecord(key: bytes("key"), value: bytes("value"), headers: headers)
  }
}
