import WeirConfiguration
import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol
import WeirReport
import WeirRuntime

/// The rows of a gold table, read from the files that the ledger names.
struct GoldRows {
  private let columns: [ColumnSchema]
  private var rows: [[Literal]] = []
  /// The sum of the measure `orders`.
  private(set) var orders: Int64 = 0

  static func read(_ pipeline: LoadedPipeline, table number: Int) async throws -> GoldRows {
    let wiring = try await Wiring(try Places(pipeline, lake: nil, store: nil), withState: false, isLooking: true)
    let ledger = try await Ledger.required(
      LedgerLayout(pipeline: pipeline.plan.pipeline), store: wiring.lake, clock: wiring.clock, random: wiring.random)
    let path = pipeline.plan.path(of: .gold(number))
    let columns = pipeline.plan.tables.first { $0.name == path }?.columns ?? []
    var gold = GoldRows(columns: columns.filter { $0.name != "revision" && $0.name != "window_end" })
    for file in try await ledger.entries(after: 0, through: await ledger.fold.number).flatMap({ $0.files(of: path) }) {
      guard let bytes = try await wiring.lake.get(file.path) else { continue }
      try gold.add(ParquetReader(bytes, name: file.path))
    }
    gold.rows.sort { $0.map(GoldRows.key).lexicographicallyPrecedes($1.map(GoldRows.key)) }
    return gold
  }

  private init(columns: [ColumnSchema]) { self.columns = columns }

  private static func key(_ value: Literal) -> String { ValueText.json(value).text }

  private mutating func add(_ file: ParquetReader) throws {
    let leaves = columns.map { column in file.leaves.firstIndex { $0.path == [column.name] } }
    for group in 0..<file.groups {
      let read = try leaves.map { leaf in try leaf.map { try file.column($0, group: group) } }
      for row in 0..<file.rows(inGroup: group) {
        let values = zip(columns, read).map { GoldRows.value($1, row, $0.type) }
        for (column, value) in zip(columns, values) where column.name == "orders" {
          if case .int64(let count) = value { orders += count }
        }
        rows.append(values)
      }
    }
  }

  private static func value(_ column: ParquetColumn?, _ row: Int, _ type: ColumnType) -> Literal {
    guard let column else { return .null }
    switch type {
    case .int64: return column.int(row).map { .int64($0) } ?? .null
    case .timestamp: return column.int(row).map { .timestamp($0) } ?? .null
    case .string: return column.bytes(row).map { .string(String(decoding: $0, as: UTF8.self)) } ?? .null
    case .decimal(let precision, let scale):
      guard let number = column.int(row).map({ Int128($0) }) ?? column.bytes(row).map(GoldRows.number) else { return .null }
      return .decimal(number, precision: precision, scale: scale)
    default: return .null
    }
  }

  /// Two's complement, the highest byte first.
  private static func number(_ bytes: ArraySlice<UInt8>) -> Int128 {
    bytes.reduce(Int128(bytes.first.map { $0 >= 0x80 ? -1 : 0 } ?? 0)) { $0 << 8 | Int128($1) }
  }

  func show(_ console: Console) throws(WeirError) {
    var writer = RowWriter(columns.map(\.name), format: .table, console: console)
    for row in rows { try writer.add(row) }
    try writer.finish()
  }
}
