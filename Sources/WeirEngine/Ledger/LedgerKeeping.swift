import WeirCore
import WeirProtocol

/// When a worker writes snapshots of its ledger and collects what nothing needs any more (DESIGN section 4).
///
/// Neither is part of a commit: a failure that can be tried again is left to the next time, since a collection that stopped
/// halfway is a collection.
enum LedgerKeeping {
  /// Entries from snapshot to snapshot: the longest tail that a start reads.
  static let snapshotEvery: Int64 = 100

  /// Called after each commit.
  static func snapshot(_ ledger: Ledger, number: Int64) async throws {
    guard number > 0, number % snapshotEvery == 0 else { return }
    try await tolerating { try await ledger.snapshot() }
  }

  /// Called when all followers were brought up: at the end of a replay, and now and then by a live worker.
  /// - Returns: false: more is left to collect.
  @discardableResult
  static func collect(_ ledger: Ledger, keep: Int64, appliedThrough: Int64) async throws -> Bool {
    let policy = CollectionPolicy(keepMicroseconds: keep, appliedThrough: appliedThrough)
    let isWhole = try await tolerating { try await ledger.collect(policy, worker: ledger.makeAttemptID()).entriesUnread == 0 }
    _ = try await tolerating { try await ledger.removeOrphans() }
    return isWhole ?? true
  }

  private static func tolerating<T>(_ body: () async throws -> T) async throws -> T? {
    do { return try await body() } catch let error as WeirError where error.isRetriable { return nil }
  }
}
