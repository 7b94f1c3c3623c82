import WeirCore
import WeirProtocol

/// The rows and files that an entry gave each table: a replay of its decisions makes them again.
struct RecordedRows: Sendable {
  let number: Int64
  let rows: [String: Int64]
  /// Hashes of the files by table, in their order.
  private let hashes: [String: [String]]

  init(_ entry: LedgerEntry) {
    (number, rows) = (entry.number, RecordedRows.count(entry.tables))
    hashes = entry.tables.reduce(into: [:]) { $0[$1.table] = $1.files.map(\.hash) }
  }

  /// Whether the files have the same bytes. Another version of Weir may write the same rows in other bytes.
  func agrees(with files: [DataFile], in table: String) -> Bool { files.map(\.hash) == hashes[table] ?? [] }

  static func count(_ tables: [TableCommit]) -> [String: Int64] {
    tables.reduce(into: [:]) { rows, table in rows[table.table, default: 0] += table.files.reduce(0) { $0 + $1.rows } }
  }

  /// - Parameter without: tables that are not compared.
  /// - Throws: `capture_differs`.
  func check(_ found: [String: Int64], without: Set<String> = []) throws(WeirError) {
    for table in Set(found.keys).union(rows.keys).subtracting(without).sorted() where found[table] != rows[table] {
      throw WeirError(
        .captureDiffers,
        "entry \(number) of the live run added \(rows[table] ?? 0) rows to \(table), the replay makes \(found[table] ?? 0)",
        advice:
          "The pipeline's files and the capture must be those of the live run, and the version of Weir should be, too. A replay \(.withoutDecisions) uses the records that it has."
      )
    }
  }
}
