import Testing
import WeirCore

@testable import WeirDelta

struct DamageTests {
  private func refusal(_ sample: SampleTable, application: String? = "l/") async throws -> String? {
    do {
      _ = try await DeltaTable(store: sample.store, path: "t", application: application).snapshot()
      return nil
    } catch let error as WeirError {
      #expect(error.code == .corrupt)
      return error.message
    }
  }

  /// The commits behind the newest checkpoint, which is 10.
  @Test(arguments: [Int64(11), 13, 14]) func `a damaged commit that a reader meets is refused by name`(version: Int64) async throws {
    let sample = try await SampleTable(commits: 15)
    let path = sample.table.commitPath(version)
    let good = try #require(try await sample.store.get(path))
    #expect(try await refusal(sample) == nil)
    let lines = good.split(separator: 0x0A).map { Array($0) + [0x0A] }
    var flipped = good
    flipped[good.count - 9] ^= 1
    for damaged in [[], Array(good.prefix(good.count / 2)), Array(lines.dropLast().joined()), Array(lines.dropFirst().joined()), flipped] {
      try await sample.store.replace(NewObject(path: path, bytes: damaged))
      #expect(try await refusal(sample)?.contains(path) == true, "\(damaged.count) of \(good.count) bytes")
    }
  }

  @Test(arguments: [(Int64(14), Int64(12)), (14, 13), (12, 13), (11, 3)])
  func `a commit that was replaced by another of its table is refused by name`(version: Int64, by other: Int64) async throws {
    let sample = try await SampleTable(commits: 15)
    let path = sample.table.commitPath(version)
    let bytes = try #require(try await sample.store.get(sample.table.commitPath(other)))
    try await sample.store.replace(NewObject(path: path, bytes: bytes))
    #expect(try await refusal(sample)?.contains(path) == true)
  }

  /// Each has the hash of its own bytes. Version 15 is a new one, 14 the newest of the table, and 12 and 0 have others after them.
  @Test(arguments: [Int64(15), 14, 12, 0]) func `a commit of another table or of another ledger is refused by name`(version: Int64)
    async throws
  {
    for (ledger, table) in [("l", "u"), ("l", "t/entry2"), ("l2", "t")] {
      // The first commit says which ledger a table belongs to: a table of another one is refused as foreign.
      if version == 0, ledger != "l" { continue }
      // The checkpoint stands for the commits before it.
      let sample = try await SampleTable(commits: version == 0 ? 1 : 15)
      let from = max(0, version - 1)
      let info: [JSONValue.Member] = [
        .init("weir", .members(["ledger": .string(ledger), "from": .int(from), "to": .int(from + 1)]))
      ]
      let columns = [ColumnSchema("other", .string)]
      let actions =
        DeltaTable.creation(
          id: "other", columns: columns, partitionColumns: [], configuration: ["weir.ledger": ledger], milliseconds: 1)
        + [.transaction(appID: "\(ledger)/\(table)", version: from + 1), .transaction(appID: "\(ledger)/\(table)/entry", version: 7)]
      let path = sample.table.commitPath(version)
      try await sample.store.replace(NewObject(path: path, bytes: DeltaCommit.encode(info: info, actions: actions)))
      let message = try await refusal(sample)
      #expect(message?.contains(path) == true && message?.contains(ledger == "l" ? "of the table \(table)" : "of the ledger l2") == true)
    }
  }

  @Test func `another program's commit needs no hash`() async throws {
    let sample = try await SampleTable(commits: 15)
    let add = #"{"add":{"path":"x","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}"# + "\n"
    try await sample.store.replace(NewObject(path: sample.table.commitPath(15), bytes: Array(add.utf8)))
    #expect(try await refusal(sample) == nil)
    #expect(try await !sample.table.isOnlyOurs(through: 15))
    #expect(try await sample.table.isOnlyOurs(through: 14))
  }

  @Test func `a log that was removed under a reader is not taken for the newest version`() async throws {
    let sample = try await SampleTable(commits: 5)
    let seen = try await sample.table.snapshot()
    for version in Int64(0)..<5 { try await sample.store.delete(sample.table.commitPath(version)) }
    #expect(try await sample.table.snapshot(after: seen) == nil)
  }
}

struct UndoTests {
  private func add(_ path: String) -> DeltaAction {
    .add(DeltaAdd(path: path, partitionValues: [], bytes: 1, modificationMilliseconds: 1, stats: nil))
  }
  private func remove(_ path: String, changes: Bool) -> DeltaAction {
    .remove(DeltaRemove(path: path, deletionMilliseconds: 1, dataChange: changes))
  }
  private func undo(_ commits: [(isUndone: Bool, actions: [DeltaAction])]) throws -> [String]? {
    var snapshot = DeltaSnapshot()
    try snapshot.apply([add("a"), add("b")], version: 0, path: "")
    var undo = DeltaUndo(snapshot)
    for commit in commits { guard undo.take(commit.actions, isUndone: commit.isUndone) else { return nil } }
    return undo.files.keys.sorted()
  }

  @Test func `other programs' changes to files that stay are kept`() throws {
    #expect(try undo([(true, [add("c")]), (false, [remove("a", changes: true), add("a2")])]) == ["a2", "b"])
    #expect(try undo([(false, [remove("a", changes: false), remove("b", changes: false), add("ab")]), (true, [add("c")])]) == ["ab"])
  }

  @Test func `an OPTIMIZE over files that are undone is undone, also by way of another`() throws {
    let first = (isUndone: false, actions: [remove("b", changes: false), remove("c", changes: false), add("bc")])
    #expect(try undo([(true, [add("c")]), first]) == ["a", "b"])
    let second = (isUndone: false, actions: [remove("a", changes: false), remove("bc", changes: false), add("abc")])
    #expect(try undo([(true, [add("c")]), first, second]) == ["a", "b"])
  }

  @Test func `changed rows of files that are undone cannot be undone`() throws {
    #expect(try undo([(true, [add("c")]), (false, [remove("c", changes: true), add("c2")])]) == nil)
  }
}
