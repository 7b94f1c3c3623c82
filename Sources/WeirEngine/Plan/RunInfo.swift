import WeirCore
import WeirOperators

/// What every row that is kept as received carries.
struct RunInfo: Sendable {
  var shard: String
  var runID: String

  static let arrivalSources = ["event_time", "watermark", "epoch", "created", "appended"]
}
