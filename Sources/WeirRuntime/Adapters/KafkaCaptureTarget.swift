import WeirCore
import WeirKafka
import WeirKafkaSettings
import WeirLocal
import WeirPlan

/// Topics, as `weir capture` reads them.
struct KafkaCaptureTarget: CaptureTarget {
  /// Partitions that memory is shared out for before the broker has reported how many there are.
  private static let partitionsExpected = 64

  private let spec: KafkaSourceSpec
  private let brokers: String?

  /// - Parameter given: of a pipeline; nil: the request says all.
  init(_ given: KafkaSourceSpec?, _ request: CaptureRequest) throws {
    brokers = request.brokers
    if given == nil, request.brokers == nil || request.streams.isEmpty {
      throw WeirError(.config, "no topic to capture", advice: "Name a pipeline file, or --brokers HOST:PORT and --topic NAME.")
    }
    var spec = given ?? KafkaSourceSpec(topics: [])
    if !request.streams.isEmpty { spec.topics = request.streams.sorted() }
    for topic in spec.topics where KafkaSourceSpec.problem(ofTopic: topic) != nil {
      throw WeirError(.config, "\(topic) is not a topic name; a name that begins with ^ must be a regular expression (POSIX extended)")
    }
    for (name, value) in request.options { spec.settings.options[name] = value }
    if let start = request.start { spec.settings.start = try KafkaCaptureTarget.start(start) }
    self.spec = spec
  }

  var streams: [String] { spec.topics }
  var refreshMicroseconds: Int64 { spec.settings.refresh }
  func reads(_ stream: String) -> Bool { spec.reads(stream) }

  /// It joins no group, under no name.
  func isNeeded(_ setting: String) -> Bool {
    setting.hasPrefix("source.kafka.") && setting != "source.kafka.instance" && !(brokers != nil && setting == "source.kafka.brokers")
  }

  func open(log: @escaping ClientLog) async throws -> any CapturableSource {
    if case .time(let start) = spec.settings.start, let notice = FutureStart.onKafka(start, now: SystemClock().wallMicroseconds) {
      log(FutureStart.level, "start", "\(CivilTime.text(ofMicroseconds: start)): \(notice)")
    }
    try await SecretService.fetch(spec.settings.secrets)
    return try KafkaCapture(
      KafkaWiring.settings(spec, brokers: brokers, shards: KafkaCaptureTarget.partitionsExpected),
      start: KafkaWiring.start(spec.settings.start), observer: KafkaObserver(log: log))
  }

  private static func start(_ text: String) throws -> KafkaSettingsSpec.Start {
    switch text {
    case "earliest": return .earliest
    case "latest": return .latest
    default:
      guard let time = TimeText.microseconds(text) else {
        throw WeirError(.config, "--start must be earliest, latest or a time such as 2026-01-31T00:00:00Z, not \(text)")
      }
      return .time(time)
    }
  }
}
