import Testing
import WeirCore
import WeirOperators
import WeirProtocol

@testable import WeirConfiguration
@testable import WeirEngine

/// Several kinds of records in one block: what becomes of each, and what moves the watermark.
@Suite struct RecordKindsTests {
  private func plan(_ otherwise: String, _ more: String = "silver: {}", time: String = "out_of_order: 1s, max_ahead: off") throws -> Plan {
    try loadPipeline(
      yaml: """
        pipeline: p
        source: {capture: {stream: s}}
        record:
          key: k
          time: {field: t, \(time)}
          fields: {by: string, t: timestamp_s!, k: string}
        route:
          by: by
          kinds:
            a: {fields: {x: int64!, y: {type: string, path: in.y}}}
            b: {is: [b, B], fields: {x: {type: int64, path: z}}, checks: [{name: small, that: "x < 50 or x + 9223372036854775807 > 0"}]}
          else: \(otherwise)
        dedup: {id: x, within: 1h}
        \(more)
        """, file: "p.yaml"
    ).plan
  }

  private func prepared(_ plan: Plan, _ lines: [String]) throws -> (block: PreparedBlock, watermark: Int64) {
    var block = BlockPreparer(CompiledPlan(plan, lookups: []), nil).prepare(RawBlock(lines: Array(lines.joined(separator: "\n").utf8)))
    var sequencer = Sequencer(plan, maximum: nil, judge: .stream)
    var followers = ClockGuard.Followers()
    followers.end = .closed
    #expect(try sequencer.sequence(&block, followers: followers) == nil)
    return (block, sequencer.watermark)
  }

  private func cut(_ plan: Plan, _ block: PreparedBlock, lanes count: Int = 1) throws -> [LaneEpoch] {
    let compiled = CompiledPlan(plan, lookups: [])
    let lane = LaneState(
      LaneID(shard: "s", index: 0, of: 1), generation: 0, compiled: compiled, run: RunInfo(plan, runID: "r"), scratch: Scratch())
    try lane.consume(DealtBlocks([block], lanes: 1, end: 1000, watermark: block.columns.watermark.last ?? 0), lane: 0)
    return [try lane.cut()]
  }

  private static let lines = [
    #"{"by":"a","t":10,"k":"k","x":1,"in":{"y":"q"},"z":"another kind's"}"#,
    #"{"by":"B","t":11,"k":"k","z":1,"x":"another kind's","in":7}"#, #"{"by":"A","t":20,"k":1,"x":[]}"#, #"{"by":null,"t":"?"}"#,
    #"{"t":30,"k":"k","x":1,"by":"b","z":null}"#, #"{"by":"a","t":31,"k":"k"}"#, #"{"by":5,"t":40}"#, #"{"by":"a","t":12,"k":"k","x":1}"#,
    #"{"by":"b","t":13,"k":"k","z":1"#,
  ]

  @Test func aRecordIsReadByTheFieldsOfItsKindAlone() throws {
    let block = try prepared(plan("drop"), RecordKindsTests.lines).block
    #expect(block.decoded.kinds == [0, 1, 254, 254, 1, 0, 255, 0, 255])
    let columns = block.decoded.columns
    func values(_ column: Int) -> [Literal] { (0..<block.count).map { columns[column].literal($0) } }
    #expect(values(3) == [.int64(1), .int64(1), .null, .null, .null, .null, .null, .int64(1), .null])
    #expect(values(4) == [.string("q")] + [Literal](repeating: .null, count: 8))
    #expect(block.columns.verdict == [0, 0, 1, 1, 0, 2, 2, 0, 2])
    #expect(block.rejections.keys.sorted() == [5, 6, 8])
    #expect(block.rejections[5]?.reason.hasPrefix("required field x is missing or null") == true)
    #expect(block.rejections[6]?.reason.hasPrefix("field by: expected string, found a number") == true)
  }

