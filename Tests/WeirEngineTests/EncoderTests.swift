import Synchronization
import Testing
import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// From the rows of lanes to files: which rows, in which order, in how many files.
@Suite struct EncoderTests {
  // MARK: Order

  private func chunk(_ position: Int64, _ rows: [UInt32]) -> RowChunk { RowChunk(position: position, source: .columns([]), rows: rows) }

  @Test(arguments: Cases.seeds(1..<30, debugStep: 5))
  func `chunks of a shard's lanes come by position, those of one block as one, and no row is lost`(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let lanes = 1 + random.below(5)
    var (parts, expected): ([[RowChunk]], [(Int64, [UInt32])]) = (Array(repeating: [], count: lanes), [])
    for block in 0..<random.below(8) {
      var byLane = Array(repeating: [UInt32](), count: lanes)
      for row in 0..<random.below(20) { byLane[random.below(lanes)].append(UInt32(row)) }
      let all = byLane.flatMap { $0 }.sorted()
      for lane in 0..<lanes where !byLane[lane].isEmpty { parts[lane].append(chunk(Int64(block * 100), byLane[lane])) }
      if !all.isEmpty { expected.append((Int64(block * 100), all)) }
    }
    let merged = RowChunk.inPositionOrder(parts)
    #expect(merged.map(\.position) == expected.map(\.0))
    #expect(merged.map { $0.rows ?? [] } == expected.map(\.1))
    #expect(merged.map(\.count) == expected.map(\.1.count))
    #expect(RowChunk.inPositionOrder([]).isEmpty)
  }

  @Test func `rows of a batch are shard by shard, whatever the order in which lanes were cut`() async throws {
    let compiled = try PartsBench.compiled()
    var epochs: [LaneEpoch] = []
    for shard in ["t/1", "t/0"] {
      let lane = LaneState(LaneID(shard: shard), generation: 0, compiled: compiled, run: PartsBench.run, scratch: Scratch())
      var feed = Feed(compiled)
      for n in 0..<3 { try lane.consume(try feed.block([SampleRecord(n: Int64(n) + (shard == "t/1" ? 10 : 0), at: 1)]), lane: 0) }
      epochs.append(try lane.cut())
    }
    let batch = EpochBatch(epochs: epochs, decisions: [:])
    #expect(batch.epochs.map(\.lane.shard) == ["t/0", "t/1"])
    #expect(batch.inShardOrder(\.silver).map(\.position) == batch.epochs.flatMap { $0.tables.silver.map(\.position) })
    #expect(!batch.hasDecisions)
    #expect(!EpochBatch(epochs: epochs, decisions: [epochs[0].lane: []]).hasDecisions)
    #expect(EpochBatch(epochs: epochs, decisions: [epochs[0].lane: [.idle]]).hasDecisions)
  }

  @Test func `files of lanes of one shard have their rows in the order of the shard`() async throws {
    let compiled = try PartsBench.compiled(source: "capture: {stream: t}")
    let bench = try await PartsBench(shards: ["t"], compiled: compiled)
    let dealer = LaneDealer(compiled.plan.source.deal, lanes: 3)
    let lanes = (0..<3).map {
      LaneState(LaneID(shard: "t", index: $0, of: 3), generation: 0, compiled: compiled, run: PartsBench.run, scratch: Scratch())
    }
    var (feed, random, expected) = (Feed(compiled), SplitMix64(seed: 8), [String]())
    for _ in 0..<4 {
      let records = (0..<30).map { _ in SampleRecord(user: "u\(random.below(50))", n: Int64(random.below(900)), at: 1) }
      expected += records.map { "\($0.n)" }
      let block = DealtBlocks(
        [try feed.prepared(records, dealer: dealer)], lanes: 3, end: feed.position, watermark: feed.sequencer.watermark)
      for (number, lane) in lanes.enumerated() { try lane.consume(block, lane: number) }
    }
    let encoder = BatchEncoder(compiled, run: PartsBench.run, bench.environment)
    var epochs: [LaneEpoch] = []
    for lane in lanes {
      try lane.advance(position: feed.position, watermark: feed.sequencer.watermark)
      epochs.append(try lane.cut())
    }
    let encoded = try await encoder.encode(EpochBatch(epochs: epochs, decisions: [:]), number: 3, attempt: "a")
    let silver = encoded.files.values.joined().filter { $0.table == "silver/t" }
    #expect(silver.count == 1)
    #expect(try PartsBench.rows(ParquetReader(silver[0].bytes ?? [], name: "s"), ["n"]) == expected)
    #expect(silver[0].data.path.hasPrefix("silver/t/part-00000003-a-"))
    #expect(encoded.rows["silver/t"] == 120 && encoded.rows["bronze/t"] == 120)
    #expect(epochs.allSatisfy { $0.tables.silver.isEmpty && $0.tables.bronze.isEmpty }, "blocks are freed once they are in files")
  }

