import WeirCore
import WeirTesting

/// A state table that a machine crash empties, and whose writes may fail with or without effect.
///
/// `@unchecked Sendable`: see ``World``.
package final class SimulatedStateTable: @unchecked Sendable {
  package let world: World
  package var faults: Faults
  package var marks = Marks()
  /// A planted bug: rows are written whatever their fence.
  package var ignoresFences = false
  /// A planted bug: the worker that claims a lane last has it, whatever the ledger's position.
  package var ordersNoClaims = false
  /// Called with each row that was written, with the one that it replaced.
  package var onWrite: ((_ row: StateRow, _ old: StateRow?) -> Void)?
  /// Called with each mark that was written over another value.
  package var onMark: ((_ name: String, _ value: [UInt8], _ old: [UInt8]) -> Void)?
  /// Called before a request has its effect, and between two transactions of one.
  package var onRequest: ((Node) -> Void)?
  /// Called with each request, for a look at a seed.
  package var say: ((String) -> Void)?
  fileprivate var random: SplitMix64
  fileprivate var throttledUntil: Int64 = 0
  fileprivate var rows: [String: StateRow] = [:]
  fileprivate var meta: [String: [UInt8]] = [:]

  package init(world: World, faults: Faults = .none) {
    self.world = world
    self.faults = faults
    random = world.random("state table")
  }

  package func reached(by node: Node) -> any StateTable { NodeStateTable(node: node, shared: self) }

  /// All rows, for oracles.
  package var allRows: [StateRow] { rows.sorted { $0.key < $1.key }.map(\.value) }

  /// Requests are refused for a while.
  package func throttle(nanoseconds: Int64) { throttledUntil = max(throttledUntil, world.now + nanoseconds) }

  /// It is not too busy any more.
  package func heal() { throttledUntil = 0 }

  package func mark(_ name: String) -> [UInt8]? { meta[name] }

  /// The table has a row of the lane.
  func hasRow(of lane: some StringProtocol) -> Bool { rows.values.contains { $0.lane == lane } }

  /// Power loss: the table is not worth anything any more.
  package func crash() {
    rows = [:]
    meta = [:]
  }

  fileprivate static func name(_ table: String, _ key: [UInt8]) -> String {
    table + "\u{0}" + String(decoding: key, as: UTF8.self)
  }

  fileprivate func tell(_ node: Node, _ what: String, _ batches: [StateBatch], _ meta: [(String, [UInt8])]) {
    guard let say else { return }
    let rows = batches.map { "\($0.table) of \($0.lane): \($0.count) at \($0.fence.generation)/\($0.fence.position)" }
    let marks = meta.map { "\($0) = \(String(decoding: $1, as: UTF8.self))" }
    say("node \(node.id), state table, \(what): " + (rows + marks).joined(separator: "; "))
  }

  fileprivate func write(_ row: StateRow) -> Bool {
    let name = SimulatedStateTable.name(row.table, row.key)
    let old = rows[name]
    if let old, row.fence < old.fence, !ignoresFences {
      marks.hit(.stateRowSkipped)
      return false
    }
    rows[name] = row
    onWrite?(row, old)
    return true
  }

  fileprivate func write(_ marks: [(String, [UInt8])]) {
    for (name, value) in marks {
      if let old = meta.updateValue(value, forKey: name), old != value { onMark?(name, value, old) }
    }
  }
}

private struct NodeStateTable: StateTable {
  let node: Node
  let shared: SimulatedStateTable

  private var timedOut: WeirError {
    WeirError(.storage, "the simulated state table timed out")
  }

  private func work() async { await node.sleep(nanoseconds: 200_000 + Int64(shared.random.next() % 800_000)) }

  /// A request, up to its effect.
  private func arrive() async {
    await work()
    if shared.faults.stateSlow > 0, shared.random.chance(shared.faults.stateSlow) {
      await node.sleep(nanoseconds: 20_000_000 + Int64(shared.random.below(200)) * 1_000_000)
    }
    guard let strike = shared.onRequest else { return }
    strike(node)
    await node.sleep(nanoseconds: 1000)
  }

  /// Flushes, which say that they have begun, may take two transactions.
  func write(_ write: StateWrite) async throws -> Int {
    let rows = write.batches.flatMap(\.rows)
    guard !write.intent.isEmpty, rows.count > 1, shared.random.chance(shared.faults.writeSplit) else { return try await whole(write) }
    shared.marks.hit(.writeSplit)
    let first = 1 + shared.random.below(rows.count - 1)
    var skipped = try await transaction(rows[..<first], write.intent, write.owners)
    skipped += try await transaction(rows[first...], write.meta, write.owners)
    return skipped
  }

