import Foundation
import Synchronization
import Testing
import WeirCore
import WeirDelta
import WeirLocal
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirConfiguration
@testable import WeirEngine

/// What an object store is asked for per ledger entry and per commit of a table: requests are what a lake in a bucket costs.
@Suite struct RequestCountTests {
  /// The requests of a replay, in order.
  private func requests() async throws -> [StoreRequest] {
    let path = NSTemporaryDirectory() + "weir-requests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let threads = BlockingThreads(count: 2)
    defer {
      threads.stop()
      try? FileManager.default.removeItem(atPath: path)
    }
    let lines = (0..<6000).map { "{\"user\":\"u\($0 % 7)\",\"n\":\($0),\"at\":\($0 / 10)}" }
    try (lines.joined(separator: "\n") + "\n").write(toFile: path + "/c.ndjson", atomically: true, encoding: .utf8)
    let loaded = try PipelineLoader(file: "p.yaml", sections: .standard).load(
      """
      pipeline: p
      source: {capture: {stream: s}}
      record: {key: user, time: {field: at, out_of_order: 1s}, fields: {user: string!, n: int64, at: timestamp_s!}}
      dedup: {id: n, within: 1h}
      silver: {}
      gold: {g: {by: [user], window: {tumbling: 10s}, measure: {total: sum(n)}}}
      """)
    let seen = Mutex<[StoreRequest]>([])
    let lake = InterceptedStore(MemoryStore(), before: { request in seen.withLock { $0.append(request) } })
    let environment = EngineEnvironment(
      lake: lake, tables: DeltaFormat(), state: nil, clock: SystemClock(), random: SystemRandom(), threads: threads, parallel: 2)
    let worker = Worker(
      CompiledPlan(loaded.plan, lookups: []), environment: environment,
      request: LedgerRequest(meaning: .string("m"), planHash: "h", lanes: 2, runID: "r", describeChange: { _, _ in [] }),
      input: .capture(keepOpen: false) { _ in try CaptureSource(files: [path + "/c.ndjson"], cutBytes: 3000, blockBytes: 1500) },
      observe: { _ in }, stop: Flag())
    let (_, _, fold) = try await worker.replay()
    #expect(fold.counts.accepted == 6000)
    return seen.withLock { $0 }
  }

  /// Without the first entries, for which tables are made, and the last, after which the ledger is collected.
  private func steady(_ all: [StoreRequest]) throws -> (requests: [StoreRequest], entries: Int) {
    let entries = all.indices.filter { if case .put(let path) = all[$0] { path.contains("/ledger/") } else { false } }
    try #require(entries.count > 15, "\(entries.count) entries")
    return (Array(all[(entries[3] + 1)...entries[entries.count - 3]]), entries.count - 6)
  }

  @Test func `in the steady state an entry costs two puts and two gets, a commit of a table one of each, and only checkpoints list`()
    async throws
  {
    let (requests, entries) = try steady(try await requests())
    var (puts, gets, lists, commits, tableGets, looks, files) = (0, 0, 0, 0, 0, 0, 0)
    var checkpoints = 0
    var tables: Set<String> = []
    for request in requests {
      switch request {
      case .list: lists += 1
      case .write(let paths):
        puts += paths.filter { $0.hasPrefix("_weir/") }.count
        files += paths.filter { !$0.hasPrefix("_weir/") }.count
      case .put(let path) where path.hasPrefix("_weir/"): puts += 1
      case .put(let path) where path.hasSuffix(".parquet"): checkpoints += 1
      case .put(let path):
        commits += 1
        tables.insert(String(path.prefix { $0 != "_" }))
      case .get(let path) where path.hasPrefix("_weir/"): gets += 1
      case .get(let path): if path.contains("_delta_log") { tableGets += 1 } else { looks += 1 }
      // A store that is durable on answer sends nothing for the first, and the second is a part of a checkpoint.
      case .sync, .append: continue
      case .replace(let path): #expect(path.hasSuffix("_last_checkpoint"))
      case .delete: Issue.record("\(request)")
      }
    }
    #expect(lists <= checkpoints, "\(lists) listings, \(checkpoints) checkpoints")
    #expect(puts <= 2 * entries, "\(puts) puts of the ledger for \(entries) entries")
    #expect(gets <= 2 * entries, "\(gets) gets of the ledger for \(entries) entries")
    // Of the first commits also the version after it, and the hint to a checkpoint.
    let first = 4 * tables.count
    #expect(commits > 2 * first, "\(commits) commits of \(tables.count) tables")
    #expect(checkpoints > 0 && checkpoints <= commits / 10 + tables.count, "\(checkpoints) checkpoints for \(commits) commits")
    // A checkpoint reads the commits since the one before.
    #expect(
      tableGets <= commits + 2 * first + 25 * checkpoints, "\(tableGets) gets of logs for \(commits) commits, \(checkpoints) checkpoints")
    #expect(looks <= files + 8, "\(looks) looks at \(files) data files")
  }
}
