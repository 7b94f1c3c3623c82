import WeirCore
import WeirOperators
import WeirProtocol

/// The schemas of the ids in a pipeline's records, fixed for ever.
///
/// Law 3: decoding must be repeatable. So the first answer of the registry is **pinned**: created in the lake by put-if-absent, under
/// the id, before any record is decoded with it. Any later reader (another worker, the next run, a replay over a copy of the
/// directory, with or without a registry) uses the pinned answer, also where it says that the id is unknown.
///
/// Bounds: ``schemasMax`` schemas in memory; ``unknownMax`` ids are pinned as unknown by one worker, so that garbage that
/// looks like ids does not fill the lake.
actor SchemaBook {
  static let schemasMax = 1024
  static let unknownMax = 256
  /// A schema that was registered just now may not be on all nodes of the registry yet.
  private static let unknownTries = 3
  private static let unknownRestNanoseconds: Int64 = 200_000_000
  private static let restNanoseconds: Int64 = 250_000_000
  private static let restMaxNanoseconds: Int64 = 2_000_000_000
  private static let tellNanoseconds: Int64 = 30_000_000_000

  private let environment: EngineEnvironment
  private let effects: RegistryEnvironment
  private let layout: LedgerLayout
  private let format: any RecordFormat
  private var known: [SchemaID: BlockSchemas.Resolved] = [:]
  private var unknown = 0
  private var toldAt: Int64?

  /// nil for a plan whose records carry no ids.
  init?(_ plan: Plan, environment: EngineEnvironment) {
    format = plan.record.recordFormat
    guard format.carriesSchemaIDs, let effects = environment.registry else { return nil }
    self.environment = environment
    self.effects = effects
    layout = LedgerLayout(pipeline: plan.pipeline)
  }

  /// The block with the schemas of its ids. Waits while the registry is unreachable, so nothing after it is read either.
  ///
  /// - Returns: nil when `isStopped` ended the wait.
  /// - Throws: errors that waiting does not fix.
  func resolve(_ raw: RawBlock, until isStopped: @Sendable () -> Bool) async throws -> RawBlock? {
    guard let framing = format.framing(of: raw) else { return raw }
    var resolved: [BlockSchemas.Resolved] = []
    for id in framing.ids {
      guard let one = try await resolve(id, until: isStopped) else { return nil }
      resolved.append(one)
    }
    var raw = raw
    raw.schemas = framing.schemas(resolved)
    return raw
  }

  private func resolve(_ id: SchemaID, until isStopped: @Sendable () -> Bool) async throws -> BlockSchemas.Resolved? {
    if let one = known[id] { return one }
    var rest = SchemaBook.restNanoseconds
    while true {
      do {
        let one = try await pinned(id)
        if known.count >= SchemaBook.schemasMax { known.removeAll() }
        known[id] = one
        return one
      } catch let error as WeirError where error.isRetriable {
        tell(error)
        if isStopped() { return nil }
        await environment.clock.sleep(nanoseconds: rest)
        if isStopped() { return nil }
        rest = min(2 * rest, SchemaBook.restMaxNanoseconds)
      }
    }
  }

  private func tell(_ error: WeirError) {
    let now = environment.clock.monotonicNanoseconds
    if let toldAt, now - toldAt < SchemaBook.tellNanoseconds { return }
    toldAt = now
    effects.tell(error)
  }

  // MARK: Pins

  private func pinned(_ id: SchemaID) async throws -> BlockSchemas.Resolved {
    let path = layout.schema(id.text)
    if let bytes = try await environment.lake.get(path) {
      try await environment.lake.sync(path)
      return try SchemaPin.decode(bytes, id, path)
    }
    let schema = try await ask(id)
    if schema == nil {
      unknown += 1
      if unknown > SchemaBook.unknownMax { return .unknown(id) }
    }
    let outcome = await environment.lake.putIfAbsent(NewObject(path: path, bytes: SchemaPin.encode(schema, id)))
    if outcome == .created { return schema.map { .known(id, $0) } ?? .unknown(id) }
    // Another worker's, or ours with the reply lost: what is stored there counts.
    guard let bytes = try await environment.lake.get(path) else {
      throw WeirError(.storage, "\(path) could not be written")
    }
    try await environment.lake.sync(path)
    return try SchemaPin.decode(bytes, id, path)
  }

  private func ask(_ id: SchemaID) async throws -> RegisteredSchema? {
    for attempt in 1...SchemaBook.unknownTries {
      if let schema = try await effects.registry.schema(id) { return schema }
      if attempt < SchemaBook.unknownTries, unknown < SchemaBook.unknownMax {
        await environment.clock.sleep(nanoseconds: SchemaBook.unknownRestNanoseconds)
      }
    }
    return nil
  }
}
