import WeirCore
import WeirEngine
import WeirLocal
import WeirPlan
import WeirProtocol

/// The adapters that this program is composed of, by name: a plan names them, and nothing else in the program does.
package struct AdapterRegistry: Sendable {
  var sources: [any SourceAdapter]
  var sinks: [any SinkAdapter]
  /// The first that accepts a lake's path opens it.
  var objectStores: [any ObjectStoreAdapter]
  /// The first is what the tables of a plan that names none are written in.
  var tableFormats: [any TableFormatAdapter]
  /// The last that accepts a place opens the state table there; the first of all is the one of a plan that names none.
  var stateTables: [any StateTableAdapter]
  var catalogs: [any TableCatalogAdapter]

  /// What `weir` has.
  package static let standard = AdapterRegistry(
    sources: [KafkaSourceAdapter(), KinesisSourceAdapter()], sinks: [KafkaSinkAdapter()], objectStores: [S3Adapter(), DirectoryAdapter()],
    tableFormats: [DeltaAdapter()], stateTables: [LMDBAdapter(), RedisAdapter(), DynamoDBAdapter()], catalogs: [GlueAdapter()])

  func source(_ name: String) -> (any SourceAdapter)? { sources.first { $0.name == name } }
  func sink(_ name: String) -> (any SinkAdapter)? { sinks.first { $0.name == name } }

  /// Opens the lake at a place.
  /// - Parameter settings: of the store, by its own names.
  /// - Throws: `config`.
  package func lake(_ path: String, settings: [String: String] = [:], _ effects: LakeEffects) async throws(WeirError) -> any ObjectStore {
    guard let adapter = objectStores.first(where: { $0.accepts(path) }) else { preconditionFailure("no adapter opens lakes") }
    return try await adapter.open(path, settings: settings, effects)
  }

  /// Settings of the store that a lake is in which would harm it.
  /// - Throws: `config`.
  package func examineLake(
    _ path: String, settings: [String: String] = [:], _ effects: LakeEffects
  ) async throws(WeirError) -> [StoreFinding] {
    try await objectStores.first { $0.accepts(path) }?.examine(path, settings: settings, effects) ?? []
  }

  /// See ``ObjectStoreAdapter/found(above:_:settings:_:)``.
  func found(
    above path: String, _ place: PlacePath, settings: [String: String], _ effects: LakeEffects
  ) async throws(WeirError) -> PlacesAbove {
    try await objectStores.first { $0.accepts(path) }?.found(above: path, place, settings: settings, effects) ?? PlacesAbove()
  }

  /// The format of a lake's tables.
  func tables(_ spec: TableFormatSpec?) -> any TableFormat {
    guard let adapter = spec.map({ spec in tableFormats.first { $0.name == spec.adapter } }) ?? tableFormats.first else {
      preconditionFailure("no adapter writes tables")
    }
    return adapter.format(spec?.settings)
  }

  /// Looks at what a plan's source needs.
  /// - Throws: `config`.
  package func examineSource(_ plan: Plan, report: (String, StoreFinding) -> Void) async throws(WeirError) {
    try await source(plan.source.adapter)?.examine(plan.source.settings, report: report)
  }

  /// What a capture of the plan's source reads; without a plan, of the first source that the request is enough for.
  package func captured(_ plan: Plan?, _ request: CaptureRequest) throws -> (any CaptureTarget)? {
    if let plan { return try source(plan.source.adapter)?.captured(plan.source.settings, request) }
    for adapter in sources { if let target = try adapter.captured(nil, request) { return target } }
    return nil
  }

  /// The plan's source as workers read it; nil: it is not a live one.
  package func live(_ plan: Plan) -> (any LiveSource)? { source(plan.source.adapter)?.live(plan.source.settings) }
}

/// A kind of source, as the runtime uses it.
protocol SourceAdapter: Sendable {
  /// The type of its settings.
  var settings: any SourceSettings.Type { get }
  var libraries: [LibraryVersion] { get }
  /// A source whose shards workers share; nil for others.
  func live(_ settings: any SourceSettings) -> (any LiveSource)?
  /// What a capture reads; nil for sources that no capture reads.
  /// - Parameter settings: of a pipeline; nil: the request says all.
  /// - Throws: `config` if the request is not right.
  func captured(_ settings: (any SourceSettings)?, _ request: CaptureRequest) throws -> (any CaptureTarget)?
  /// What the source of a plan costs.
  func costs(_ settings: any SourceSettings, _ question: CostQuestion) -> [ServiceCost]
  /// Looks at what the source needs, for `weir doctor`. Changes nothing.
  /// - Parameter report: gets a place and what was found there, when it is known.
  /// - Throws: `config`.
  func examine(_ settings: any SourceSettings, report: (String, StoreFinding) -> Void) async throws(WeirError)
}

extension SourceAdapter {
  func examine(_ settings: any SourceSettings, report: (String, StoreFinding) -> Void) async throws(WeirError) {}

  func costs(_ settings: any SourceSettings, _ question: CostQuestion) -> [ServiceCost] { [] }

  /// The key below `source`.
  var name: String { settings.adapter }
}

/// A live source of one plan.
package protocol LiveSource: Sendable {
  /// The client's own lines were asked for.
  var isDebugging: Bool { get }
  /// Whether a worker uses a setting, such as `source.kafka.brokers`.
  func isNeeded(_ setting: String, _ overrides: SourceOverrides) -> Bool
  /// A member of the group that shares the shards.
  func group(_ overrides: SourceOverrides, memory: MemoryBudget, log: @escaping ClientLog) async throws -> any ShardGroup
}

/// What the command line says instead of the pipeline file.
package struct SourceOverrides: Sendable {
  var brokers: String?
  /// Another program's checkpoints are taken over where they are ahead of the ledger.
  var acceptsCheckpoints: Bool

  package init(brokers: String? = nil, acceptsCheckpoints: Bool = false) {
    self.brokers = brokers
    self.acceptsCheckpoints = acceptsCheckpoints
  }
}

/// Takes a line of a client: its level, its subject, its text.
package typealias ClientLog = @Sendable (Int, String, String) -> Void

/// A kind of sink, as the runtime uses it.
protocol SinkAdapter: Sendable {
  /// The type of its settings.
  var settings: any SinkSettings.Type { get }
  var libraries: [LibraryVersion] { get }
  /// Whether publishing uses a setting, such as `sinks.kafka.brokers`.
  func isNeeded(_ setting: String, _ plan: Plan) -> Bool
  /// What the engine publishes with; nil if the plan's sinks are of another kind.
  func environment(
    _ plan: Plan, _ overrides: SourceOverrides, log: @escaping ClientLog, tell: @escaping @Sendable (WeirError) -> Void
  ) -> SinkEnvironment?
}

extension SinkAdapter {
  /// The key below `sinks`.
  var name: String { settings.adapter }
}

extension AdapterRegistry {
  /// What the engine publishes a plan's tables with; nil for a plan without topics.
  package func sinks(
    _ plan: Plan, _ overrides: SourceOverrides = .init(), log: @escaping ClientLog, tell: @escaping @Sendable (WeirError) -> Void
  ) -> SinkEnvironment? {
    plan.sinks.flatMap { sink($0.adapter)?.environment(plan, overrides, log: log, tell: tell) }
  }

  /// Whether publishing a plan's tables uses a setting.
  package func isNeededToPublish(_ setting: String, _ plan: Plan) -> Bool {
    plan.sinks.flatMap { sink($0.adapter)?.isNeeded(setting, plan) } ?? false
  }
}
