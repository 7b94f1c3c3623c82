/// What the end of a file means inside a plain capture of several files.
///
/// Entry 0 of a ledger records the rule, so that every later run of the ledger reads the capture the same way. Ledgers that were
/// started before there was a choice have none; they are read with ``join``.
public enum FileEnds: String, Sendable, Hashable, Codable {
  /// The end of a file ends a record, with or without a line end.
  case record
  /// The last line of a file continues in the next file: the parts that `split -b` makes.
  case join
}
