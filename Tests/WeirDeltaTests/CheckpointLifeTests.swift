import Synchronization
import Testing
import WeirCore

@testable import WeirDelta

/// A store that counts what checkpoints cost.
final class MeteredStore: ObjectStore {
  struct Use {
    /// Bytes of all checkpoints, and of the largest piece that was read or written of one.
    var checkpointBytes = 0
    var largestPiece = 0
    var checkpoints: [String] = []
    /// Objects that were listed.
    var listed = 0
  }

  private let base = MemoryStore()
  private let used = Mutex(Use())

  var place: String { base.place }
  var use: Use { used.withLock { $0 } }

  private func piece(_ path: String, _ bytes: Int) {
    if path.hasSuffix(".parquet") { used.withLock { $0.largestPiece = max($0.largestPiece, bytes) } }
  }

  func write(_ objects: [NewObject]) async throws { try await base.write(objects) }
  func putIfAbsent(_ object: NewObject) async -> PutOutcome { await base.putIfAbsent(object) }
  func replace(_ object: NewObject) async throws { try await base.replace(object) }
  func get(_ path: String) async throws -> [UInt8]? {
    let bytes = try await base.get(path)
    piece(path, bytes?.count ?? 0)
    return bytes
  }
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]? {
    let bytes = try await base.get(path, offset: offset, count: count)
    piece(path, bytes?.count ?? 0)
    return bytes
  }
  func list(_ prefix: String) async throws -> [ObjectInfo] { try await list(prefix, from: "") }
  func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    let found = try await base.list(prefix, from: first)
    used.withLock { $0.listed += found.count }
    return found
  }
  func sync(_ path: String) async throws { try await base.sync(path) }
  func delete(_ path: String) async throws { try await base.delete(path) }

  func upload(_ path: String) async throws -> any ObjectUpload { Upload(self, path) }

  private actor Upload: ObjectUpload {
    let store: MeteredStore
    let path: String
    var bytes: [UInt8] = []
    init(_ store: MeteredStore, _ path: String) { (self.store, self.path) = (store, path) }

    func append(_ bytes: [UInt8]) async throws {
      store.piece(path, bytes.count)
      self.bytes += bytes
    }
    func finish() async -> PutOutcome {
      let outcome = await store.putIfAbsent(NewObject(path: path, bytes: bytes))
      if outcome == .created {
        store.used.withLock {
          $0.checkpointBytes += bytes.count
          $0.checkpoints.append(path)
        }
      }
      return outcome
    }
    func abandon() async { bytes = [] }
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
    let store = MeteredStore()
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
    let use = store.use
    let last = try #require(use.checkpoints.last)
    let lastBytes = try #require(try await store.get(last)).count
    #expect(use.checkpoints.count < 100 && use.checkpoints.count > 20, "\(use.checkpoints.count) checkpoints")
    #expect(use.checkpointBytes < 33 * lastBytes, "\(use.checkpointBytes) bytes of checkpoints, the last one has \(lastBytes)")
    let reopened = try #require(try await table.tip())
    #expect(reopened.files == 1200 && reopened.bytes == 1200 && !reopened.hasRemovals && reopened.transactions == ["l/t": 1199])
    // The names from the last checkpoint on: one commit for 32 files of the table at most, and the hint.
    let listed = store.use.listed - use.listed
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
      let store = MeteredStore()
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
      return store.use.largestPiece
    }
    // The first look at a file's end takes 64 KiB. A whole checkpoint of the larger table has about 200 KiB.
    let large = try await largest(files: 3000)
    #expect(large <= 64 << 10, "\(large) bytes at once")
  }

  /// The oracle is the replay of all commits.
  @Test(arguments: 0..<40) func `checkpoints made of checkpoints hold what the commits say`(seed: UInt64) async throws {
    var random = Seeded(seed)
    var table = DeltaTable(store: MemoryStore(), path: "t", application: "l/")
    table.checkpointGroupRows = 5
    for version in Int64(0)..<40 {
      var actions = version == 0 ? CheckpointLifeTests.creation() : []
      if version == 0 || random.next(3) > 0 {
        // After a restore a follower adds files again, too.
        let entry = random.next(4) == 0 ? Int64(random.next(Int(version) + 1)) : version
        actions.append(.transaction(appID: "l/t", version: entry))
        actions += (0..<random.next(4)).map { CheckpointLifeTests.add("part-\(entry)-\($0)") }
      } else {
        // Another program: it adds, removes and adds again the files of all, those that are gone among them.
        actions += [.transaction(appID: "other", version: version)]
        for file in 0..<random.next(6) {
          let path = random.next(2) == 0 ? "other-\(random.next(4))-\(file)" : "part-\(random.next(Int(version)))-\(file)"
          let isRemoval = random.next(2) == 0
          actions.append(
            isRemoval
              ? .remove(DeltaRemove(path: path, deletionMilliseconds: version, dataChange: true))
              : CheckpointLifeTests.add(path, bytes: version))
        }
      }
      #expect(await table.tryCommit(version: version, bytes: DeltaCommit.encode(info: [], actions: actions)) == .created)
      if version > 0, random.next(4) == 0 { try await table.writeCheckpoint(of: try #require(try await table.tip())) }
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
}

/// SplitMix64.
private struct Seeded {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  /// 0 ..< `bound`; 0 for a bound of 0.
  mutating func next(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return bound > 0 ? Int((z ^ (z >> 31)) >> 1) % bound : 0
  }
}
