import Foundation
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLocal
import WeirOperators
import WeirPlan
import WeirProtocol
import WeirReport
import WeirRuntime

/// `weir state get | scan | rebuild`.
package enum StateCommands {
  /// - Parameters:
  ///   - store: the directory; else the pipeline's.
  ///   - keys: one text a `by` column that is not among `nulls`.
  ///   - nulls: names of `by` columns whose key is null.
  ///   - lake: instead of the pipeline's. With a lake the ledger itself says what is committed.
  /// - Returns: 0, or 1 when there is no such row.
  package static func get(
    table: String, keys: [String], nulls: [String] = [], store: String?, pipeline: String?, lake: String?, format: RowFormat,
    console: Console
  ) async throws -> Int32 {
    let reader = try await reader(table, store, pipeline, lake, console)
    let values = try KeyArgument.values(keys, nulls: nulls, reader.by, table: table)
    guard let row = try await reader.table.read(table: table, key: StateKey.encode(values)), row.value != nil else {
      console.talk("no such row in \(table)")
      return 1
    }
    try await reader.show(row, format: format, console: console)
    return 0
  }

  package static func scan(
    table: String, prefix: String?, limit: Int?, store: String?, pipeline: String?, lake: String?, format: RowFormat, console: Console
  ) async throws -> Int32 {
    if let limit, limit < 0 {
      throw WeirError(.config, "--limit must not be negative, and is \(limit)", advice: "Leave --limit out for all rows.")
    }
    let reader = try await reader(table, store, pipeline, lake, console)
    if prefix != nil, reader.by.first?.type != .string {
      throw WeirError(
        .config, "--prefix needs a table whose first key column is a string; that of \(table) is \(reader.by.first?.type.name ?? "none")",
        advice: "Leave --prefix out, or read one row with `weir state get`.")
    }
    try await reader.show(prefix: prefix.map(StateKey.prefix) ?? [], limit: limit, format: format, console: console)
    return 0
  }

  private static func reader(
    _ table: String, _ store: String?, _ pipeline: String?, _ lake: String?, _ console: Console
  ) async throws -> StateReader {
    let place = try await directory(store, pipeline)
    if let pipeline { try await requireState(pipeline) }
    var reader = try await StateReader(table: table, store: place)
    guard let pipeline else {
      guard lake == nil else {
        throw WeirError(
          .config, "--lake needs --pipeline: a lake holds the ledgers of several pipelines",
          advice: "Name the pipeline file with --pipeline.")
      }
      return reader
    }
    let file = try await LoadedPipeline.readWithoutLookups(pipeline)
    let wiring = try await Wiring(try Places(file, lake: lake, store: store), withState: false, isLooking: true)
    let layout = LedgerLayout(pipeline: file.plan.pipeline)
    do {
      if lake != nil {
        try await reader.prove(by: try await Ledger.required(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random))
      } else if let ledger = try await Ledger.open(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random) {
        try await reader.prove(by: ledger)
      }
    } catch let error as WeirError where lake == nil {
      console.talk("it is unknown which rows are committed: \(error.message)")
      reader.distrust()
    }
    return reader
  }

  private static func requireState(_ pipeline: String) async throws {
    guard try await LoadedPipeline.readWithoutLookups(pipeline).plan.state.isEmpty else { return }
    throw WeirError(
      .config, "\(pipeline) has no state tables: it has no section `state`",
      advice: "Name the pipeline that has them. The rows of gold tables are in the lake.")
  }

  private static func directory(_ store: String?, _ pipeline: String?) async throws -> String {
    if let store { return try AdapterRegistry.standard.stateTablePlace(store, option: "--store") }
    guard let pipeline else {
      throw WeirError(
        .config, "the state table's directory is not set",
        advice: "Give its directory with --store, or the pipeline file with --pipeline.")
    }
    return try Places(try await LoadedPipeline.readWithoutLookups(pipeline), lake: nil, store: nil).store
  }

  /// Writes the state tables again from lane state. A damaged file is not read: a new one is written and put in its place.
  package static func rebuild(pipeline file: String, lake: String?, store: String?, console: Console) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(file, withLedgerIn: lake)
    var places = try Places(pipeline, lake: lake, store: store)
    // Before the new table is made, which is in the store.
    try await places.check(.own())
    let replacement = try await AdapterRegistry.standard.replacementOfStateTable(at: places.store)
    if let replacement {
      console.talk("\(replacement.damage.message): a new file replaces it; other pipelines' tables in it are rebuilt by their workers")
      places.store = replacement.place
    }
    let wiring = try await Wiring(places, withState: true)
    let rows = try await StateRebuild.run(
      CompiledPlan(pipeline.plan, lookups: pipeline.lookups), environment: wiring.environment())
    try await wiring.state?.finish()
    try await wiring.state?.close()
    try replacement?.publish()
    console.data("\(Human.count(Int64(rows))) rows written from the ledger's lane state")
    return 0
  }
}