  @Test func `a batch without rows has no files`() async throws {
    let bench = try await PartsBench()
    let lane = try await bench.lane()
    let batch = EpochBatch(epochs: try await lane.actor.cut(), decisions: [:])
    let encoded = try await BatchEncoder(bench.compiled, run: PartsBench.run, bench.environment).encode(batch, number: 1, attempt: "a")
    #expect(encoded.files.values.allSatisfy(\.isEmpty) && encoded.rows.isEmpty)
    #expect(BatchEncoder.commits([]).isEmpty)
  }

  @Test func `names of files are in the order of entries`() {
    #expect(BatchEncoder.stem(number: 7, attempt: "a") == "00000007-a")
    #expect(BatchEncoder.stem(number: 123_456_789, attempt: "a") == "123456789-a")
  }

  @Test func `rejected records are in quarantine as they were received`() async throws {
    let bench = try await PartsBench()
    let committer = bench.committer()
    await committer.hold(LaneID(shard: "t/0"), nil)
    var lane = try await bench.lane()
    try await lane.actor.consume(
      try lane.feed.block([SampleRecord(n: 5, at: 1), SampleRecord(n: 1000, at: 1), SampleRecord(isBroken: true)]))
    _ = try await bench.commit(committer, lane.actor).fold()
    let rows = try await bench.rows(of: "quarantine/t", ["stage", "value"])
    #expect(rows.count == 2 && rows[0].hasPrefix("check {\"user\"") && rows[1] == "decode {\"user\":")
    #expect(try await bench.rows(of: "bronze/t", ["_position"]).count == 3, "bronze has every record")
  }

  // MARK: Files

  private func layout(partitioned: Bool = false) -> TableLayout {
    TableLayout(
      TableDefinition(
        kind: .silver, name: "silver/s", columns: [ColumnSchema("n", .int64), ColumnSchema("c", .string)],
        partitionBy: partitioned ? [PartitionColumn(transform: .identity, column: "c", name: "c")] : [], rowColumns: ["n", "c"]))
  }

  private func chunks(_ counts: [Int], values: Int) -> (chunks: [RowChunk], numbers: [String: [String]]) {
    var (chunks, numbers, next): ([RowChunk], [String: [String]], Int) = ([], [:], 0)
    for count in counts {
      var (n, c) = (ColumnBuilder(.int64), ColumnBuilder(.string))
      for _ in 0..<count {
        n.append(.int64(Int64(next)))
        c.append(.string("c\(next % values)"))
        numbers["c\(next % values)", default: []].append("\(next)")
        next += 1
      }
      chunks.append(RowChunk([n.finish(), c.finish()]))
    }
    return (chunks, numbers)
  }

