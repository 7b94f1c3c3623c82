import Foundation
import Synchronization
import Testing
import WeirCore
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// Workers on a live source meet tables that do not belong to the ledger.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LiveTablesAheadTests {
  private typealias Bench = LiveWorkerTests.Bench

  /// A lake that a worker has written some entries to, and the number of the last.
  private func written() async throws -> (Bench, Int64) {
    let bench = try Bench(shards: 1)
    let worker = bench.worker(["t/0"])
    bench.send("t/0", 0..<100)
    try await bench.until("the records are committed") { $0.counts.input == 100 }
    _ = try await worker.stop()
    return (bench, try #require(try await bench.fold()).number)
  }

  private func error(of worker: LiveWorkerTests.Running) async throws -> WeirError? {
    do {
      _ = try await worker.ended()
      return nil
    } catch let error as WeirError { return error }
  }

  @Test func `a live worker refuses tables with entries that the ledger lost, and commits nothing`() async throws {
    let (bench, head) = try await written()
    let ledger = "\(bench.path)/_weir/p/"
    for name in ["snapshots", "pointers"] { try FileManager.default.removeItem(atPath: ledger + name) }
    try FileManager.default.removeItem(atPath: bench.path + "/" + LedgerLayout(pipeline: "p").entry(head))
    bench.send("t/0", 100..<200)
    let error = try #require(try await error(of: bench.worker(["t/0"])))
    #expect(error.code == .tableAhead && error.message.contains("entry \(head)"), "\(error)")
    #expect(try await bench.fold()?.number == head - 1)
    let reports = try await TableRestore.run(CompiledPlan(bench.plan, lookups: []), environment: bench.environment, isDry: false)
    #expect(!reports.isEmpty && reports.allSatisfy { $0.from == head && $0.to < head })
    let worker = bench.worker(["t/0"])
    try await bench.until("all records are committed") { $0.counts.input == 200 }
    _ = try await worker.stop()
  }

  @Test func `a table that is removed under a live worker does not come back as a log that names missing files`() async throws {
    let removal = Removal()
    let bench = try Bench(shards: 1) { InterceptedStore($0, before: { removal.strike($0) }) }
    let worker = bench.worker(["t/0"])
    bench.send("t/0", 0..<100)
    try await bench.until("the records are committed, and the ledger gave the table files") { $0.tables["gold/users"] != nil }
    let log = "\(bench.path)/gold/users/_delta_log"
    removal.path.withLock { $0 = log }
    bench.send("t/0", 100..<200)
    await bench.wait("the next entry is put") { removal.path.withLock { $0 } == nil }
    // Also a worker that leaves the tables to another brings them up at its end.
    let error = await #expect(throws: WeirError.self) { _ = try await worker.stop() }
    #expect(error?.code == .tableMissing)
    #expect(removal.path.withLock { $0 } == nil && !FileManager.default.fileExists(atPath: log))
  }
}

/// Removes a directory just before an entry is put: no table is being written then.
private final class Removal: Sendable {
  let path = Mutex<String?>(nil)

  func strike(_ request: StoreRequest) {
    guard case .put(let put) = request, put.contains("/ledger/"), let path = path.withLock({ $0 }) else { return }
    try? FileManager.default.removeItem(atPath: path)
    self.path.withLock { $0 = nil }
  }
}
