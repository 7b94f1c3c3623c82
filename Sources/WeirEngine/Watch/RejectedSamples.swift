import WeirCore

/// What a lane put into quarantine during an epoch, for the log: how many by stage, and some of them.
public struct RejectedSamples: Sendable {
  /// Records of an epoch and lane that are told one by one.
  static let samplesMax = 3

  public struct Sample: Sendable {
    public var shard: String
    public var position: Int64
    public var stage: String
    public var reason: String
    /// Of its headers, if they have one.
    public var trace: TraceContext?
  }

  public private(set) var byStage: [String: Int64] = [:]
  public private(set) var samples: [Sample] = []

  public init() {}

  mutating func add(_ block: PreparedBlock, _ row: Int, stage: String, reason: String) {
    byStage[stage, default: 0] += 1
    guard samples.count < RejectedSamples.samplesMax, let details = block.decoded.raw.details else { return }
    samples.append(
      Sample(
        shard: details.shard, position: block.position(row), stage: stage, reason: reason,
        trace: details.headers(row).flatMap(TraceContext.init(headers:))))
  }

  mutating func add(_ other: RejectedSamples) {
    for (stage, count) in other.byStage { byStage[stage, default: 0] += count }
    samples += other.samples.prefix(max(0, RejectedSamples.samplesMax - samples.count))
  }
}
