import WeirCore
import WeirOperators
import WeirProtocol

/// What a run wants to continue with, to be compared with what the ledger says.
package struct LedgerRequest: Sendable {
  package var meaning: JSONValue
  package var planHash: String
  /// nil: what the ledger says, or the default.
  package var lanes: Int?
  /// Of a plain capture. nil: what the ledger says, or ``FileEnds/record``.
  package var fileEnds: FileEnds?
  /// For a new ledger.
  /// nil: the ledger's id.
  package var runID: String?
  /// Shards of a live source, each a lane of its own. nil: a capture, partitioned over `lanes`.
  package var shards: [String]?
  /// Of the ledger that this worker has opened before: no other is opened, and none is founded.
  package var ledgerID: String?
  /// Describes how the plan differs from the ledger's.
  package var describeChange: @Sendable (_ old: JSONValue, _ new: JSONValue) -> [String]
  /// Whether the input had this id when there was less of it: a short capture that has grown since is still the same.
  package var isEarlierRunID: @Sendable (String) -> Bool

  package init(
    meaning: JSONValue, planHash: String, lanes: Int?, runID: String?, shards: [String]? = nil,
    describeChange: @escaping @Sendable (_ old: JSONValue, _ new: JSONValue) -> [String],
    isEarlierRunID: @escaping @Sendable (String) -> Bool = { _ in false }
  ) {
    self.meaning = meaning
    self.planHash = planHash
    self.lanes = lanes
    self.runID = runID
    self.shards = shards
    self.describeChange = describeChange
    self.isEarlierRunID = isEarlierRunID
  }
}
