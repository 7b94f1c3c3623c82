import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirDelta

/// What checkpoints cost.
private final class Meter: Sendable {
  struct Use {
    /// Bytes of all checkpoints, and of the largest piece that was read or written of one.
    var checkpointBytes = 0
    var largestPiece = 0
    var checkpoints: [String] = []
    /// Objects that were listed.
    var listed = 0
  }
  private let used = Mutex(Use())

  var use: Use { used.withLock { $0 } }

  var store: InterceptedStore { InterceptedStore(MemoryStore(), after: { self.count($0, $1) }) }

  private func count(_ request: StoreRequest, _ amount: Int) {
    used.withLock { use in
      switch request {
      case .list: use.listed += amount
      case .get(let path), .append(let path):
        if path.hasSuffix(".parquet") { use.largestPiece = max(use.largestPiece, amount) }
      case .put(let path) where path.hasSuffix(".parquet"):
        use.checkpointBytes += amount
        use.checkpoints.append(path)
      default: break
      }
    }
  }
}

struct CheckpointLifeTests {
  private static func creation() -> [DeltaAction] {
    DeltaTable.creation(
      id: "id", columns: [ColumnSchema("n", .int64)], partitionColumns: [], configuration: ["weir.ledger": "l"], milliseconds: 1)
  }

