import WeirCore
import WeirTesting

/// A state table in memory that breaks one rule: the conformance suite must find it.
final class BrokenStateTable: StateTable {
  enum Fault: CaseIterable {
    case ignoresFences, ignoresOwners, ignoresOwnersOfRetractions, dropsIntents, writesValuesFirst, ordersNoClaims, claimsSome
    case retractsNothing, retractsAll, replacesOthers, keepsReplaced, ignoresPrefixes, ignoresRowsMax, losesRowsBetweenPages
    case repeatsRows, ignoresPrefixesOfValues, forgetsTombstones, collectsNew, collectsOthers, collectsNothing
  }

  private let fault: Fault
  private let table: MemoryStateTable

  init(_ fault: Fault, _ table: MemoryStateTable) { (self.fault, self.table) = (fault, table) }

  func claim(_ claims: [StateClaim]) async throws {
    switch fault {
    case .ordersNoClaims: try await table.writeMeta(claims.flatMap(\.meta))
    case .claimsSome: for claim in claims { try await table.claim([claim]) }
    default: try await table.claim(claims)
    }
  }

  @discardableResult
  func write(_ write: StateWrite) async throws -> Int {
    var write = write
    switch fault {
    case .ignoresFences:
      for batch in write.batches { try await table.retract(batch, beyond: batch.fence, owners: []) }
    case .ignoresOwners: write.owners = []
    case .dropsIntents: write.intent = []
    case .writesValuesFirst: try await table.write(StateWrite([], meta: write.meta, owners: write.owners))
    case .forgetsTombstones: write.batches = write.batches.filter { $0.rows.allSatisfy { $0.value != nil } }
    default: break
    }
    return try await table.write(write)
  }

  func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    switch fault {
    case .retractsNothing: break
    case .retractsAll: try await table.retract(batch, beyond: Fence(generation: -1, position: 0), owners: owners)
    case .ignoresOwnersOfRetractions: try await table.retract(batch, beyond: beyond, owners: [])
    default: try await table.retract(batch, beyond: beyond, owners: owners)
    }
  }

  func replace(tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]) async throws {
    switch fault {
    case .replacesOthers: try await table.replace(tables: tables + ["tt"], with: batches, meta: meta, owners: owners)
    case .keepsReplaced: try await table.write(StateWrite(batches, meta: meta, owners: owners))
    default: try await table.replace(tables: tables, with: batches, meta: meta, owners: owners)
    }
  }

  func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    var bound = bound
    switch fault {
    case .collectsNew: bound.through = bound.through.mapValues { _ in Fence(generation: .max, position: .max) }
    case .collectsOthers: for lane in ["s/0", "s/1"] { bound.through[lane] = bound.through.values.first }
    case .collectsNothing: bound.through = [:]
    default: break
    }
    return try await table.collect(bound, from: start)
  }

  func page(of name: String, prefix: [UInt8], from start: StateContinuation?, rowsMax: Int) async throws -> StatePage {
    switch fault {
    case .ignoresPrefixes: return try await table.page(of: name, prefix: [], from: start, rowsMax: rowsMax)
    case .ignoresRowsMax: return try await table.page(of: name, prefix: prefix, from: start, rowsMax: .max)
    case .losesRowsBetweenPages:
      var page = try await table.page(of: name, prefix: prefix, from: start, rowsMax: rowsMax)
      page.next = page.next.map { StateContinuation($0.bytes + [0xFF]) }
      return page
    case .repeatsRows:
      var page = try await table.page(of: name, prefix: prefix, from: start, rowsMax: rowsMax)
      if page.next != nil, page.rows.count > 1 { page.next = StateContinuation(page.rows[page.rows.count - 2].key) }
      return page
    default: return try await table.page(of: name, prefix: prefix, from: start, rowsMax: rowsMax)
    }
  }

  func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    try await table.listMeta(prefix: fault == .ignoresPrefixesOfValues ? "" : prefix)
  }

  func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T) {
    try await table.moment(of: tables, into: first, body)
  }

  func writeMeta(_ entries: [(String, [UInt8])]) async throws { try await table.writeMeta(entries) }
  func read(table name: String, key: [UInt8]) async throws -> StateRow? { try await table.read(table: name, key: key) }
  func readMeta(_ name: String) async throws -> [UInt8]? { try await table.readMeta(name) }
  func sync() async throws {}
  func finish() async throws {}
  func check() async throws {}
  func close() async throws {}
}
