import Testing
import WeirCore
import WeirOperators
import WeirProtocol

@testable import WeirEngine

/// Rows of elements, and records that are elements, through the lanes of a plain capture to files.
@Suite struct SilverTableRowsTests {
  private struct Plain: SourceSettings {
    static let adapter = "plain"
    var live: LiveSourceTraits? { nil }
    var meaning: Plain { self }
    func reads(_ stream: String) -> Bool { false }
  }

  /// A plan over orders with items, by the tables that are asked of it.
  private func plan(each: [PathStep]? = nil) throws -> Plan {
    var record = RecordSpec(
      fields: [
        Field(name: "id", type: .string, required: true), Field(name: "t", type: .timestamp, encoding: .seconds, required: true),
        Field(name: "items", type: try TypeText.parse("list<struct<sku:string,qty:int64>>")),
      ], key: 0, time: TimeSpec(field: 1, outOfOrderMicroseconds: 1_000_000))
    record.each = each
    let inputs = record.fields.enumerated().map { InputColumn(name: $1.name, type: $1.type, nullable: !$1.required, origin: .field($0)) }
    var plan = Plan(
      pipeline: "p", source: SourceSpec(stream: "s", settings: Plain()), record: record, dedup: DedupSpec(id: 0, withinMicroseconds: nil),
      inputs: inputs, bronze: BronzeSpec())
    let explode = try compileExplode("items as item", inputs: inputs)
    var items = SilverTable(name: "items", explode: explode, columns: [])
    items.columns = try compileSelectList("id, _index, item.sku, item.qty + 1 as more", inputs: items.inputs(of: plan), star: [])
    var many = SilverTable(name: "many", explode: explode, columns: [])
    many.filter = try compileCondition("item.qty > 5", inputs: many.inputs(of: plan))
    many.columns = try compileSelectList("id, _index as number, item", inputs: many.inputs(of: plan), star: [])
    let late = SilverTable(
      name: "late", filter: try compileCondition("t > '1970-01-01T00:00:05Z'", inputs: inputs),
      columns: try compileSelectList("id, items[0].sku", inputs: inputs, star: []))
    plan.silverTables = [items, many, late]
    return plan
  }

  /// Rows by table as texts of their values, and what became of the records.
  private func run(_ plan: Plan, _ text: String, lanes count: Int) throws -> (
    rows: [String: [String]], files: [String: Int64], counts: BucketCounts
  ) {
    let compiled = CompiledPlan(plan, lookups: [])
    let run = RunInfo(plan, runID: "r")
    let lanes = (0..<count).map {
      LaneState(LaneID(shard: "s", index: $0, of: count), generation: 0, compiled: compiled, run: run, scratch: Scratch())
    }
    let raw = RawBlock(lines: Array(text.utf8), position: 0)
    var block = BlockPreparer(compiled, count > 1 ? LaneDealer(plan.source.deal, lanes: count) : nil).prepare(raw)
    var followers = ClockGuard.Followers()
    followers.end = .closed
    var sequencer = Sequencer(plan, maximum: nil, judge: .stream)
    #expect(try sequencer.sequence(&block, followers: followers) == nil)
    let next = DealtBlocks([block], lanes: count, end: Int64(raw.count), watermark: sequencer.watermark)
    var epochs: [LaneEpoch] = []
    for (number, lane) in lanes.enumerated() {
      try lane.consume(next, lane: number)
      try lane.advance(position: Int64(raw.count), watermark: sequencer.watermark)
      epochs.append(try lane.cut())
    }
    let batch = EpochBatch(epochs: epochs, decisions: [:])
    var (rows, files): ([String: [String]], [String: Int64]) = ([:], [:])
    for layout in TableLayout.all(plan) {
      var chunks: [RowChunk] =
        switch layout.kind {
        case .silverTable(let table): batch.inShardOrder { $0.silverTables[table] }
        case .bronze: batch.inShardOrder(\.bronze)
        case .quarantine: batch.epochs.compactMap { $0.tables.quarantine.map { RowChunk($0) } }
        default: []
        }
      rows[layout.table] = chunks.flatMap { chunk -> [String] in
        guard case .columns(let columns) = chunk.source, case .silverTable = layout.kind else { return [] }
        return (chunk.rows ?? (0..<UInt32(chunk.count)).map { $0 }).map { row in
          columns.map { $0.type.isNested ? "…" : SilverTableRowsTests.text($0.literal(Int(row))) }.joined(separator: " ")
        }
      }
      chunks.reverse()
      var encoder = TableEncoder(layout, run: run, lake: LakeSpec(), stem: "x")
      while let made = try encoder.files({ chunks.popLast() }) { for file in made { files[layout.table, default: 0] += file.data.rows } }
    }
    return (rows, files, epochs.reduce(into: BucketCounts()) { $0 += $1.counts })
  }

