import WeirCore

/// A state table in memory, for one process.
public actor MemoryStateTable: StateTable {
  private var rows: [String: [[UInt8]: StateRow]] = [:]
  private var meta: [String: [UInt8]] = [:]
  private let beforeWrite: @Sendable () async throws -> Void

  /// - Parameter beforeWrite: called before a write has its effect; if it throws, the write has none.
  public init(beforeWrite: @escaping @Sendable () async throws -> Void = {}) { self.beforeWrite = beforeWrite }

  public func write(_ batches: [StateBatch], meta: [(String, [UInt8])]) async throws -> Int {
    try await beforeWrite()
    var skipped = 0
    for row in batches.flatMap(\.rows) {
      if let stored = rows[row.table]?[row.key], row.fence < stored.fence {
        skipped += 1
      } else {
        rows[row.table, default: [:]][row.key] = row
      }
    }
    for (name, value) in meta { self.meta[name] = value }
    return skipped
  }

  public func write(_ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]) async throws -> Int {
    try check(owners)
    return try await write(batches, meta: meta)
  }

  /// It takes any number of rows at once, so no write needs an intent.
  public func write(
    _ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])], intent: [(String, [UInt8])]
  ) async throws -> Int {
    try await write(batches, meta: meta, owners: owners)
  }

  private func check(_ owners: [(String, [UInt8])]) throws {
    for (name, owner) in owners where meta[name] != owner { throw WeirError(.stateFenced, "\(name) is another's") }
  }

  public func claim(_ claims: [StateClaim]) async throws {
    for claim in claims where !claim.isInTime(meta[claim.numberName]) { throw claim.tooLate }
    for (name, value) in claims.flatMap(\.meta) { meta[name] = value }
  }

  public func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    try check(owners)
    rows[batch.table] = rows[batch.table]?.filter { $0.value.lane != batch.lane || $0.value.fence <= beyond }
    for row in batch.rows { rows[row.table, default: [:]][row.key] = row }
  }

  public func read(table: String, key: [UInt8]) async throws -> StateRow? { rows[table]?[key] }

  public func scan(table: String, prefix: [UInt8], limit: Int) async throws -> [StateRow] {
    let all = (rows[table] ?? [:]).values.filter { $0.key.starts(with: prefix) && $0.value != nil }
    return all.sorted { $0.key.lexicographicallyPrecedes($1.key) }
  }

  public func writeMeta(_ entries: [(String, [UInt8])]) async throws { for (name, value) in entries { meta[name] = value } }
  public func readMeta(_ name: String) async throws -> [UInt8]? { meta[name] }
  public func sync() async throws {}
  public func finish() async throws {}

  public func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try check(owners)
    for table in tables { rows[table] = nil }
    _ = try await write(batches, meta: meta)
  }

  public func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    var result = first
    for table in tables { for row in try await scan(table: table, prefix: [], limit: -1) { body(&result, row) } }
    return (meta, result)
  }
}
