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
        guard case .silverTable = layout.kind else { return [] }
        if case .exploded(let exploded) = chunk.source {
          var texts: [String] = []
          exploded.forEachColumns(chunk.rows) { columns, count in
            texts += (0..<count).map { row in
              columns.map { $0.type.isNested ? "…" : SilverTableRowsTests.text($0.literal(row)) }.joined(separator: " ")
            }
          }
          return texts
        }
        guard case .columns(let columns) = chunk.source else { return [] }
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

  /// Each row has its record's id, which is long.
  private func largePlan() throws -> Plan {
    var plan = try plan()
    let tables = try #require(plan.silverTables)
    let explode = tables[0].explode
    var joined = SilverTable(name: "joined", explode: explode, columns: [])
    let inputs = joined.inputs(of: plan)
    joined.columns = try compileSelectList("id || '-' || item.sku as text, _index, item.qty + 1 as more", inputs: inputs, star: [])
    joined.filter = try compileCondition("item.qty <> 3", inputs: inputs)
    joined.partitionBy = [PartitionColumn(transform: .identity, column: "more", name: "more")]
    plan.silverTables = [joined]
    return plan
  }

  @Test(arguments: [1, 2, 40]) func rowsThatAreLargerThanTheirBlockAreMadeAsTheyAreWritten(_ lanes: Int) throws {
    let plan = try largePlan()
    let ids = (0..<20).map { "\($0)" + String(repeating: "x", count: 3000) }
    let lines = ids.enumerated().map { number, id in
      #"{"id":"\#(id)","t":\#(number),"items":[\#((0..<200).map { #"{"sku":"s\#($0)","qty":\#($0 % 5)}"# }.joined(separator: ","))]}"#
        + "\n"
    }
    let compiled = CompiledPlan(plan, lookups: [])
    let block = BlockPreparer(compiled, nil).prepare(RawBlock(lines: Array(lines.joined().utf8)))
    guard case .exploded(let rows) = block.tables[0].source else {
      Issue.record("4,000 rows of 3,000 bytes have columns")
      return
    }
    var pieces = 0
    rows.forEachColumns(nil) { columns, count in
      pieces += 1
      if case .string(let texts) = columns[0].values { #expect(texts.reduce(0) { $0 + $1.count } <= RowBytes.pieceMax) }
    }
    #expect(pieces >= 10 && block.partitions.count == 4)
    let (found, files, counts) = try run(plan, lines.joined(), lanes: lanes)
    let expected = ids.flatMap { id in (0..<200).filter { $0 % 5 != 3 }.map { "\(id)-s\($0) \($0) \($0 % 5 + 1)" } }
    #expect(found["silver/joined"] == expected)
    #expect(files["silver/joined"] == Int64(expected.count) && counts.accepted == 20)
  }

  /// A reason must not depend on the other records of a block.
  @Test func anErrorIsTheSameWhetherItsRowsAreLargeOrSmall() throws {
    var plan = try largePlan()
    var table = try #require(plan.silverTables?.first)
    table.columns = try compileSelectList(
      "id || item.sku as text, cast(item.sku as int64) as number, item.qty + 1 as more", inputs: table.inputs(of: plan), star: [])
    table.partitionBy = []
    plan.silverTables = [table]
    let compiled = CompiledPlan(plan, lookups: [])
    let items = (0..<300).map { #"{"sku":"\#($0 == 250 ? "x" : "\($0)")","qty":\#($0 == 20 ? Int64.max : 0)}"# }.joined(separator: ",")
    let reasons = [10, 30_000].map { length in
      let line = #"{"id":"\#(String(repeating: "x", count: length))","t":1,"items":[\#(items)]}"#
      return BlockPreparer(compiled, nil).prepare(RawBlock(lines: Array(line.utf8))).rejections[0]?.reason
    }
    #expect(reasons[0] == reasons[1] && reasons[0]?.hasSuffix("(_index 250)") == true, "\(reasons)")
  }

  @Test func aRecordWhoseRowsAreTooLargeIsQuarantinedAlone() throws {
    let compiled = CompiledPlan(try plan(), lookups: [])
    func line(_ id: String, _ count: Int) -> String {
      #"{"id":"\#(id)","t":1,"items":[\#(Array(repeating: "{}", count: count).joined(separator: ","))]}"#
    }
    let pad = String(repeating: "x", count: 30_000)
    let lines = [line("a", 50_000), line(pad, 50_000), line("b", 2), line(pad + "y", 3)]
    let block = BlockPreparer(compiled, nil).prepare(RawBlock(lines: Array(lines.joined(separator: "\n").utf8)))
    let words =
      "silver.items.explode: the record's 50000 rows would take more than 1024 MiB (exploded_bytes): a row has all texts of its record that the table's columns read"
    #expect(block.rejections == [1: Rejection(stage: .expression, reason: words)])
    #expect(block.tables[0].count == 50_005)
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