  private static func add(_ path: String, bytes: Int64 = 1) -> DeltaAction {
    .add(DeltaAdd(path: path, partitionValues: [], bytes: bytes, modificationMilliseconds: 1, stats: #"{"numRecords":1}"#))
  }

  /// A follower's commits of one file each, with checkpoints as they are due; a reader's bound is checked at each version.
  @Test func `checkpoints of a long life cost a multiple of the last one, and no piece of one grows with the table`() async throws {
    let meter = Meter()
    let store = meter.store
    var table = DeltaTable(store: store, path: "t", application: "l/")
    table.checkpointGroupRows = 64
    var tip: DeltaTip?
    for version in Int64(0)..<1200 {
      var actions = version == 0 ? CheckpointLifeTests.creation() : []
      actions += [.transaction(appID: "l/t", version: version), CheckpointLifeTests.add("part-\(version)")]
      #expect(await table.tryCommit(version: version, bytes: DeltaCommit.encode(info: [], actions: actions)) == .created)
      tip = try table.tip(tip, after: actions, version: version)
      let now = try #require(tip)
      if now.isCheckpointDue { try await table.writeCheckpoint(of: now) }
      tip = try await table.tip(after: tip)
      let last = try #require(tip?.checkpoint ?? CheckpointMark(version: 0, rows: 0))
      #expect(version - last.version <= max(10, last.rows / DeltaTip.tailShare), "commits after the checkpoint at version \(version)")
    }
    let use = meter.use
    let last = try #require(use.checkpoints.last)
    let lastBytes = try #require(try await store.get(last)).count
    #expect(use.checkpoints.count < 100 && use.checkpoints.count > 20, "\(use.checkpoints.count) checkpoints")
    #expect(use.checkpointBytes < 33 * lastBytes, "\(use.checkpointBytes) bytes of checkpoints, the last one has \(lastBytes)")
    let reopened = try #require(try await table.tip())
    #expect(reopened.files == 1200 && reopened.bytes == 1200 && !reopened.hasRemovals && reopened.transactions == ["l/t": 1199])
    // The names from the last checkpoint on: one commit for 32 files of the table at most, and the hint.
    let listed = meter.use.listed - use.listed
    #expect(listed <= 1200 / Int(DeltaTip.tailShare) + 3, "\(listed) objects were listed to open the table")
    #expect(try await table.checkpointProblem(try await table.log()) == nil)
  }

  /// What the hint names may be gone, or be no checkpoint at all.
  @Test(arguments: [0, 3, 13, 20, 24, 99]) func `a hint that leads nowhere gives way to the log`(version: Int64) async throws {
    let sample = try await SampleTable(commits: 25)
    let whole = try await sample.table.snapshot()?.text
    let hint = JSONValue.members(["version": .int(version), "size": .int(1)])
    try await sample.store.replace(NewObject(path: sample.table.lastCheckpointPath, bytes: hint.bytes))
    #expect(try await sample.table.snapshot()?.text == whole)
    #expect(try await sample.table.tip()?.version == 24)
  }

  @Test func `a checkpoint is written and read in pieces`() async throws {
    func largest(files: Int64) async throws -> Int {
      let meter = Meter()
      let store = meter.store
      var table = DeltaTable(store: store, path: "t", application: "l/")
      table.checkpointGroupRows = 256
      for version in Int64(0)..<2 {
        var actions = version == 0 ? CheckpointLifeTests.creation() : []
        actions += [.transaction(appID: "l/t", version: version)]
        actions += (0..<files).map { CheckpointLifeTests.add("part-\(version)-\($0)") }
        #expect(await table.tryCommit(version: version, bytes: DeltaCommit.encode(info: [], actions: actions)) == .created)
        try await table.writeCheckpoint(of: try #require(try await table.tip()))
      }
      #expect(try await table.tip()?.files == 2 * files)
      return meter.use.largestPiece
    }
    // The first look at a file's end takes 64 KiB. A whole checkpoint of the larger table has about 200 KiB.
    let large = try await largest(files: 3000)
    #expect(large <= 64 << 10, "\(large) bytes at once")
  }

  /// The oracle is the replay of all commits.
  @Test(arguments: Cases.seeds(0..<40, debugStep: 8)) func `checkpoints made of checkpoints hold what the commits say`(seed: UInt64)
    async throws
  {
    var random = SplitMix64(seed: seed)
    var table = DeltaTable(store: MemoryStore(), path: "t", application: "l/")
    table.checkpointGroupRows = 5
    for version in Int64(0)..<40 {
      var actions = version == 0 ? CheckpointLifeTests.creation() : []
      if version == 0 || random.below(3) > 0 {
        // After a restore a follower adds files again, too.
        let entry = random.below(4) == 0 ? Int64(random.below(Int(version) + 1)) : version
        actions.append(.transaction(appID: "l/t", version: entry))
        actions += (0..<random.below(4)).map { CheckpointLifeTests.add("part-\(entry)-\($0)") }
      } else {
        // Another program: it adds, removes and adds again the files of all, those that are gone among them.
        actions += [.transaction(appID: "other", version: version)]
        for file in 0..<random.below(6) {
          let path = random.below(2) == 0 ? "other-\(random.below(4))-\(file)" : "part-\(random.below(Int(version)))-\(file)"
          let isRemoval = random.below(2) == 0
          actions.append(
            isRemoval
              ? .remove(DeltaRemove(path: path, deletionMilliseconds: version, dataChange: true))
              : CheckpointLifeTests.add(path, bytes: version))
        }
      }
      #expect(await table.tryCommit(version: version, bytes: DeltaCommit.encode(info: [], actions: actions)) == .created)
      if version > 0, random.below(4) == 0 { try await table.writeCheckpoint(of: try #require(try await table.tip())) }
    }
    let newest = try #require(try await table.log().checkpoints.first)
    var told = DeltaSnapshot()
    while told.version < newest.version, try await table.advanceOnce(&told) {}
    #expect(try await table.read(newest, DeltaSnapshot()).text == told.text)
    let (tip, snapshot) = (try #require(try await table.tip()), try #require(try await table.snapshot()))
    #expect(tip.version == snapshot.version && tip.metadata == snapshot.metadata && tip.hadFiles)
    #expect(tip.transactions == snapshot.transactions.filter { $0.key.hasPrefix("l/") })
    if !tip.hasRemovals { #expect(tip.files == snapshot.files.count) }
  }

  @Test func `a damaged checkpoint is not the base of the next`() async throws {
    let sample = try await SampleTable(commits: 25)
    let tip = try #require(try await sample.table.tip())
    let whole = try await sample.table.snapshot()?.text
    try await sample.store.replace(NewObject(path: sample.table.checkpointPath(20), bytes: try await sample.checkpoint(20).dropLast(9)))
    try await sample.table.writeCheckpoint(of: tip)
    try await sample.clean(before: 25)
    #expect(try await sample.table.snapshot()?.text == whole)
  }

  @Test func aRowGroupIsBoundedByItsTextsToo() throws {
    var encoder = CheckpointEncoder(groupRows: 8192)
    let value = String(repeating: "v", count: 100_000)
    var ends: [Int] = []
    for number in 0..<300 {
      let add = DeltaAdd(
        path: "p=\(number)/f", partitionValues: [("p", "\(number)\(value)")], bytes: 1, modificationMilliseconds: 1, stats: nil)
      if try encoder.add(.add(add)) != nil { ends.append(number + 1) }
    }
    #expect(ends == [84, 168, 252])
  }
}