  @Test func recordsOfNoKindAreRejectedOrLeftOut() throws {
    let block = try prepared(plan("quarantine"), RecordKindsTests.lines).block
    #expect(block.columns.verdict == [0, 0, 2, 2, 0, 2, 2, 0, 2])
    #expect(block.rejections[2] == Rejection(stage: .route, reason: "no kind of record has by 'A'"))
    #expect(block.rejections[3] == Rejection(stage: .route, reason: "field by, which says the kind, is missing or null"))
  }

  @Test func oneWatermarkIsOverAllKindsAndWhatIsLeftOut() throws {
    let lines = [#"{"by":"a","t":10,"x":1}"#, #"{"by":"none","t":50}"#, #"{"by":"none","t":null}"#, #"{"by":"b","t":20,"x":1}"#]
    let dropped = try prepared(plan("drop"), lines)
    #expect(dropped.block.columns.watermark == [9, 49, 49, 49].map { $0 * 1_000_000 })
    // A rejected record does not count: it is not valid.
    let rejected = try prepared(plan("quarantine"), lines)
    #expect(rejected.block.columns.watermark == [9, 9, 9, 19].map { $0 * 1_000_000 })
  }

  @Test func whatIsLeftOutIsFilteredWhateverItsClockSays() throws {
    let more = "gold: {g: {by: [_kind], window: {tumbling: 10s}, measure: {n: count()}}}"
    let end = 253_402_300_799
    let lines =
      [#"{"by":"a","t":10,"x":1}"#, #"{"by":"none","t":\#(end)}"#, #"{"by":"none","t":100000}"#, #"{"by":"a","t":100000,"x":2}"#]
      + (0..<20).map { #"{"by":"a","t":\#(11 + $0),"x":\#(10 + $0)}"# }
    let block = try prepared(plan("drop", more, time: "out_of_order: 1s, max_ahead: 1m"), lines).block
    #expect(Array(block.columns.verdict.prefix(4)) == [0, 1, 1, 2])
    #expect(block.rejections.count == 1 && block.rejections[3]?.stage == .time)
    #expect(block.columns.watermark.last == 29_000_000)
  }

  @Test func checksAndIdsAreOfTheirKind() throws {
    // The overflow is one of kind b alone.
    let lines = [
      #"{"by":"a","t":1,"k":"k","x":100}"#, #"{"by":"b","t":1,"k":"k","z":100}"#, #"{"by":"b","t":1,"k":"k","z":7}"#,
      #"{"by":"a","t":1,"k":"k","x":7}"#, #"{"by":"B","t":1,"k":"k","z":7}"#,
    ]
    let plan = try plan("drop")
    let block = try prepared(plan, lines).block
    #expect(block.columns.verdict == [0, 2, 0, 0, 0])
    #expect(block.columns.ids[2] == block.columns.ids[4] && block.columns.ids[2] != block.columns.ids[3])
    let epoch = try cut(plan, block)[0]
    #expect(epoch.counts.accepted == 3 && epoch.counts.duplicate == 1 && epoch.counts.quarantined == 1)
    #expect(epoch.kinds["a"]?.accepted == 2 && epoch.kinds["a"]?.input == 2)
    #expect(epoch.kinds["b"]?.accepted == 1 && epoch.kinds["b"]?.duplicate == 1 && epoch.kinds["b"]?.quarantined == 1)
    #expect(epoch.kinds["_other"] == nil)
  }

  @Test func theBucketsOfTheKindsAreThoseOfAllRecords() throws {
    for otherwise in ["drop", "quarantine"] {
      let plan = try plan(otherwise)
      let epoch = try cut(plan, try prepared(plan, RecordKindsTests.lines).block)[0]
      #expect(epoch.kinds.values.reduce(into: BucketCounts()) { $0 += $1 } == epoch.counts && epoch.counts.input == 9)
      #expect(epoch.kinds["_other"]?.input == 4 && epoch.kinds["_other"]?.filtered == (otherwise == "drop" ? 2 : 0))
    }
  }
}
