import Foundation
import Testing
import WeirConfiguration
import WeirCore
import WeirOperators
import WeirProtocol

@testable import WeirEngine

/// A record whose expressions have errors does not take part in dedup.
@Suite struct RejectedIDTests {
  /// Where a pipeline may have an expression, each with one that has an error where `n` is 7, and a table that needs it.
  static let places = [
    "silver: {columns: \"*, n * n * (case when n = 7 then 9223372036854775807 else 1 end) as z\"}",
    "silver: {columns: \"cast(case when n = 7 then 'x' else '1' end as int64) as z\"}",
    "silver: {columns: \"*, kinds.weight * (case when n = 7 then 9223372036854775807 else 1 end) as z\"}",
    "gold: {g: {where: \"n * 9223372036854775807 > 0 or n <> 7\", by: [id], window: {tumbling: 10s}, measure: {rows: count()}}}",
    "gold: {g: {by: [\"cast(case when n = 7 then 'x' else '1' end as int64) as b\"], window: {tumbling: 10s}, measure: {rows: count()}}}",
    "gold: {g: {by: [k], window: {tumbling: 10s}, measure: {z: \"sum(n * (case when n = 7 then 9223372036854775807 else 1 end))\"}}}",
    "state: {s: {where: \"n * 9223372036854775807 > 0 or n <> 7\", by: [k], measure: {rows: count()}}}",
    "state: {s: {by: [k, \"abs(case when n = 7 then -9223372036854775807 - 1 else 1 end) as b\"], measure: {rows: count()}}}",
    "state: {s: {by: [kind], measure: {z: \"max(n * (case when n = 7 then 9223372036854775807 else 1 end))\"}}}",
  ]

  /// Two lanes' worth of a plan, fed some lines at a time.
  private final class Bench {
    private let compiled: CompiledPlan
    private let lanes: [LaneState]
    private let dealer: LaneDealer?
    private var sequencer: Sequencer
    private var position: Int64 = 0

    init(_ table: String, lanes count: Int) throws {
      let directory = NSTemporaryDirectory() + "weir-ids-" + UUID().uuidString
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(atPath: directory) }
      try "kind,weight\na,2\nb,3\n".write(toFile: directory + "/kinds.csv", atomically: true, encoding: .utf8)
      let yaml = """
        pipeline: p
        source: {capture: {stream: s}}
        record:
          format: json
          key: k
          time: {field: t, out_of_order: 1s}
          fields: {id: string, k: string!, kind: string, n: int64, t: timestamp_s!}
        checks:
          - {name: positive, that: n >= 0}
        dedup: {id: id, within: 1h}
        lookups: {kinds: {file: kinds.csv, key: kind, columns: {weight: int64}}}
        \(table)
        """
      let pipeline = try loadPipeline(yaml: yaml, file: directory + "/p.yaml")
      let compiled = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
      self.compiled = compiled
      lanes = (0..<count).map {
        LaneState(
          LaneID(shard: "s", index: $0, of: count), generation: 0, compiled: compiled, run: RunInfo(shard: "s", runID: "r"),
          scratch: Scratch())
      }
      dealer = count > 1 ? LaneDealer(pipeline.plan.source.deal, lanes: count) : nil
      sequencer = Sequencer(pipeline.plan, maximum: nil, judge: .stream)
    }

    /// What became of the records since the call before.
    func feed(_ records: [(id: String?, n: Int)]) throws -> BucketCounts {
      let lines = records.map { record in
        "{\"id\": \(record.id.map { "\"\($0)\"" } ?? "null"), \"k\": \"key\", \"kind\": \"a\", \"n\": \(record.n), \"t\": 5}\n"
      }
      let raw = RawBlock(lines: Array(lines.joined().utf8), position: position)
      position += Int64(raw.count)
      var block = BlockPreparer(compiled, dealer).prepare(raw)
      // No more records come that could tell whether a clock is wrong.
      var followers = ClockGuard.Followers()
      followers.end = .closed
      #expect(try sequencer.sequence(&block, followers: followers) == nil)
      let next = DealtBlocks([block], lanes: lanes.count, end: position, watermark: sequencer.watermark)
      var counts = BucketCounts()
      for (number, lane) in lanes.enumerated() {
        try lane.consume(next, lane: number)
        try lane.advance(position: position, watermark: sequencer.watermark)
        counts += try lane.cut().counts
      }
      return counts
    }
  }

  private func counts(accepted: Int64 = 0, duplicate: Int64 = 0, quarantined: Int64 = 0) -> BucketCounts {
    var counts = BucketCounts()
    (counts.accepted, counts.duplicate, counts.quarantined) = (accepted, duplicate, quarantined)
    return counts
  }

  @Test(arguments: places, [1, 2, 40]) func aRecordWithAnErrorInAnExpressionUsesUpNoID(_ table: String, _ lanes: Int) throws {
    let bench = try Bench(table, lanes: lanes)
    #expect(try bench.feed([("a", 7)]) == counts(quarantined: 1), "the expression has no value")
    #expect(try bench.feed([("a", 1)]) == counts(accepted: 1), "the corrected record is not a duplicate")
    #expect(try bench.feed([("a", 1)]) == counts(duplicate: 1), "its id is known from there on")
    #expect(try bench.feed([("a", 7)]) == counts(quarantined: 1), "a failing re-send of an accepted id is quarantined, not a duplicate")
    #expect(try bench.feed([("a", -1)]) == counts(quarantined: 1), "as one that fails a check is")
    #expect(try bench.feed([("a", 2)]) == counts(duplicate: 1), "and both leave the id as it was")
  }

  @Test(arguments: places) func theOrderWithinABlockDoesNotMatter(_ table: String) throws {
    let bench = try Bench(table, lanes: 1)
    #expect(
      try bench.feed([("a", 7), ("a", 1), ("a", 7), ("a", 1), (nil, 7), (nil, 1)]) == counts(accepted: 2, duplicate: 1, quarantined: 3))
  }
}
