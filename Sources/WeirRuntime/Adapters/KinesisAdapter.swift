import Synchronization
import WeirAWS
import WeirCore
import WeirEngine
import WeirKinesis
import WeirKinesisSettings
import WeirLocal

/// `source: {kinesis: …}`: a stream, whose shards are lanes.
struct KinesisSourceAdapter: SourceAdapter {
  var settings: any SourceSettings.Type { KinesisSourceSpec.self }
  var libraries: [LibraryVersion] { [] }

  func live(_ settings: any SourceSettings) -> (any LiveSource)? {
    (settings as? KinesisSourceSpec).map { KinesisLiveSource(spec: $0) }
  }

  /// A capture has dense positions, and this source has none.
  func captured(_ settings: (any SourceSettings)?, _ request: CaptureRequest) throws -> (any CaptureTarget)? {
    guard settings is KinesisSourceSpec else { return nil }
    throw WeirError(
      .config, "weir capture does not read Kinesis yet", advice: "Use weir run, whose bronze table has every record as received.")
  }
}

/// A stream, as the workers of an application read it.
struct KinesisLiveSource: LiveSource {
  /// Shards that memory is shared out for.
  private static let shardsExpected = 16

  let spec: KinesisSourceSpec
  private let memory = KinesisMemory()
  private let clients = KinesisClients()

  init(spec: KinesisSourceSpec) { self.spec = spec }

  var isDebugging: Bool { false }

  func isNeeded(_ setting: String, _ overrides: SourceOverrides) -> Bool { true }

  func group(_ overrides: SourceOverrides, memory: MemoryBudget, log: @escaping ClientLog) async throws -> any ShardGroup {
    if overrides.brokers != nil {
      throw WeirError(.config, "--brokers is for Kafka, and the pipeline reads Kinesis", advice: "Leave it out.")
    }
    let settings = spec.settings
    let (requests, shardRequests, leases): (any AWSSender, @Sendable () throws -> KinesisRequests, any AWSSender)
    do throws(AWSFailure) {
      let configuration = try await clients.configuration(settings.region)
      requests = try configuration.client(of: .kinesis, endpoint: settings.endpoint, region: settings.region)
      leases = try configuration.client(of: .dynamodb, endpoint: settings.leaseEndpoint, region: settings.region)
      // The reader of a shard has pauses of its own.
      var single = configuration
      single.retries.attemptsMax = 2
      shardRequests = { [spec, single] in
        let client = try single.client(of: .kinesis, endpoint: settings.endpoint, region: settings.region)
        return KinesisRequests(client, stream: spec.stream, arn: settings.arn)
      }
    } catch {
      throw WeirError(.config, error.message, advice: "Check the settings of AWS: environment, profiles, endpoint.")
    }
    let parts = KinesisParts(
      requests: KinesisRequests(requests, stream: spec.stream, arn: settings.arn), shardRequests: shardRequests,
      table: LeaseTable(leases, name: settings.app), clock: SystemClock(), random: SystemRandom(), memory: self.memory,
      log: { log(4, "kinesis", $0) })
    let share = min(64 << 20, Int(memory.queueBytes)) / KinesisLiveSource.shardsExpected
    return KinesisGroup(spec, parts, blockBytes: min(memory.blockBytes, max(64 << 10, share)))
  }
}

/// What the environment and the profiles say of AWS, read once for all sessions of the process, and the threads that requests run on.
private final class KinesisClients: Sendable {
  private let known = Mutex<AWSConfiguration?>(nil)

  func configuration(_ region: String?) async throws(AWSFailure) -> AWSConfiguration {
    if let known = known.withLock({ $0 }) { return known }
    let machine = SystemAWSMachine.standard(clock: SystemClock(), random: SystemRandom(), threads: BlockingThreads(count: 1))
    let loaded = try await AWSConfiguration.load(machine, region: region)
    known.withLock { $0 = $0 ?? loaded }
    return loaded
  }
}
