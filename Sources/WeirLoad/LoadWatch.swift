import WeirCore
import WeirEngine
import WeirLocal
import WeirRuntime

/// Looks at a pipeline's state table while a load runs: which records are visible, and whether they really are.
///
/// A lane's mark in the state table says up to which position its rows are there; it is written in the transaction of the rows. What it says
/// is held against the rows: now and then the newest record that a mark covers is looked up by its key, and the row must count it and
/// all before it.
package actor LoadWatch {
  private static let pollNanoseconds: Int64 = 1_000_000
  /// Looks at marks from one sample to the next.
  private static let samplesEvery = 20
  /// How often, and after how long each, it is looked whether a row that is missing was taken back.
  private static let takenBackLooks = 20
  private static let takenBackNanoseconds: Int64 = 50_000_000

  struct Samples: Sendable {
    var rows: Int64 = 0
    /// Rows that did not have what the mark says.
    var stale: Int64 = 0
    var firstStale: String?
  }

  private let table: any StateTableReader
  /// `flushed/` where lanes finish tables, else `committed/`: merged rows come with entries of the ledger.
  private let prefix: String
  private let check: StateCheck?
  private let templates: LoadTemplates?
  private let shards: [String: Int]
  private let bases: [Int64]
  private let meter: LatencyMeter
  private let clock: any Clock
  /// How far each partition was ever visible.
  private var positions: [Int64]
  /// How far it is now: rows that ran ahead of the ledger when their worker died are taken back by whoever takes its lanes (law 6), and come again.
  private var marks: [Int64]
  private(set) var samples = Samples()
  private var looks = 0

  /// - Parameters:
  ///   - store: the state table's directory; there must be a table in it.
  ///   - shards: the number of each partition by its lane's name.
  ///   - check: nil: the pipeline has no state by the record's key.
  package init(
    store: String, hasLaneState: Bool, check: StateCheck?, templates: LoadTemplates?, shards: [String: Int], bases: [Int64],
    meter: LatencyMeter,
    clock: any Clock
  ) throws {
    table = try AdapterRegistry.standard.stateTable(at: store)
    prefix = hasLaneState ? "flushed/" : "committed/"
    self.check = check
    self.templates = templates
    self.shards = shards
    self.bases = bases
    self.meter = meter
    self.clock = clock
    positions = bases
    marks = bases
  }

  /// Watches until `isDone`.
  func run(until isDone: @Sendable () -> Bool) async throws {
    while !isDone() {
      try await look()
      await clock.sleep(nanoseconds: LoadWatch.pollNanoseconds)
    }
  }

  /// Everything up to `ends` (by partition) is visible.
  func hasReached(_ ends: [Int64]) -> Bool { zip(marks, ends).allSatisfy { $0 >= $1 } }

  private func look() async throws {
    try await readMarks()
    let now = clock.monotonicNanoseconds
    for (shard, mark) in marks.enumerated() where mark > positions[shard] {
      positions[shard] = mark
      meter.visible(shard: shard, through: mark, now: now)
    }
    looks += 1
    if looks % LoadWatch.samplesEvery == 0 { try await sample() }
  }

  /// Rows are taken back before their mark is.
  private func isTakenBack(_ partition: Int, from mark: Int64) async throws -> Bool {
    for _ in 0..<LoadWatch.takenBackLooks {
      try await readMarks()
      if marks[partition] < mark { return true }
      await clock.sleep(nanoseconds: LoadWatch.takenBackNanoseconds)
    }
    return false
  }

  private func readMarks() async throws {
    for (name, value) in try await table.listMeta(prefix: prefix) {
      guard let shard = shards[String(name.dropFirst(prefix.count))] else { continue }
      let numbers = String(decoding: value, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
      if numbers.count >= 2 { marks[shard] = max(bases[shard], numbers[1]) }
    }
  }

  /// Looks up the key of the newest visible record of one partition.
  private func sample() async throws {
    guard let check, let templates else { return }
    let partition = looks / LoadWatch.samplesEvery % bases.count
    let mark = marks[partition]
    let seen = mark - bases[partition]
    let order = templates.ofPartition[partition]
    guard seen > 0, !order.isEmpty else { return }
    let last = seen - 1
    let template = templates.all[Int(order[Int(last % Int64(order.count))])]
    let wanted = last / Int64(order.count) * templates.templatesOfKey[template.keyNumber] + Int64(template.before) + 1
    let key = templates.keys[template.keyNumber]
    let found = try await check.count(of: key, in: table)
    samples.rows += 1
    if found < wanted {
      if try await isTakenBack(partition, from: mark) { return }
      samples.stale += 1
      if samples.firstStale == nil {
        samples.firstStale =
          "partition \(partition) is visible up to position \(mark), but the row of \(key) counts \(found) records instead of \(wanted)"
      }
    }
  }
}
