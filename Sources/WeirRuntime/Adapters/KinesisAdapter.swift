import WeirAWS
import WeirCore
import WeirEngine
import WeirKinesis
import WeirKinesisSettings
import WeirLocal
import WeirPlan

/// `source: {kinesis: …}`: a stream, whose shards are lanes.
struct KinesisSourceAdapter: SourceAdapter {
  var settings: any SourceSettings.Type { KinesisSourceSpec.self }
  var libraries: [LibraryVersion] { [] }

  func live(_ settings: any SourceSettings) -> (any LiveSource)? {
    (settings as? KinesisSourceSpec).map { KinesisLiveSource(spec: $0) }
  }

  func costs(_ settings: any SourceSettings, _ question: CostQuestion) -> [ServiceCost] {
    guard let spec = settings as? KinesisSourceSpec else { return [] }
    return KinesisCost.services(spec, question.activity, question.inputs)
  }

  func examine(_ settings: any SourceSettings, report: (String, StoreFinding) -> Void) async throws(WeirError) {
    guard let spec = settings as? KinesisSourceSpec else { return }
    if case .time(let start) = spec.settings.start, let notice = FutureStart.onKinesis(start, now: SystemClock().wallMicroseconds) {
      report("source.kinesis.start", StoreFinding(what: "\(CivilTime.text(ofMicroseconds: start))", notice: notice))
    }
    let clients = try await KinesisClients.make(spec.settings)
    await KinesisExamination(
      requests: KinesisRequests(clients.stream, stream: spec.stream, arn: spec.settings.arn),
      table: LeaseTable(clients.leases, name: spec.settings.app), creates: spec.settings.createsTable
    ).run(report)
  }

  func captured(_ settings: (any SourceSettings)?, _ request: CaptureRequest) throws -> (any CaptureTarget)? {
    try (settings as? KinesisSourceSpec).map { try KinesisCaptureTarget($0, request) }
  }
}

/// A stream, as the workers of an application read it.
struct KinesisLiveSource: LiveSource {
  /// Shards that memory is shared out for.
  static let shardsExpected = 16

  let spec: KinesisSourceSpec
  private let memory = KinesisMemory()

  init(spec: KinesisSourceSpec) { self.spec = spec }

  var isDebugging: Bool { false }

  func isNeeded(_ setting: String, _ overrides: SourceOverrides) -> Bool { true }

  func group(_ overrides: SourceOverrides, memory: MemoryBudget, log: @escaping ClientLog) async throws -> any ShardGroup {
    if overrides.brokers != nil {
      throw WeirError(.config, "--brokers is for Kafka, and the pipeline reads Kinesis", advice: "Leave it out.")
    }
    if case .time(let start) = spec.settings.start, let notice = FutureStart.onKinesis(start, now: SystemClock().wallMicroseconds) {
      log(FutureStart.level, "kinesis", "start \(CivilTime.text(ofMicroseconds: start)): \(notice)")
    }
    let share = min(64 << 20, Int(memory.queueBytes)) / KinesisLiveSource.shardsExpected
    return try await KinesisLiveSource.group(
      spec, blockBytes: min(memory.blockBytes, max(64 << 10, share)), memory: self.memory, acceptsCheckpoints: overrides.acceptsCheckpoints,
      log: log)
  }

  /// A group that was not joined.
  static func group(
    _ spec: KinesisSourceSpec, blockBytes: Int, memory: KinesisMemory, acceptsCheckpoints: Bool = false, log: @escaping ClientLog
  ) async throws(WeirError) -> KinesisGroup {
    let settings = spec.settings
    let clients = try await KinesisClients.make(settings)
    // The reader of a shard has pauses of its own.
    var single = clients.configuration
    single.retries.attemptsMax = 2
    let shardRequests: @Sendable () throws -> KinesisRequests = { [spec, single] in
      let client = try single.client(of: .kinesis, endpoint: settings.endpoint, region: settings.region)
      return KinesisRequests(client, stream: spec.stream, arn: settings.arn)
    }
    let parts = KinesisParts(
      requests: KinesisRequests(clients.stream, stream: spec.stream, arn: settings.arn), shardRequests: shardRequests,
      table: LeaseTable(clients.leases, name: settings.app), clock: SystemClock(), random: SystemRandom(), memory: memory,
      acceptsCheckpoints: acceptsCheckpoints, log: { log(4, "kinesis", $0) })
    return KinesisGroup(spec, parts, blockBytes: blockBytes)
  }
}

/// Streams apart from pipelines.
package enum KinesisWiring {
  /// What puts records into a stream, which exists; region and endpoint are those of the environment.
  /// - Parameter stream: its name or its ARN.
  /// - Throws: `config`, `topic_missing`, `refused`, `unavailable`.
  package static func putter(_ stream: String, aggregates: Bool, clock: any Clock) async throws(WeirError) -> KinesisPutter {
    var settings = KinesisSettingsSpec()
    var name = stream
    if let parts = KinesisNames.parts(ofARN: stream) {
      (settings.arn, settings.region, name) = (stream, parts.region, parts.stream)
    } else if !KinesisNames.isStream(stream) {
      throw WeirError(.config, "--kinesis must be the name or the ARN of a stream, not \(Printable.text(stream, bytesMax: 200))")
    }
    let clients = try await KinesisClients.make(settings)
    let putter = KinesisPutter(KinesisRequests(clients.stream, stream: name, arn: settings.arn), clock: clock, aggregates: aggregates)
    try await putter.shards()
    return putter
  }
}

private enum KinesisClients {
  /// Clients of the stream and of the table of leases.
  /// - Throws: `config`.
  static func make(
    _ settings: KinesisSettingsSpec
  ) async throws(WeirError) -> (configuration: AWSConfiguration, stream: AWSClient, leases: AWSClient) {
    do throws(AWSFailure) {
      let configuration = try await AWSWiring.configuration(region: settings.region)
      return (
        configuration, try configuration.client(of: .kinesis, endpoint: settings.endpoint, region: settings.region),
        try configuration.client(of: .dynamodb, endpoint: settings.leaseEndpoint, region: settings.region)
      )
    } catch {
      throw WeirError(.config, error.message, advice: "Check the settings of AWS: environment, profiles, endpoint.")
    }
  }
}
