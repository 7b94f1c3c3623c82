import Foundation
import Testing
import WeirCore
import WeirTesting

@testable import WeirLMDB

/// All kinds of state tables do the same.
@Suite struct StateTableConformanceTests {
  private typealias Suite = StateTableConformance

  /// Few rows and pages in a transaction, so that writes take several.
  @Test(arguments: StateTableConformance.cases) func `LMDB does as every state table`(aCase: StateTableConformance.Case) async throws {
    let folder = NSTemporaryDirectory() + "weir-conformance-" + UUID().uuidString
    let thread = BlockingThreads(count: 1)
    defer {
      thread.stop()
      try? FileManager.default.removeItem(atPath: folder)
    }
    @Sendable func open(_ onPart: @escaping @Sendable () async throws -> Void) throws -> any StateTable {
      try LMDBStateTable(path: folder, pagesMax: 4, thread: thread, onPart: onPart)
    }
    let kind = Suite.Kind(
      rowsOfParts: 1000,
      reopen: { table in
        try await table.close()
        return try open {}
      }, make: { try open($0) })
    try await aCase.run(on: kind)
  }

  @Test(arguments: StateTableConformance.cases) func `a table in memory does as every state table`(aCase: StateTableConformance.Case)
    async throws
  {
    let kind = Suite.Kind(rowsOfParts: 50, reopen: { $0 }) { onPart in
      MemoryStateTable(rowsMax: 7) { if $0 == .betweenTransactions { try await onPart() } }
    }
    try await aCase.run(on: kind)
  }

  /// Requests fail before they arrive, in the middle, or on the way back, and are repeated.
  @Test(arguments: StateTableConformance.cases) func `a table whose requests fail and are repeated does as every state table`(
    aCase: StateTableConformance.Case
  ) async throws {
    try await aCase.run(on: Suite.Kind(rowsOfParts: 50, reopen: { $0 }) { UnreliableStateTable(rowsMax: 7, onPart: $0) })
  }

  /// The suite must find what a table does wrong.
  @Test(arguments: BrokenStateTable.Fault.allCases) func `a table that breaks a rule is found`(fault: BrokenStateTable.Fault) async throws {
    let kind = Suite.Kind(rowsOfParts: 50, reopen: { $0 }) { onPart in
      BrokenStateTable(fault, MemoryStateTable(rowsMax: 7) { if $0 == .betweenTransactions { try await onPart() } })
    }
    var found = 0
    for aCase in Suite.cases { do { try await aCase.run(on: kind) } catch { found += 1 } }
    #expect(found > 0)
  }
}
