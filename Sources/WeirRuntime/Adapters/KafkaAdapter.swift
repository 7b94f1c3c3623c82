import WeirCore
import WeirEngine
import WeirKafka
import WeirKafkaSettings
import WeirLocal
import WeirPlan

extension LibraryVersion {
  fileprivate static var kafka: LibraryVersion { LibraryVersion(name: "librdkafka", version: KafkaLibrary.version) }
}

/// `source: {kafka: …}`: topics, whose partitions are lanes.
struct KafkaSourceAdapter: SourceAdapter {
  var settings: any SourceSettings.Type { KafkaSourceSpec.self }
  var libraries: [LibraryVersion] { [.kafka] }

  func live(_ settings: any SourceSettings) -> (any LiveSource)? {
    (settings as? KafkaSourceSpec).map { KafkaLiveSource(spec: $0) }
  }

  func captured(_ settings: (any SourceSettings)?, _ request: CaptureRequest) throws -> (any CaptureTarget)? {
    guard settings == nil || settings is KafkaSourceSpec else { return nil }
    return try KafkaCaptureTarget(settings as? KafkaSourceSpec, request)
  }

  func examine(_ settings: any SourceSettings, report: (String, StoreFinding) -> Void) async throws(WeirError) {
    guard let spec = settings as? KafkaSourceSpec, case .time(let start) = spec.settings.start,
      let notice = FutureStart.onKafka(start, now: SystemClock().wallMicroseconds)
    else { return }
    report("source.kafka.start", StoreFinding(what: CivilTime.text(ofMicroseconds: start), notice: notice))
  }

  func costs(_ settings: any SourceSettings, _ question: CostQuestion) -> [ServiceCost] {
    guard let spec = settings as? KafkaSourceSpec else { return [] }
    return KafkaCost.services(spec.settings.brokers, question.activity, question.inputs)
  }
}

/// What a start at a time in the future means, which few expect.
enum FutureStart {
  /// Of a line in the log: a warning.
  static let level = 4

  /// - Parameters:
  ///   - start: UTC microseconds since 1970.
  ///   - now: the same.
  /// - Returns: nil: it is not in the future.
  static func onKafka(_ start: Int64, now: Int64) -> String? {
    guard start > now else { return nil }
    return
      "it is in the future, and no record is that young: partitions without a committed position are read from their end, and nothing before that"
  }

  /// The same for Kinesis, which compares arrivals with the time.
  static func onKinesis(_ start: Int64, now: Int64) -> String? {
    start > now ? "it is in the future: records that arrive before it are not read" : nil
  }
}

/// Topics, as the workers of a consumer group read them.
struct KafkaLiveSource: LiveSource {
  /// Shards that memory is shared out for before the broker has reported how many there are.
  private static let shardsExpected = 16

  let spec: KafkaSourceSpec

  var isDebugging: Bool { spec.settings.options["debug"] != nil }

  func isNeeded(_ setting: String, _ overrides: SourceOverrides) -> Bool {
    setting != "source.kafka.brokers" || overrides.brokers == nil
  }

  func group(_ overrides: SourceOverrides, memory: MemoryBudget, log: @escaping ClientLog) async throws -> any ShardGroup {
    if overrides.acceptsCheckpoints {
      throw WeirError(
        .config, "--accept-checkpoints is for Kinesis, and the pipeline reads Kafka",
        advice: "A Kafka worker reads from the ledger's positions, whatever the group has committed: leave it out.")
    }
    let observer = KafkaObserver(log: log)
    if case .time(let start) = spec.settings.start, let notice = FutureStart.onKafka(start, now: SystemClock().wallMicroseconds) {
      log(FutureStart.level, "start", "\(CivilTime.text(ofMicroseconds: start)): \(notice)")
    }
    try await SecretService.fetch(spec.settings.secrets)
    let shards = try await count(overrides, observer)
    return try KafkaGroup(
      KafkaWiring.settings(spec, brokers: overrides.brokers, shards: shards, memory: memory),
      start: KafkaWiring.start(spec.settings.start), observer: observer)
  }

  /// How many shards there are: sizes of queues and blocks depend on it, and a client takes them when it is made.
  private func count(_ overrides: SourceOverrides, _ observer: KafkaObserver) async throws -> Int {
    let group = try KafkaGroup(
      KafkaWiring.settings(spec, brokers: overrides.brokers, shards: KafkaLiveSource.shardsExpected), start: .earliest, observer: observer)
    do {
      let count = try await group.shards().count
      await group.close()
      return count
    } catch {
      await group.close()
      throw error
    }
  }
}

/// `sinks: {kafka: …}`: topics that tables are published to.
struct KafkaSinkAdapter: SinkAdapter {
  var settings: any SinkSettings.Type { KafkaSinkSpec.self }
  var libraries: [LibraryVersion] { [.kafka] }

  /// Its own settings, and where it names no brokers, those of the source.
  func isNeeded(_ setting: String, _ plan: Plan) -> Bool {
    guard let spec = plan.sinks?.settings as? KafkaSinkSpec else { return false }
    return setting.hasPrefix("sinks.") || spec.brokers == nil && setting.hasPrefix("source.kafka.") && setting != "source.kafka.instance"
  }

  func environment(
    _ plan: Plan, _ overrides: SourceOverrides, log: @escaping ClientLog, tell: @escaping @Sendable (WeirError) -> Void
  ) -> SinkEnvironment? {
    guard let spec = plan.sinks?.settings as? KafkaSinkSpec else { return nil }
    let settings = KafkaWiring.settings(spec, source: KafkaSourceSpec.of(plan), brokers: overrides.brokers)
    let secrets = (spec.sasl?.secrets ?? []) + (spec.tls?.secrets ?? []) + (KafkaSourceSpec.of(plan)?.settings.secrets ?? [])
    return SinkEnvironment(
      make: {
        try await SecretService.fetch(spec.brokers == nil ? secrets : (spec.sasl?.secrets ?? []) + (spec.tls?.secrets ?? []))
        return try KafkaSink.connect(settings, observer: KafkaObserver(log: log))
      }, tell: tell)
  }
}