  @Test(arguments: [(false, 1), (true, 1), (true, 3), (true, TableEncoder.openMax + 1)])
  func `files are rolled at their size, and together have each row once, in order`(_ isPartitioned: Bool, _ values: Int) throws {
    var lake = LakeSpec()
    lake.fileSizeBytes = 1
    let (given, numbers) = chunks([0, 1, 2000, 0, 999], values: values)
    var (encoder, left, files) = (
      TableEncoder(layout(partitioned: isPartitioned), run: PartsBench.run, lake: lake, stem: "x"), given[...], [EncodedFile]()
    )
    while let some = try encoder.files({ left.popFirst() }) { files += some }
    #expect(Set(files.map(\.data.path)).count == files.count)
    if values == 1 { #expect(files.count > 1, "of the size there is more") }
    var found: [String: [String]] = [:]
    for file in files {
      let bytes = try #require(file.bytes)
      let rows = try PartsBench.rows(ParquetReader(bytes, name: "f"), ["n"])
      #expect(file.data.rows == Int64(rows.count) && !rows.isEmpty)
      #expect(file.data.bytes == Int64(bytes.count) && file.data.hash == ContentHash(of: bytes).hex)
      found[isPartitioned ? file.data.partition[0].value ?? "" : "", default: []] += rows
    }
    #expect(isPartitioned ? found == numbers : found[""] == (0..<3000).map { "\($0)" })
  }

  @Test func `files are written once their number or their bytes reach the bound`() {
    func file(_ bytes: Int?) -> EncodedFile {
      EncodedFile(
        table: "t", data: DataFile(path: "p", rows: 1, bytes: 1, hash: "h", stats: .columns([])),
        bytes: bytes.map { [UInt8](repeating: 0, count: $0) })
    }
    #expect(!TableEncoder.areMany(Array(repeating: file(0), count: TableEncoder.filesMax - 1)))
    #expect(TableEncoder.areMany(Array(repeating: file(0), count: TableEncoder.filesMax)))
    #expect(!TableEncoder.areMany([file(TableEncoder.filesBytesMax - 1), file(nil)]))
    #expect(TableEncoder.areMany([file(TableEncoder.filesBytesMax - 1), file(1)]))
  }

  @Test func `many files are written as they are encoded, and no bytes of them are held`() async throws {
    let tables = "silver: {partition_by: kind}\n"
    let bench = try await PartsBench(compiled: try PartsBench.compiled(tables))
    var lane = try await bench.lane()
    try await lane.actor.consume(try lane.feed.block((0..<TableEncoder.filesMax + 10).map { SampleRecord(kind: "k\($0)", at: 1) }))
    let batch = EpochBatch(epochs: try await lane.actor.cut(), decisions: [:])
    let encoded = try await BatchEncoder(bench.compiled, run: PartsBench.run, bench.environment).encode(batch, number: 1, attempt: "a")
    let files = encoded.files.values.joined().filter { $0.table == "silver/t" }
    #expect(files.count == TableEncoder.filesMax + 10)
    let held = files.filter { $0.bytes != nil }
    #expect(held.count == 10)
    for file in files { #expect((bench.memory.all[file.data.path] != nil) == (file.bytes == nil)) }
    #expect(BatchEncoder.objects(files).map(\.path).sorted() == held.map(\.data.path).sorted())
  }

  @Test func `the ledger has the files table by table, in their order`() {
    func file(_ table: String, _ path: String) -> EncodedFile {
      EncodedFile(table: table, data: DataFile(path: path, rows: 1, bytes: 1, hash: "h", stats: .columns([])), bytes: nil)
    }
    let commits = BatchEncoder.commits([file("a", "1"), file("a", "2"), file("b", "3")])
    #expect(commits.map(\.table) == ["a", "b"] && commits.map { $0.files.map(\.path) } == [["1", "2"], ["3"]])
  }

  // MARK: Blobs

  @Test func `blobs of an entry follow each other in one object, and each is found by its place and hash`() throws {
    var pack = BlobPack(path: "p")
    let blobs: [[[UInt8]]] = [[[1, 2], [3]], [], [[4, 5, 6, 7]]]
    let refs = blobs.map { pack.add($0) }
    let bytes = pack.object.bytes
    #expect(bytes == [1, 2, 3, 4, 5, 6, 7])
    for (ref, blob) in zip(refs, blobs) {
      let part = Array(bytes[Int(ref.offset)..<Int(ref.offset + ref.length)])
      #expect(part == Array(blob.joined()) && ContentHash(of: part).hex == ref.hash && ref.path == "p")
    }
    let base = pack.add(state: [[9]], isBase: false, before: nil)
    #expect(base.deltas.isEmpty, "there is nothing that it could be a delta on")
    let delta = pack.add(state: [[8]], isBase: false, before: base)
    #expect(delta.base == base.base && delta.deltas.count == 1)
    #expect(pack.add(state: [[7]], isBase: true, before: delta).deltas.isEmpty)
  }
}