  private func transaction(_ rows: ArraySlice<StateRow>, _ meta: [(String, [UInt8])], _ owners: [(String, [UInt8])]) async throws -> Int {
    await arrive()
    try check(owners)
    var skipped = 0
    for row in rows where !shared.write(row) { skipped += 1 }
    shared.write(meta)
    return skipped
  }

  /// A write to a local table is not a request: a killed node's does not arrive.
  private func whole(_ write: StateWrite) async throws -> Int {
    await arrive()
    if shared.throttledUntil > shared.world.now {
      shared.marks.hit(.stateThrottled)
      throw WeirError(.storage, "the simulated state table is too busy")
    }
    let isLost = shared.random.chance(shared.faults.requestLost)
    let reply = shared.random.chance(shared.faults.replyLost)
    if isLost || reply { shared.marks.hit(.stateWriteFailed) }
    if isLost { throw timedOut }
    try check(write.owners)
    shared.tell(node, "writes", write.batches, write.meta)
    var skipped = 0
    for row in write.batches.flatMap(\.rows) where !shared.write(row) { skipped += 1 }
    shared.write(write.meta)
    await work()
    if reply { throw timedOut }
    return skipped
  }

  private func check(_ owners: [(String, [UInt8])]) throws {
    for (name, value) in owners where shared.meta[name] != value {
      shared.marks.hit(.ownerFenced)
      throw StateWrite.fenced(name)
    }
  }

  func claim(_ claims: [StateClaim]) async throws {
    await arrive()
    if !shared.ordersNoClaims, let late = claims.first(where: { !$0.isInTime(shared.meta[$0.numberName]) }) {
      shared.marks.hit(.claimFenced)
      throw late.tooLate
    }
    shared.tell(node, "claims", [], claims.flatMap(\.meta))
    for (name, value) in claims.flatMap(\.meta) { shared.meta[name] = value }
  }

  func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    await arrive()
    try check(owners)
    shared.tell(node, "takes back", [batch], [])
    var ahead: Set<[UInt8]> = []
    for (name, row) in shared.rows where row.table == batch.table && row.lane == batch.lane && row.fence > beyond {
      shared.marks.hit(.rowRetracted)
      shared.rows[name] = nil
      ahead.insert(row.key)
    }
    for row in batch.rows where ahead.contains(row.key) { _ = shared.write(row) }
  }

  /// Rows that a part of a collection looks at.
  private static let looksMax = 5

  func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    await arrive()
    try check(bound.owners)
    let first = start.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    let all = shared.rows.filter { $0.value.table == bound.table && $0.key > first }.keys.sorted()
    let some = all.prefix(NodeStateTable.looksMax)
    var gone = 0
    for name in some {
      guard let row = shared.rows[name], row.value == nil, bound.has(lane: row.lane, row.fence) else { continue }
      shared.marks.hit(.tombstoneCollected)
      shared.rows[name] = nil
      gone += 1
    }
    return CollectedTombstones(gone: gone, next: some.count < all.count ? some.last.map { StateContinuation(Array($0.utf8)) } : nil)
  }

  func read(table: String, key: [UInt8]) async throws -> StateRow? {
    await work()
    return shared.rows[SimulatedStateTable.name(table, key)]
  }

  func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    await work()
    return StatePage(
      of: shared.rows.values.filter { $0.table == table }, prefix: prefix, from: start, rowsMax: rowsMax)
  }

  func writeMeta(_ entries: [(String, [UInt8])]) async throws {
    await work()
    shared.tell(node, "marks", [], entries)
    shared.write(entries)
  }

  func readMeta(_ name: String) async throws -> [UInt8]? {
    await work()
    return shared.meta[name]
  }

  func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    await work()
    return shared.meta.listed(prefix: prefix)
  }

  func check() async throws {}
  func close() async throws {}
  func sync() async throws { await work() }
  func finish() async throws { await work() }

  func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    await work()
    try check(owners)
    shared.marks.hit(.stateRebuilt)
    shared.tell(node, "replaces", batches, meta)
    shared.rows = shared.rows.filter { !tables.contains($0.value.table) }
    for row in batches.flatMap(\.rows) { _ = shared.write(row) }
    shared.write(meta)
  }

  func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    await work()
    var result = first
    for table in tables { for row in shared.allRows where row.table == table && row.value != nil { body(&result, row) } }
    return (shared.meta, result)
  }
}
