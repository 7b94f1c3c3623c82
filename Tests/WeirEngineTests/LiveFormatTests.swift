import Foundation
import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

/// A rolling upgrade, as the worker of the version before sees it: another worker commits entries of a format that it does not read.
@Suite(.serialized, .timeLimit(.minutes(10))) struct LiveFormatTests {
  private typealias Bench = LiveWorkerTests.Bench

  /// Puts the next entry of the ledger, of a later format.
  /// - Returns: its number.
  private func putLater(_ bench: Bench) async throws -> Int64 {
    let ledger = URL(fileURLWithPath: bench.path)
    let layout = LedgerLayout(pipeline: "p")
    while true {
      let head = try #require(try await bench.fold()).number
      let text = try String(contentsOf: ledger.appendingPathComponent(layout.entry(head)), encoding: .utf8)
      let format = try #require(text.firstMatch(of: /{"format":(\d+),/)?.1)
      let later = text.replacing("{\"format\":\(format),", with: "{\"format\":\(try #require(Int(format)) + 1),")
      // The worker may have put one meanwhile.
      let path = ledger.appendingPathComponent(layout.entry(head + 1))
      if (try? Data(later.utf8).write(to: path, options: .withoutOverwriting)) != nil { return head + 1 }
    }
  }

  private func isRefused(_ worker: LiveWorkerTests.Running) async -> Bool {
    do {
      _ = try await worker.ended()
      return false
    } catch { return (error as? WeirError)?.code == .ledgerFormat }
  }

  @Test func `a running worker stops at an entry of a later format, and commits nothing after it`() async throws {
    let bench = try Bench(shards: 1)
    let worker = bench.worker(["t/0"])
    bench.send("t/0", 0..<100)
    try await bench.until("the records are committed") { $0.counts.input == 100 }
    let later = try await putLater(bench)
    bench.send("t/0", 100..<200)
    #expect(await isRefused(worker))
    let entries = try FileManager.default.contentsOfDirectory(atPath: bench.path + "/" + LedgerLayout(pipeline: "p").entries)
    #expect(entries.count == Int(later) + 1)
    #expect(await isRefused(bench.worker(["t/0"])), "also at its start")
  }
}
