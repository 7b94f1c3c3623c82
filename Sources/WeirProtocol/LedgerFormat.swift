/// The format of the ledger's entries and snapshots. The current one is written, the one before is read.
///
/// - 1: a data file's statistics are the JSON of the Delta table format.
/// - 2: they are typed (``ColumnStats``); a table's entry names their columns once.
enum LedgerFormat {
  static let current: Int64 = 2
}
