import Foundation
import WeirCore
import WeirEngine
import WeirKafka
import WeirProtocol

/// What `weir run` was asked.
public struct RunOptions: Sendable {
  public var pipeline: String
  public var lake: String?
  public var store: String?
  /// Instead of the pipeline's.
  public var brokers: String?
  public var json: Bool

  public init(pipeline: String, lake: String?, store: String?, brokers: String?, json: Bool) {
    self.pipeline = pipeline
    self.lake = lake
    self.store = store
    self.brokers = brokers
    self.json = json
  }
}

/// `weir run`: a worker on a live source.
public enum RunCommand {
  /// Shards that memory is shared out for before the broker has told how many there are.
  private static let shardsExpected = 16

  /// - Returns: the exit code; 0 after SIGTERM or SIGINT and an orderly end.
  public static func run(_ options: RunOptions, console: Console) async throws -> Int32 {
    let pipeline = try loadPipeline(file: options.pipeline)
    for warning in pipeline.warnings { console.talk(warning.text) }
    guard let kafka = pipeline.plan.source.kafka else {
      throw WeirError(
        "config", "\(options.pipeline) has no live source", advice: "Give it source: {kafka: …}, or use `weir replay` for captures.")
    }
    let wiring = try Wiring(Places(pipeline, lake: options.lake, store: options.store), withState: !pipeline.plan.state.isEmpty)
    let interrupt = Interrupt()
    interrupt.listen(console, saying: "handing the lanes over; press again to stop at once (nothing that was committed is lost)")
    let report = RunReport(console: console, json: options.json, isDebugging: kafka.settings.options["debug"] != nil)
    let request = try LedgerRequest(
      meaning: PlanMeaning.json(pipeline.plan), planHash: PlanMeaning.hash(pipeline.plan).hex, lanes: nil, runID: nil,
      describeChange: { PlanMeaning.changes(from: $0, to: $1) })
    let shards = try await count(kafka, options.brokers)
    let worker = LiveWorker(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: wiring.environment, request: request,
      group: {
        try KafkaGroup(
          KafkaWiring.settings(kafka, brokers: options.brokers, shards: shards),
          start: KafkaWiring.start(kafka.settings.start),
          observer: KafkaObserver(log: { level, facility, text in report.log(level, facility, text) }))
      },
      observe: { report.tell($0) }, isInterrupted: { interrupt.isAsked })
    let (progress, fold) = try await worker.run()
    report.end(progress, fold)
    return 0
  }

  /// How many shards there are: sizes of queues and blocks depend on it, and a client takes them when it is made.
  private static func count(_ kafka: KafkaSourceSpec, _ brokers: String?) async throws -> Int {
    let group = try KafkaGroup(KafkaWiring.settings(kafka, brokers: brokers, shards: shardsExpected), start: .earliest)
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
