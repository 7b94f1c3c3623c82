import WeirCore
import WeirOperators
import WeirProtocol

/// Looks for newer versions of the plan's lookups at their intervals.
///
/// A file that cannot be read, is not a table, or has other columns than the plan changes nothing: the version that the ledger has stays in
/// use. It is counted each time, and reported when the reason is another one than the last time.
struct LookupRefresh {
  private let versions: LookupVersions
  private let places: any LookupPlaces
  private let specs: [LookupSpec]
  private let meter: LiveMeter
  private let observe: @Sendable (WorkerEvent) -> Void
  /// By name: what was seen last, with the hash of its bytes.
  private var seen: [String: (sight: String, hash: String)] = [:]
  private var failed: [String: String] = [:]
  /// Monotonic nanoseconds.
  private var due: [String: Int64] = [:]

  /// - Returns: nil: the plan has no lookup that is refreshed.
  init?(_ versions: LookupVersions, _ meter: LiveMeter, observe: @escaping @Sendable (WorkerEvent) -> Void) {
    specs = versions.compiled.plan.lookups.filter { $0.refreshMicroseconds != nil }
    guard !specs.isEmpty, let places = versions.environment.lookups else { return nil }
    (self.versions, self.places, self.meter, self.observe) = (versions, places, meter, observe)
    pass(at: versions.environment.clock.monotonicNanoseconds)
  }

  /// The lookups that are refreshed.
  var names: Set<String> { Set(specs.map(\.name)) }

  var dueAt: Int64 { due.values.min() ?? .max }

  /// Those that are due at this moment are due again after their intervals.
  mutating func pass(at now: Int64) {
    for spec in specs where due[spec.name] ?? now <= now { due[spec.name] = now + (spec.refreshMicroseconds ?? 0) * 1000 }
  }

  /// Looks at the lookups that are due.
  /// - Parameter current: what the worker has, in the plan's order.
  /// - Returns: the same with what is new.
  mutating func look(_ current: [LookupTable], at now: Int64) async throws -> [LookupTable] {
    let names = Set(specs.map(\.name).filter { due[$0] ?? now <= now })
    defer { pass(at: now) }
    return try await look(current, of: names)
  }

  /// Looks at all of them.
  mutating func lookAtAll(_ current: [LookupTable]) async throws -> [LookupTable] { try await look(current, of: names) }

  private mutating func look(_ current: [LookupTable], of names: Set<String>) async throws -> [LookupTable] {
    var tables = current
    for (i, table) in current.enumerated() where names.contains(table.name) {
      guard let spec = specs.first(where: { $0.name == table.name }) else { continue }
      do {
        let others = tables.reduce(0) { $0 + ($1.name == spec.name ? 0 : $1.byteCount) }
        let next = try await look(spec, table, bytesMax: LookupTable.bytesMax - others)
        if let next {
          tables[i] = next
          try versions.environment.memory.check(tables)
        }
        failed[spec.name] = nil
        meter.looked(at: spec.name, next == nil ? .unchanged : .changed)
      } catch let error as WeirError {
        tables[i] = table
        seen[spec.name] = nil
        meter.looked(at: spec.name, .failed)
        guard failed.updateValue(error.message, forKey: spec.name) != error.message else { continue }
        observe(.trouble(LookupRefresh.refusal(spec, error)))
      }
    }
    return tables
  }

  /// - Returns: nil: it is the same.
  private mutating func look(_ spec: LookupSpec, _ table: LookupTable, bytesMax: Int) async throws -> LookupTable? {
    let hash = table.contentHash.hex
    let known = seen[spec.name].flatMap { $0.hash == hash ? $0.sight : nil }
    guard let look = try await places.look(at: spec, unless: known, bytesMax: bytesMax) else { return nil }
    let found = ContentHash(of: look.bytes).hex
    seen[spec.name] = look.sight.map { ($0, found) }
    if found == hash { return nil }
    let next = try await versions.table(spec, look.bytes, file: spec.file)
    guard next.columns == spec.columns else {
      func words(_ columns: [ColumnSchema]) -> String { columns.map(\.name).joined(separator: ", ") }
      throw WeirError(
        .config, "\(spec.file) has the columns \(words(next.columns)) beside the key, and the pipeline knows \(words(spec.columns))",
        advice: "Write the columns that the pipeline was started with, in their order. Other columns need a restart.")
    }
    return next
  }

  private static func refusal(_ spec: LookupSpec, _ error: WeirError) -> WeirError {
    WeirError(
      .lookupNotRefreshed, "the lookup \(spec.name) is not refreshed, and its last version stays in use: \(error.message)",
      advice: error.advice ?? "Correct the file. The worker looks again after lookups.\(spec.name).refresh.")
  }
}