  private static func text(_ value: Literal) -> String {
    switch value {
    case .null: "null"
    case .string(let text): text
    case .int64(let number): "\(number)"
    default: "\(value)"
    }
  }

  private static let orders = [
    #"{"id":"a","t":1,"items":[{"sku":"x","qty":1},null,{"qty":6}]}"#, #"{"id":"b","t":2,"items":[]}"#, #"{"id":"c","t":7}"#,
    #"{"id":"a","t":3,"items":[{"sku":"again","qty":9}]}"#,
    #"{"id":"d","t":8,"items":[{"sku":"ok","qty":7},{"sku":"big","qty":9223372036854775807}]}"#,
    #"{"id":"e","t":9,"items":[{"sku":"y","qty":8}]}"#, #"{"id":7}"#,
  ]

  @Test(arguments: [1, 2, 40]) func eachElementOfAcceptedRecordsHasARow(_ lanes: Int) throws {
    let plan = try plan()
    let (rows, files, counts) = try run(plan, SilverTableRowsTests.orders.map { $0 + "\n" }.joined(), lanes: lanes)
    #expect(rows["silver/items"] == ["a 0 x 2", "a 1 null null", "a 2 null 7", "e 0 y 9"])
    #expect(rows["silver/many"] == ["a 2 …", "e 0 …"])
    #expect(rows["silver/late"] == ["c null", "e y"])
    #expect(counts.accepted == 4 && counts.duplicate == 1 && counts.quarantined == 2 && counts.input == 7)
    #expect(files == ["bronze/s": 7, "silver/items": 4, "silver/many": 2, "silver/late": 2, "quarantine/s": 2])
  }

  @Test func anErrorInOneRowRejectsItsRecordAndSaysWhichElement() throws {
    let compiled = CompiledPlan(try plan(), lookups: [])
    let block = BlockPreparer(compiled, nil).prepare(RawBlock(lines: Array(SilverTableRowsTests.orders[4].utf8)))
    #expect(block.rejections[0] == Rejection(stage: .expression, reason: "silver.items.more: overflow in item.qty + 1 (_index 1)"))
  }

  @Test(arguments: [1, 2, 40]) func elementsOfOuterRecordsAreRecordsWithTheirNumbers(_ lanes: Int) throws {
    let orders = SilverTableRowsTests.orders
    let text = "{\"r\":[\(orders[0]), \(orders[1])]}\n{\"r\":[]}\n{\"r\":[\(orders[3]),\(orders[5]),5]}\nnonsense\n"
    let plan = try plan(each: [.name("r")])
    let (rows, files, counts) = try run(plan, text, lanes: lanes)
    #expect(rows["silver/items"] == ["a 0 x 2", "a 1 null null", "a 2 null 7", "e 0 y 9"])
    #expect(counts.accepted == 3 && counts.duplicate == 1 && counts.quarantined == 2)
    #expect(files["bronze/s"] == 6 && files["quarantine/s"] == 2)
    for table in plan.tables where table.kind == .bronze || table.kind == .quarantine {
      #expect(table.columns.map(\.name).contains("_index"))
    }
  }
}
