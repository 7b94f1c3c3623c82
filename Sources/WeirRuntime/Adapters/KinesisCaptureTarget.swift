import WeirCore
import WeirKinesis
import WeirKinesisSettings
import WeirPlan

/// A stream, as `weir capture` reads it.
struct KinesisCaptureTarget: CaptureTarget {
  /// Of a block, about: each shard has one on its way.
  private static let blockBytes = 1 << 20

  private let spec: KinesisSourceSpec

  /// - Throws: `config`.
  init(_ given: KinesisSourceSpec, _ request: CaptureRequest) throws(WeirError) {
    let others = [
      ("--brokers", request.brokers != nil), ("--topic", !request.streams.isEmpty), ("--option", !request.options.isEmpty),
    ]
    if let (option, _) = others.first(where: \.1) {
      throw WeirError(.config, "\(option) is for Kafka, and the pipeline reads Kinesis", advice: "Leave it out.")
    }
    var spec = given
    // A subscription of the application's consumer would take the place of a worker's.
    spec.settings.fanOut = nil
    if let start = request.start { spec.settings.start = try KinesisCaptureTarget.start(start) }
    self.spec = spec
  }

  var streams: [String] { [spec.stream] }
  var refreshMicroseconds: Int64 { spec.settings.refreshMicroseconds }
  func reads(_ stream: String) -> Bool { spec.reads(stream) }

  /// It has no leases, and is no member of the application.
  func isNeeded(_ setting: String) -> Bool {
    let others = ["app", "lease_endpoint", "consumer_arn"]
    return setting.hasPrefix("source.kinesis.") && !others.contains { setting == "source.kinesis.\($0)" }
  }

  func open(log: @escaping ClientLog) async throws -> any CapturableSource {
    KinesisCapture(
      try await KinesisLiveSource.group(spec, blockBytes: KinesisCaptureTarget.blockBytes, memory: KinesisMemory(), log: log))
  }

  private static func start(_ text: String) throws(WeirError) -> KinesisSettingsSpec.Start {
    switch text {
    case "trim_horizon": return .trimHorizon
    case "latest": return .latest
    default:
      guard let time = TimeText.microseconds(text), time >= 0 else {
        throw WeirError(.config, "--start must be trim_horizon, latest or a time such as 2026-01-31T00:00:00Z, not \(text)")
      }
      return .time(time)
    }
  }
}
