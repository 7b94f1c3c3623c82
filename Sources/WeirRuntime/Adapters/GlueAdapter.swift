import WeirAWS
import WeirCore
import WeirEngine
import WeirGlue
import WeirGlueSettings
import WeirOperators
import WeirPlan
import WeirS3Settings

/// A kind of catalogue.
protocol TableCatalogAdapter: Sendable {
  /// The key below `catalog`.
  var name: String { get }
  /// - Parameter settings: by the adapter's own names.
  /// - Throws: `config`.
  func open(_ settings: [String: String], pipeline: String, _ effects: LakeEffects) throws(WeirError) -> any TableCatalog
  /// Looks at what workers will find there, for `weir doctor`. Changes nothing.
  /// - Throws: `config`.
  func examine(
    _ settings: [String: String], pipeline: String, _ tables: [CatalogTable], _ effects: LakeEffects
  ) async throws(WeirError) -> [StoreFinding]
  /// The address of a lake for the catalogue's users; nil: they cannot reach it.
  func location(_ lake: String) -> String?
}

/// `catalog: {glue: …}`: the Glue Data Catalog.
struct GlueAdapter: TableCatalogAdapter {
  let name = GlueSettings.adapter

  func open(_ options: [String: String], pipeline: String, _ effects: LakeEffects) throws(WeirError) -> any TableCatalog {
    try catalog(options, pipeline: pipeline, effects)
  }

  func examine(
    _ options: [String: String], pipeline: String, _ tables: [CatalogTable], _ effects: LakeEffects
  ) async throws(WeirError) -> [StoreFinding] { try await catalog(options, pipeline: pipeline, effects).examine(tables) }

  private func catalog(_ options: [String: String], pipeline: String, _ effects: LakeEffects) throws(WeirError) -> GlueCatalog {
    let settings: GlueSettings
    do { settings = try GlueSettings(options) } catch { throw WeirError(.config, "catalog.glue: \(error.reason)") }
    return GlueCatalog(
      settings, pipeline: pipeline, sender: ConfiguredGlue(settings), clock: effects.clock, random: effects.random)
  }

  func location(_ lake: String) -> String? { (try? S3Location(lake))?.description }
}

/// Reads the configuration of AWS at the first request: a worker begins without it.
private actor ConfiguredGlue: AWSSender {
  nonisolated let endpoint: String
  private let settings: GlueSettings
  private var client: AWSClient?

  init(_ settings: GlueSettings) {
    self.settings = settings
    endpoint = settings.endpoint ?? "Glue in \(settings.region ?? "the configured region")"
  }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let client: AWSClient
    if let known = self.client {
      client = known
    } else {
      let configuration = try await AWSWiring.configuration(region: settings.region)
      client = try configuration.client(of: .glue, endpoint: settings.endpoint, region: settings.region)
      self.client = client
    }
    return try await client.send(request)
  }
}

/// A plan's catalogue, and the tables that are registered there.
package struct PlanCatalog: Sendable {
  package var catalog: any TableCatalog
  package var tables: [CatalogTable]
}

extension Wiring {
  /// nil: the plan names no catalogue, or the command line another lake that the catalogue's users cannot reach.
  /// - Parameter lake: where the tables are; another one than the plan's if the command line says so.
  /// - Throws: `config`.
  package func catalog(_ plan: Plan, lake: String) throws(WeirError) -> PlanCatalog? {
    guard let spec = plan.catalog, let (adapter, tables) = try found(spec, plan, lake) else { return nil }
    return PlanCatalog(catalog: try adapter.open(spec.settings, pipeline: plan.pipeline, effects), tables: tables)
  }

  /// Looks at the plan's catalogue; empty: the plan names none. Changes nothing.
  /// - Throws: `config`.
  package func examineCatalog(_ plan: Plan, lake: String) async throws(WeirError) -> [StoreFinding] {
    guard let spec = plan.catalog else { return [] }
    guard let (adapter, tables) = try found(spec, plan, lake) else {
      return [StoreFinding(what: "the tables are registered", notice: "they are not: its users cannot reach the lake \(lake)")]
    }
    return try await adapter.examine(spec.settings, pipeline: plan.pipeline, tables, effects)
  }

  /// nil: the catalogue's users cannot reach the lake.
  private func found(
    _ spec: CatalogSpec, _ plan: Plan, _ lake: String
  ) throws(WeirError) -> (adapter: any TableCatalogAdapter, tables: [CatalogTable])? {
    guard let adapter = AdapterRegistry.standard.catalogs.first(where: { $0.name == spec.adapter }) else {
      throw WeirError(.config, "there is no catalogue \(spec.adapter)")
    }
    guard let root = adapter.location(lake) else { return nil }
    return (adapter, plan.tables.map { CatalogTable(path: $0.name, columns: $0.columns, location: "\(root)/\($0.name)") })
  }
}
