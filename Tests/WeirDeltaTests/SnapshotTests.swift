import Testing
import WeirCore
import WeirTesting

@testable import WeirDelta

/// A table of commits 0...`commits - 1`, with a checkpoint every ten.
struct SampleTable {
  let store = MemoryStore()
  let table: DeltaTable

  static let log = "t/_delta_log/"

  static func add(_ n: Int64) -> DeltaAdd {
    DeltaAdd(
      path: "day=%C3%A9%25/part-\(n).parquet", partitionValues: [("day", n % 3 == 0 ? nil : "é\(n)")], bytes: 100 + n,
      modificationMilliseconds: 1_700_000_000_000 + n, stats: n % 4 == 0 ? nil : #"{"numRecords":\#(n)}"#)
  }

  init(commits: Int64) async throws {
    table = DeltaTable(store: store, path: "t")
    for version in 0..<commits {
      let bytes = DeltaCommit.encode(info: SampleTable.info(version), actions: SampleTable.actions(version))
      #expect(await table.tryCommit(version: version, bytes: bytes) == .created)
      if version > 0, version % 10 == 0, let tip = try await table.tip() { try await table.writeCheckpoint(of: tip) }
    }
  }

  private static func info(_ version: Int64) -> [JSONValue.Member] {
    [.init("weir", .members(["ledger": .string("l"), "from": .int(max(0, version - 1)), "to": .int(version)]))]
  }

  private static func actions(_ version: Int64) -> [DeltaAction] {
    let configuration = ["weir.ledger": "l", "delta.enableExpiredLogCleanup": "false"]
    let columns = [ColumnSchema("day", .string), ColumnSchema("n", .int64)]
    var actions =
      version == 0
      ? DeltaTable.creation(id: "id", columns: columns, partitionColumns: ["day"], configuration: configuration, milliseconds: 1) : []
    actions += [.transaction(appID: "l/t", version: version), .add(add(version))]
    if version % 7 == 6 {
      actions.append(.remove(DeltaRemove(path: add(version - 3).path, deletionMilliseconds: version, dataChange: true)))
    }
    return actions
  }

  func remove(_ names: String...) async throws { for name in names { try await store.delete(SampleTable.log + name) } }

  /// Removes the JSON commits before a version.
  func clean(before version: Int64) async throws { for v in 0..<version { try await store.delete(table.commitPath(v)) } }

  func put(_ name: String, _ bytes: [UInt8]) async throws { try await store.replace(NewObject(path: SampleTable.log + name, bytes: bytes)) }

  func checkpoint(_ version: Int64) async throws -> [UInt8] { try await store.get(table.checkpointPath(version)) ?? [] }
}

extension DeltaSnapshot {
  /// A checkpoint of it.
  func checkpoint() throws -> [UInt8] {
    var encoder = CheckpointEncoder(groupRows: 8192)
    let kept = tip.transactions.sorted { $0.key < $1.key }.map { DeltaAction.transaction(appID: $0.key, version: $0.value) }
    let files =
      files.sorted { $0.key < $1.key }.map { DeltaAction.add($0.value) } + removed.sorted { $0.key < $1.key }.map { .remove($0.value) }
    var bytes: [UInt8] = []
    let actions = [.protocolVersion(reader: 1, writer: 2, features: [])] + (metadata.map { [.metadata($0)] } ?? []) + kept + files
    for action in actions { bytes += try encoder.add(action) ?? [] }
    return try bytes + encoder.finish()
  }

  /// What must not depend on how a snapshot was read.
  var text: String {
    // A checkpoint's removals change no data any more.
    var quiet = removed
    for path in quiet.keys { quiet[path]?.dataChange = false }
    return
      "\(version) \(tip.reader) \(tip.writer) \(String(describing: metadata?.id)) \(metadata?.configuration.sorted { $0.key < $1.key } ?? [])"
      + " \(metadata?.schema ?? "") \(metadata?.partitionColumns ?? []) \(String(describing: metadata?.createdMilliseconds))"
      + " \(files.sorted { $0.key < $1.key }) \(quiet.sorted { $0.key < $1.key }) \(transactions.sorted { $0.key < $1.key })"
  }
}

struct SnapshotTests {
  private func digits(_ version: Int64) -> String { "\(String(repeating: "0", count: version < 10 ? 19 : 18))\(version)" }

  private func read(_ sample: SampleTable) async throws -> String? { try await sample.table.snapshot()?.text }

  private func refusal(_ sample: SampleTable) async throws -> WeirError? {
    do {
      _ = try await sample.table.snapshot()
      return nil
    } catch let error as WeirError {
      return error
    }
  }

