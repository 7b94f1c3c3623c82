import Synchronization
import WeirCore

/// A state table in memory that requests fail at, in turn before they arrive, in the middle, and on the way back, each of which is then
/// repeated. What a caller sees is what a table without failures does, since every request may be repeated.
public final class UnreliableStateTable: StateTable {
  private struct Failed: Error {}

  /// Where the current request fails; nil: it does not, any more.
  private final class Fault: Sendable {
    let step = Mutex<MemoryStateTable.Step?>(nil)
    private let count = Mutex(0)

    func prepare() {
      let turns: [MemoryStateTable.Step?] = [.beforeRequest, .betweenTransactions, .beforeReply, nil]
      let turn = count.withLock { count in
        count += 1
        return turns[count % turns.count]
      }
      step.withLock { $0 = turn }
    }

    func strike(_ here: MemoryStateTable.Step) throws {
      try step.withLock { step in
        guard step == here else { return }
        step = nil
        throw Failed()
      }
    }
  }

  private let fault: Fault
  private let table: MemoryStateTable

  /// - Parameters:
  ///   - rowsMax: rows that one transaction of a write has at most.
  ///   - onPart: called between two transactions of one write.
  public init(rowsMax: Int, onPart: @escaping @Sendable () async throws -> Void = {}) {
    let fault = Fault()
    self.fault = fault
    table = MemoryStateTable(rowsMax: rowsMax) { step in
      if step == .betweenTransactions { try await onPart() }
      try fault.strike(step)
    }
  }

  private func repeated<T>(_ request: () async throws -> T) async throws -> T {
    fault.prepare()
    do { return try await request() } catch is Failed { return try await request() }
  }

  public func claim(_ claims: [StateClaim]) async throws { try await repeated { try await table.claim(claims) } }

  @discardableResult
  public func write(_ write: StateWrite) async throws -> Int { try await repeated { try await table.write(write) } }

  public func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    try await repeated { try await table.retract(batch, beyond: beyond, owners: owners) }
  }

  public func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try await repeated { try await table.replace(tables: tables, with: batches, meta: meta, owners: owners) }
  }

  public func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    try await repeated { try await table.collect(bound, from: start) }
  }

  public func writeMeta(_ entries: [(String, [UInt8])]) async throws { try await repeated { try await table.writeMeta(entries) } }

  public func read(table name: String, key: [UInt8]) async throws -> StateRow? { try await table.read(table: name, key: key) }
  public func readMeta(_ name: String) async throws -> [UInt8]? { try await table.readMeta(name) }
  public func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] { try await table.listMeta(prefix: prefix) }

  public func page(of name: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    try await table.page(of: name, prefix: prefix, from: start, rowsMax: rowsMax)
  }

  public func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    try await table.moment(of: tables, into: first, body)
  }

  public func sync() async throws {}
  public func finish() async throws {}
  public func check() async throws {}
  public func close() async throws {}
}
