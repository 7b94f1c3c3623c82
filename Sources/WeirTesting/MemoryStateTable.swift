import Glibc
import WeirCore

/// A state table in memory, for one process.
public actor MemoryStateTable: StateTable {
  /// A place in a request that changes something.
  public enum Step: Sendable, Hashable {
    case beforeRequest
    /// Between two transactions of one write.
    case betweenTransactions
    /// It has its effect, and the reply is on its way.
    case beforeReply
  }

  private var rows: [String: [[UInt8]: StateRow]] = [:]
  private var meta: [String: [UInt8]] = [:]
  /// Pages that were asked for.
  public private(set) var pagesRead = 0
  private let rowsMax: Int
  private let onStep: @Sendable (Step) async throws -> Void

  /// - Parameters:
  ///   - rowsMax: rows that one transaction of a write has at most.
  ///   - onStep: called in each request that changes something; what it throws is what the request ends with.
  public init(rowsMax: Int = .max, onStep: @escaping @Sendable (Step) async throws -> Void = { _ in }) {
    precondition(rowsMax > 0, "a transaction needs a row")
    (self.rowsMax, self.onStep) = (rowsMax, onStep)
  }

  // MARK: Write

  /// A request with one transaction.
  private func request(_ transaction: () throws -> Void) async throws {
    try await onStep(.beforeRequest)
    try transaction()
    try await onStep(.beforeReply)
  }

  public func claim(_ claims: [StateClaim]) async throws {
    try await request {
      for claim in claims where !claim.isInTime(meta[claim.numberName]) { throw claim.tooLate }
      put(claims.flatMap(\.meta))
    }
  }

  @discardableResult
  public func write(_ write: StateWrite) async throws -> Int {
    try await onStep(.beforeRequest)
    var left = write.batches.flatMap(\.rows)[...]
    var skipped = 0
    var isFirst = true
    repeat {
      if !isFirst { try await onStep(.betweenTransactions) }
      try check(write.owners)
      for row in left.prefix(rowsMax) where !put(row) { skipped += 1 }
      left = left.dropFirst(rowsMax)
      if left.isEmpty { put(write.meta) } else if isFirst { put(write.intent) }
      isFirst = false
    } while !left.isEmpty
    try await onStep(.beforeReply)
    return skipped
  }

  public func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    try await request {
      try check(owners)
      let ahead = (rows[batch.table] ?? [:]).values.filter { $0.lane == batch.lane && $0.fence > beyond }
      for row in ahead { rows[batch.table]?[row.key] = nil }
      let keys = Set(ahead.map(\.key))
      for row in batch.rows where keys.contains(row.key) { put(row) }
    }
  }

  public func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try await request {
      try check(owners)
      for table in tables { rows[table] = nil }
      for row in batches.flatMap(\.rows) { put(row) }
      put(meta)
    }
  }

  /// Looks at as many rows as a transaction has.
  public func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    var found = CollectedTombstones(gone: 0, next: nil)
    try await request {
      try check(bound.owners)
      let all = (rows[bound.table] ?? [:]).values.filter { row in start.map { $0.bytes.precedes(row.key) } ?? true }
        .sorted { $0.key.precedes($1.key) }
      let some = all.prefix(rowsMax)
      let old = some.filter { $0.value == nil && bound.has(lane: $0.lane, $0.fence) }
      for row in old { rows[bound.table]?[row.key] = nil }
      found = CollectedTombstones(gone: old.count, next: some.count < all.count ? some.last.map { StateContinuation($0.key) } : nil)
    }
    return found
  }

  public func writeMeta(_ entries: [(String, [UInt8])]) async throws { try await request { put(entries) } }
  public func sync() async throws {}
  public func finish() async throws {}

  private func check(_ owners: [(String, [UInt8])]) throws {
    for (name, owner) in owners where meta[name] != owner { throw StateWrite.fenced(name) }
  }

  private func put(_ entries: [(String, [UInt8])]) { for (name, value) in entries { meta[name] = value } }

  /// - Returns: false if the stored fence is larger.
  @discardableResult
  private func put(_ row: StateRow) -> Bool {
    if let stored = rows[row.table]?[row.key], row.fence < stored.fence { return false }
    rows[row.table, default: [:]][row.key] = row
    return true
  }

  // MARK: Read

  public func read(table: String, key: [UInt8]) async throws -> StateRow? { rows[table]?[key] }
  public func readMeta(_ name: String) async throws -> [UInt8]? { meta[name] }

  public func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] { meta.listed(prefix: prefix) }

  public func page(of table: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    pagesRead += 1
    return StatePage(of: (rows[table] ?? [:]).values, prefix: prefix, from: start, rowsMax: rowsMax)
  }

  public func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    var result = first
    for table in tables {
      let rows = (rows[table] ?? [:]).values.sorted { $0.key.precedes($1.key) }
      for row in rows where row.value != nil { body(&result, row) }
    }
    return (meta, result)
  }

  public func check() async throws {}
  public func close() async throws {}
}

extension StatePage {
  /// A page of a table whose rows are all here. Its continuation is the last key.
  package init(of rows: some Sequence<StateRow>, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) {
    let rowsMax = Swift.min(Swift.max(1, rowsMax), StatePage.rowsMax)
    let all = rows.filter { row in
      row.value != nil && row.key.starts(with: prefix) && start.map { $0.bytes.precedes(row.key) } ?? true
    }
    .sorted { $0.key.precedes($1.key) }
    var bytes = 0
    let some = all.prefix(rowsMax).prefix { row in
      defer { bytes += row.key.count + (row.value?.count ?? 0) }
      return bytes < StatePage.bytesMax
    }
    self.init(Array(some), next: some.count < all.count ? some.last.map { StateContinuation($0.key) } : nil)
  }
}

extension [String: [UInt8]] {
  /// As ``StateTableReader/listMeta(prefix:)`` gives values that are all here.
  package func listed(prefix: String) -> [(name: String, value: [UInt8])] {
    filter { $0.key.utf8.starts(with: prefix.utf8) }.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      .map { (name: $0.key, value: $0.value) }
  }
}

extension [UInt8] {
  /// By bytes, at a cost that does not matter in a debug build.
  fileprivate func precedes(_ other: [UInt8]) -> Bool {
    let order = memcmp(self, other, Swift.min(count, other.count))
    return order == 0 ? count < other.count : order < 0
  }
}
