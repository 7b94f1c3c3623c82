import WeirCore
import WeirOperators
import WeirProtocol

/// Stops a run that can use nothing of its input, before it has committed a record: a wrong format or a wrong declaration is found at
/// once, and not by someone who looks into the quarantine table later.
///
/// It applies until the ledger has its first accepted record, and not to plans that allow all records to be rejected
/// (`quarantine: {halt_above: 100%}`). It is undecided as long as all records were rejected, and fewer than ``recordsMax``.
struct FirstRecords {
  /// Rejected records, with no other before them, that stop the run.
  static let recordsMax = 1000
  /// Input bytes for which a replay waits with its first commit for the ``recordsMax``: they are held in memory.
  static let bytesMax: Int64 = 64 << 20

  private let record: RecordSpec
  private let shard: String
  private var isDecided: Bool
  private var count = 0
  private var reasons = RejectedReasons()

  init(_ plan: Plan, _ fold: LedgerFold) {
    isDecided = !FirstRecords.applies(plan, fold)
    record = plan.record
    shard = plan.source.stream
  }

  static func applies(_ plan: Plan, _ fold: LedgerFold) -> Bool {
    fold.counts.accepted == 0 && (plan.quarantine.haltAbove ?? 0) < 1
  }

  /// All records so far were rejected, and there were some: nothing may be committed yet.
  var holdsBack: Bool { !isDecided && count > 0 }

  /// Takes a block in shard order, after checks and guards.
  /// - Throws: `all_rejected`.
  mutating func take(_ block: PreparedBlock) throws(WeirError) {
    guard !isDecided else { return }
    for row in 0..<block.count {
      guard block.columns.verdict[row] == PreparedBlock.Verdict.rejected, let rejection = block.rejections[row] else {
        isDecided = true
        return
      }
      count += 1
      reasons.add(block, row, shard: shard, rejection, reason: rejection.reason) {
        RejectionHint.of(rejection, block.value(row).bytes, record)
      }
      if count >= FirstRecords.recordsMax { try end() }
    }
  }

  /// The input ends, or no more of it can be held back.
  /// - Throws: `all_rejected` if all records were rejected.
  func end() throws(WeirError) {
    if holdsBack { throw FirstRecords.error(reasons, count == 1 ? "the only record was" : "the first \(count) records were") }
  }

  static func error(_ reasons: RejectedReasons, _ records: String) -> WeirError {
    WeirError(
      "all_rejected", "\(records) rejected, and the ledger has no accepted record yet: nothing was committed\n" + reasons.text(),
      advice:
        "Correct the pipeline or the input, and run again. If a stream of which nothing is accepted is what you want: quarantine: {halt_above: 100%}."
    )
  }
}

extension EpochBatch {
  /// The rule of ``FirstRecords`` for streams of several shards: at the first commit that has records.
  /// - Parameter isOpen: a record that was not rejected came before.
  /// - Throws: `all_rejected`.
  func checkFirstRecords(_ plan: Plan, _ fold: LedgerFold, isOpen: inout Bool) throws(WeirError) {
    if isOpen { return }
    let counts = epochs.reduce(into: BucketCounts()) { $0 += $1.counts }
    isOpen = counts.input > counts.quarantined || !FirstRecords.applies(plan, fold)
    if !isOpen, counts.quarantined > 0 { throw FirstRecords.error(rejected, "the first \(counts.quarantined) records were") }
  }
}
