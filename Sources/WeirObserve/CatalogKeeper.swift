import Synchronization
import WeirCore
import WeirEngine
import WeirReport

/// Registers a worker's tables in a catalogue, beside the worker: once the lake has them, and again after failures.
package final class CatalogKeeper: Sendable {
  private static let lookNanoseconds: Int64 = 1_000_000_000
  /// So long the end of a worker waits for tables that are not registered yet.
  private static let lastNanoseconds: Int64 = 5_000_000_000

  /// What people and metrics ask for.
  package struct Standing: Sendable {
    package var place: String
    package var tables: [(path: String, name: String, state: CatalogSchedule.State)]
    package var failures: Int64

    static let states = ["registered", "waiting", "failed"]

    static func word(_ state: CatalogSchedule.State) -> String {
      switch state {
      case .registered: "registered"
      case .waits: "waiting"
      case .failed: "failed"
      }
    }

    /// For `/lanes`.
    var json: JSONValue {
      .members([
        "place": .string(place), "failures": .int(failures),
        "tables": .array(
          tables.map { table in
            let error: JSONValue = if case .failed(let message) = table.state { .string(message) } else { .null }
            return .members([
              "table": .string(table.path), "name": .string(table.name), "state": .string(Standing.word(table.state)), "error": error,
            ])
          }),
      ])
    }
  }

  private let catalog: any TableCatalog
  private let meter: LiveMeter
  private let log: Log
  private let clock: any Clock
  private let random: any RandomSource
  private let schedule: Mutex<CatalogSchedule>

  /// - Parameter meter: shows which tables were brought up to the ledger, so that they are there.
  package init(
    _ catalog: any TableCatalog, tables: [CatalogTable], meter: LiveMeter, log: Log, clock: any Clock, random: any RandomSource
  ) {
    (self.catalog, self.meter, self.log, self.clock, self.random) = (catalog, meter, log, clock, random)
    schedule = Mutex(CatalogSchedule(tables))
  }

  package var standing: Standing {
    schedule.withLock { schedule in
      Standing(
        place: catalog.place, tables: schedule.entries.map { ($0.table.path, catalog.name(of: $0.table), $0.state) },
        failures: schedule.failures)
    }
  }

  /// Registers while `body` runs. What is left at its end is tried once more, for some seconds at most.
  package func beside<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    let result = try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.run() }
      defer { group.cancelAll() }
      return try await body()
    }
    let isCut = await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        await self.round(isLast: true)
        return false
      }
      group.addTask {
        await self.clock.sleep(nanoseconds: CatalogKeeper.lastNanoseconds)
        return true
      }
      let isCut = await group.next() ?? false
      group.cancelAll()
      return isCut
    }
    if isCut { tellUnregistered() }
    return result
  }

  /// The catalogue did not answer in time: what it does not have.
  private func tellUnregistered() {
    let there = meter.snapshot().meter.commits
    let left = schedule.withLock { $0.entries.filter { $0.state != .registered && there[$0.table.path] != nil } }.map(\.table.path)
    guard !left.isEmpty else { return }
    let seconds = CatalogKeeper.lastNanoseconds / 1_000_000_000
    meter.troubled(WeirError.Code.unavailable.rawValue)
    log.warning(
      "\(left.joined(separator: ", ")) not registered in \(catalog.place): it did not answer within \(seconds) s. Rows are written all the same, and the next run registers the tables. Check the catalogue's endpoint and region",
      [.init("event", .string("catalog_failed"))])
  }

  private func run() async {
    while !Task.isCancelled {
      await round()
      await clock.sleep(nanoseconds: CatalogKeeper.lookNanoseconds)
    }
  }

  /// Registers what is due.
  /// - Parameter isLast: the process ends then.
  func round(isLast: Bool = false) async {
    let there = meter.snapshot().meter.commits
    let due = schedule.withLock { $0.due(at: clock.monotonicNanoseconds) { there[$0] != nil } }
    guard !due.isEmpty else { return }
    do throws(WeirError) {
      try await catalog.prepare()
      for table in due { await register(table, isLast: isLast) }
    } catch {
      if Task.isCancelled { return }
      for table in due { schedule.withLock { $0.failed(table, error.message) } }
      tell(error, "the tables are not registered in \(catalog.place)", isLast: isLast)
    }
    schedule.withLock { $0.ended(at: clock.monotonicNanoseconds, random: random.next()) }
  }

  private func register(_ table: CatalogTable, isLast: Bool) async {
    if Task.isCancelled { return }
    do throws(WeirError) {
      let change = try await catalog.register(table)
      schedule.withLock { $0.registered(table) }
      guard change != .none else { return }
      log.info(
        "\(table.path) is \(catalog.name(of: table)) in the catalogue (\(change == .created ? "created" : "updated"))",
        [.init("event", .string("catalog")), .init("table", .string(table.path)), .init("name", .string(catalog.name(of: table)))])
    } catch {
      if Task.isCancelled { return }
      schedule.withLock { $0.failed(table, error.message) }
      tell(error, "\(table.path) is not registered in \(catalog.place)", isLast: isLast)
    }
  }

  private func tell(_ error: WeirError, _ what: String, isLast: Bool) {
    meter.troubled(error.code.rawValue)
    log.warning(
      "\(what); rows are written all the same, and \(isLast ? "the next run tries" : "it is tried") again: \(error.words)",
      [.init("event", .string("catalog_failed"))] + Log.members(error))
  }
}