  @Test func aCleanedLogReadsAsTheWholeOne() async throws {
    let sample = try await SampleTable(commits: 25)
    let whole = try #require(try await read(sample))
    try await sample.clean(before: 20)
    #expect(try await read(sample) == whole)
    try await sample.clean(before: 21)
    #expect(try await read(sample) == whole)
    try await sample.remove("\(digits(10)).checkpoint.parquet", "_last_checkpoint")
    #expect(try await read(sample) == whole)
    try await sample.put("_last_checkpoint", Array(#"{"version":10"#.utf8))
    #expect(try await read(sample) == whole)
  }

  @Test func withoutCheckpointsTheCommitsAreRead() async throws {
    let sample = try await SampleTable(commits: 25)
    let whole = try await read(sample)
    try await sample.remove("\(digits(10)).checkpoint.parquet", "\(digits(20)).checkpoint.parquet")
    #expect(try await read(sample) == whole)
    #expect(try await read(try SampleTable(commits: 0)) == nil)
  }

  @Test func aBrokenCheckpointGivesWayToAnOlderOneOrTheCommits() async throws {
    let sample = try await SampleTable(commits: 25)
    let whole = try await read(sample)
    let good = try await sample.checkpoint(20)
    try await sample.put("\(digits(20)).checkpoint.parquet", Array(good.dropLast(9)))
    #expect(try await read(sample) == whole)
    try await sample.clean(before: 10)
    #expect(try await read(sample) == whole)
    try await sample.put("\(digits(10)).checkpoint.parquet", [])
    let refusal = try #require(try await refusal(sample))
    #expect(refusal.code == .corrupt && refusal.message.contains("\(digits(20)).checkpoint.parquet"), "\(refusal)")
  }

  @Test func gapsAreRefused() async throws {
    for lost in [Int64(0), 5, 22] {
      let sample = try await SampleTable(commits: 25)
      try await sample.remove("\(digits(10)).checkpoint.parquet", "\(digits(lost)).json")
      if lost < 20 { try await sample.remove("\(digits(20)).checkpoint.parquet") }
      let refusal = try #require(try await refusal(sample))
      #expect(refusal.code == .corrupt && refusal.message.contains("\(digits(lost)).json is missing"), "\(refusal)")
    }
    // A checkpoint alone says that there was a version 20.
    let sample = try await SampleTable(commits: 21)
    try await sample.put("\(digits(20)).checkpoint.parquet", [])
    try await sample.remove("\(digits(20)).json")
    #expect(try await refusal(sample)?.code == .corrupt)
  }

  @Test func aWorkerThatSleptDoesNotCommitIntoTheHole() async throws {
    let sample = try await SampleTable(commits: 5)
    let old = try await sample.table.snapshot()
    let later = try await SampleTable(commits: 25)
    try await later.clean(before: 20)
    for (path, bytes) in later.store.all { try await sample.store.replace(NewObject(path: path, bytes: bytes)) }
    try await sample.clean(before: 20)
    #expect(try await sample.table.snapshot(after: old)?.text == later.table.snapshot()?.text)
  }

  @Test func checkpointsInPartsNeedAllOfThem() async throws {
    let sample = try await SampleTable(commits: 25)
    let whole = try await read(sample)
    let single = try await sample.table.snapshot(at: 20, in: try await sample.table.log())
    // Each part has the protocol and metadata of a whole checkpoint; a real one has them once.
    try await sample.put("\(digits(20)).checkpoint.0000000001.0000000002.parquet", try await sample.checkpoint(20))
    try await sample.remove("\(digits(20)).checkpoint.parquet", "\(digits(10)).checkpoint.parquet")
    #expect(try await read(sample) == whole)
    try await sample.clean(before: 20)
    #expect(try await refusal(sample)?.code == .corrupt)
    try await sample.put("\(digits(20)).checkpoint.0000000001.0000000001.parquet", try single.checkpoint())
    #expect(try await refusal(sample) == nil)
  }

  @Test func checkpointsOfVersionTwoAreRefused() async throws {
    let sample = try await SampleTable(commits: 25)
    try await sample.put("\(digits(24)).checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", [])
    #expect(try await refusal(sample) == nil)
    try await sample.clean(before: 24)
    try await sample.remove("\(digits(20)).checkpoint.parquet", "\(digits(10)).checkpoint.parquet")
    let refusal = try #require(try await refusal(sample))
    #expect(refusal.code == .foreignTable && refusal.message.contains("version 2"), "\(refusal)")
  }

  @Test func theLogTellsCleaningFromLoss() async throws {
    let sample = try await SampleTable(commits: 25)
    #expect(try await sample.table.log().firstGap == nil)
    try await sample.clean(before: 1)
    #expect(try await sample.table.log().firstGap == 0)
    try await sample.clean(before: 20)
    let cleaned = try await sample.table.log()
    #expect(cleaned.firstGap == nil && cleaned.isCleaned && cleaned.firstCommit == 20)
    try await sample.remove("\(digits(22)).json")
    #expect(try await sample.table.log().firstGap == 22)
  }
}
