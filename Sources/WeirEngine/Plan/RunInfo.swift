import WeirCore
import WeirOperators

/// What every row that is kept as received carries.
package struct RunInfo: Sendable {
  var shard: String
  var runID: String

  static let arrivalSources = ["event_time", "watermark", "epoch", "created", "appended"]

  package init(shard: String, runID: String) {
    self.shard = shard
    self.runID = runID
  }
}
