import WeirCore
import WeirOperators

/// What every row that is kept as received carries.
package struct RunInfo: Sendable {
  var shard: String
  var runID: String
  /// The source's positions are not dense: rows show them next to the ordinal.
  var hasSequences: Bool
  /// Records are elements of outer records: rows show their numbers.
  var hasElements: Bool

  static let arrivalSources = ["event_time", "watermark", "epoch", "created", "appended"]

  package init(shard: String, runID: String, hasSequences: Bool = false, hasElements: Bool = false) {
    self.shard = shard
    self.runID = runID
    (self.hasSequences, self.hasElements) = (hasSequences, hasElements)
  }

  /// Of the rows that a plan's source gives.
  init(_ plan: Plan, runID: String) {
    self.init(
      shard: plan.source.stream, runID: runID, hasSequences: plan.source.countsRecords, hasElements: plan.record.each != nil)
  }

  /// The same for one shard.
  func of(_ shard: String) -> RunInfo {
    RunInfo(shard: shard, runID: runID, hasSequences: hasSequences, hasElements: hasElements)
  }
}
