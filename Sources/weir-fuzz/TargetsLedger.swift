import WeirCore
import WeirProtocol
import WeirTesting

extension FuzzTarget {
  private static let ledgerWords =
    jsonWords + [
      "self", "max", "s/0of2", "s/1of3", "_merge", "\"lanes\":[", "\"decisions\":[", "\"epoch\":", "\"from\":", "\"to\":", "\"counts\":{",
    ]

  /// The document's bytes with the hash that fits them.
  private static func sealed(_ input: [UInt8]) -> [UInt8]? { (try? JSONValue(parsing: input)).flatMap(SampleLedger.sealed) }

  /// All that a worker does with a fold.
  private static func use(_ fold: LedgerFold) throws {
    expect(try LedgerFold(bytes: fold.bytes) == fold, "written and read it is another fold")
    SampleLedger.use(fold)
  }

  static let ledgerEntry = FuzzTarget(
    "ledger-entry", words: ledgerWords,
    seeds: { [try SampleLedger.folded().next.bytes, SampleLedger.first.bytes] }
  ) { input in
    if let entry = try? LedgerEntry(bytes: input) { expect(entry.bytes == input, "written it is another entry") }
    guard let bytes = sealed(input) else { return }
    let entry = try LedgerEntry(bytes: bytes)
    expect(entry.bytes == bytes, "written it is another entry")
    if entry.genesis != nil { try use(try LedgerFold(genesis: entry)) }
    var fold = try SampleLedger.folded().fold
    try fold.apply(entry)
    try use(fold)
  }

  static let ledgerSnapshot = FuzzTarget("ledger-snapshot", words: ledgerWords, seeds: { [try SampleLedger.folded().fold.bytes] }) {
    input in
    if let fold = try? LedgerFold(bytes: input) { expect(fold.bytes == input, "written it is another snapshot") }
    guard let bytes = sealed(input) else { return }
    try use(try LedgerFold(bytes: bytes))
  }
}
