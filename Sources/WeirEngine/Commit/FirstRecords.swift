import WeirCore
import WeirOperators
import WeirProtocol

/// Stops a run that can use nothing of its input, before it has committed a record: a wrong format or a wrong declaration is found at
/// once, and not by someone who looks into the quarantine table later.
///
/// It applies until the ledger has its first record that was not rejected, and not to plans that allow all records to be rejected
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

  /// All records of the ledger were rejected, and the plan does not allow that.
  static func applies(_ plan: Plan, _ fold: LedgerFold) -> Bool {
    fold.counts.input == fold.counts.quarantined && (plan.quarantine.haltAbove ?? 0) < 1
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
      let record = record
      reasons.add(block, row, shard: shard, rejection, reason: rejection.reason) {
        record.recordFormat.hint(for: rejection, of: block.value(row).bytes, record)
      }
      if count >= FirstRecords.recordsMax { try end() }
    }
  }

  /// The input ends, or no more of it can be held back.
  /// - Throws: `all_rejected` if all records were rejected.
  func end() throws(WeirError) {
    if holdsBack { throw FirstRecords.error(reasons, rejected: Int64(count)) }
  }

  /// - Parameters:
  ///   - reasons: of the records that are not committed.
  ///   - rejected: records, all of them, from the beginning of the ledger or since its plan was replaced.
  ///   - committed: how many of them are in the quarantine table already.
  static func error(_ reasons: RejectedReasons, rejected: Int64, committed: Int64 = 0) -> WeirError {
    let records = rejected == 1 ? "the only record was" : "the first \(rejected) records were"
    let kept =
      committed == 0
      ? "nothing was committed" : "\(committed) of them are in quarantine, the other \(rejected - committed) were not committed"
    return WeirError(
      .allRejected, "\(records) rejected, and the ledger has no accepted record yet: \(kept)\n" + reasons.text(),
      advice:
        "Correct the pipeline or the input, and run again. To accept a stream whose records are all rejected, set \(.setting(.haltAbove)) to 100%."
    )
  }
}

extension EpochBatch {
  /// The rule of ``FirstRecords`` for streams of several shards, at each commit until a record was not rejected. Fewer rejected records
  /// than ``FirstRecords/recordsMax`` say nothing about a stream that continues: they are committed, to the quarantine table.
  /// - Returns: a record that was not rejected is in the ledger or in this batch, so the rule is over.
  /// - Throws: `all_rejected`.
  func checkFirstRecords(_ plan: Plan, _ fold: LedgerFold) throws(WeirError) -> Bool {
    let counts = epochs.reduce(into: BucketCounts()) { $0 += $1.counts }
    if counts.input > counts.quarantined || !FirstRecords.applies(plan, fold) { return true }
    // What an earlier plan rejected says nothing about the one that took its place.
    let committed = fold.counts.quarantined - (fold.planChange?.rejectedBefore ?? 0)
    if counts.quarantined > 0, committed + counts.quarantined >= FirstRecords.recordsMax {
      throw FirstRecords.error(rejected, rejected: committed + counts.quarantined, committed: committed)
    }
    return false
  }
}
