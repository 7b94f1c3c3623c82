import Testing
import WeirCore

@testable import WeirKinesis

/// Workers that share a table, each with its own machine, round by round.
private final class Table {
  var rows: [String: Lease] = [:]
  var machines: [String: LeaseMachine] = [:]
  var now: Int64 = 0
  /// What each received, in order.
  var said: [String] = []

  init(_ count: Int) { for i in 0..<count { rows["s\(i)"] = Lease(key: "s\(i)") } }

  func join(_ worker: String) { machines[worker] = LeaseMachine(.init(worker: worker)) }

  func owned(_ worker: String) -> [String] { rows.values.filter { $0.owner == worker }.map(\.key).sorted() }

  private func change(_ lease: Lease, _ body: (inout Lease) -> Void) {
    var lease = lease
    lease.counter += 1
    body(&lease)
    rows[lease.key] = lease
  }

  /// One worker's round, with all writes that it asks for; the engine answers at once, unless it hangs.
  func round(_ worker: String, hangs: Bool = false) {
    guard var machine = machines[worker] else { return }
    let round = machine.saw(Array(rows.values), shards: Set(rows.keys), at: now)
    for lease in round.renew where rows[lease.key] == lease { rows[lease.key]?.counter += 1 }
    for lease in round.release where rows[lease.key] == lease { change(lease) { $0.owner = nil } }
    for lease in round.take where rows[lease.key] == lease {
      change(lease) { ($0.owner, $0.wantedBy) = (worker, nil) }
      machine.took(lease.key)
    }
    for lease in round.want where rows[lease.key]?.owner == lease.owner { rows[lease.key]?.wantedBy = worker }
    said += round.lost.map { "\(worker) lost \($0)" } + round.revoked.map { "\(worker) gives \($0)" }
    if !hangs { machine.released(round.revoked + round.lost) }
    machines[worker] = machine
  }

  func rounds(_ count: Int, of workers: [String]) {
    for _ in 0..<count {
      now += 3_000_000_000
      for worker in workers { round(worker) }
    }
  }
}

struct LeaseMachineTests {
  @Test func `one worker takes all leases, and a second one gets half, handed over and not taken`() {
    let table = Table(5)
    table.join("a")
    table.rounds(2, of: ["a"])
    #expect(table.owned("a").count == 5)
    table.join("b")
    table.rounds(6, of: ["a", "b"])
    #expect(table.owned("a").count == 3 && table.owned("b").count == 2)
    #expect(table.said.allSatisfy { $0.hasPrefix("a gives") } && table.said.count == 2)
    table.said = []
    table.rounds(20, of: ["a", "b"])
    #expect(table.said.isEmpty, "they leave each other alone")
  }

  @Test func `a third worker gets a lease of two that have just their share`() {
    let table = Table(4)
    for worker in ["a", "b"] { table.join(worker) }
    table.rounds(8, of: ["a", "b"])
    table.join("c")
    table.rounds(10, of: ["a", "b", "c"])
    #expect(["a", "b", "c"].map { table.owned($0).count }.sorted() == [1, 1, 2])
  }

  @Test func `leases of a worker that died are taken after the time of a lease, not before`() {
    let table = Table(4)
    for worker in ["a", "b"] { table.join(worker) }
    table.rounds(8, of: ["a", "b"])
    table.rounds(3, of: ["b"])
    #expect(table.owned("b").count == 2)
    table.rounds(2, of: ["b"])
    #expect(table.owned("b").count == 4)
    // It wakes up, and finds that it has none.
    table.rounds(1, of: ["a"])
    #expect(table.said.filter { $0.hasPrefix("a lost") }.count == 2)
  }

  @Test func `a worker that does not hand over loses the lease after the time for it`() {
    let table = Table(2)
    table.join("a")
    table.rounds(2, of: ["a"])
    table.join("b")
    for _ in 0..<8 {
      table.now += 3_000_000_000
      table.round("a", hangs: true)
      table.round("b")
    }
    #expect(table.owned("b").isEmpty)
    for _ in 0..<6 {
      table.now += 3_000_000_000
      table.round("a", hangs: true)
      table.round("b")
    }
    #expect(table.owned("b").count == 1)
  }

  @Test func `a write whose answer was lost is found by the next round`() {
    var machine = LeaseMachine(.init(worker: "a"))
    let round = machine.saw([Lease(key: "s0")], shards: ["s0"], at: 0)
    #expect(round.take.map(\.key) == ["s0"])
    let next = machine.saw([Lease(key: "s0", owner: "a", counter: 1)], shards: ["s0"], at: 1)
    #expect(next.assigned == ["s0"] && next.renew.count == 1)
    let round1 = machine.saw([Lease(key: "s0", owner: "a", counter: 2)], shards: ["s0"], at: 2)
    #expect(round1.assigned.isEmpty)
  }

  @Test func `a shard that was lost is not taken again before the engine has answered`() {
    var machine = LeaseMachine(.init(worker: "a"))
    _ = machine.saw([Lease(key: "s0", owner: "a", counter: 1)], shards: ["s0"], at: 0)
    let round2 = machine.saw([Lease(key: "s0", owner: nil, counter: 2)], shards: ["s0"], at: 1)
    #expect(round2.lost == ["s0"])
    let round3 = machine.saw([Lease(key: "s0", owner: nil, counter: 2)], shards: ["s0"], at: 2)
    #expect(round3.take.isEmpty)
    machine.released(["s0"])
    let round4 = machine.saw([Lease(key: "s0", owner: nil, counter: 2)], shards: ["s0"], at: 3)
    #expect(round4.take.count == 1)
  }

  @Test func `leases of shards that ended, or that are not in the stream, have no owner`() {
    var machine = LeaseMachine(.init(worker: "a"))
    let rows = [Lease(key: "s0", checkpoint: "SHARD_END"), Lease(key: "other")]
    let round5 = machine.saw(rows, shards: ["s0"], at: 0)
    #expect(round5 == .init())
    machine.took("s1")
    let round6 = machine.saw([Lease(key: "s1", counter: 2, checkpoint: "SHARD_END")], shards: ["s1"], at: 1)
    #expect(round6 == .init(), "it is not lost")
  }
}

struct LeaseTests {
  private func item(_ more: String) throws -> JSONValue {
    try JSONValue(parsing: Array("{\"leaseKey\":{\"S\":\"s\"},\"leaseCounter\":{\"N\":\"7\"},\"checkpoint\":{\"S\":\"12\"}\(more)}".utf8))
  }

  @Test func `rows of KCL are leases, whatever else they have, and other rows are not`() throws {
    let lease = try #require(
      Lease(try item(",\"entityType\":{\"S\":\"LEASE\"},\"throughputKBps\":{\"N\":\"1.5\"},\"leaseOwner\":{\"S\":\"w\"}")))
    #expect(lease.owner == "w" && lease.counter == 7 && lease.checkpoint == "12")
    #expect(Lease(try item(",\"entityType\":{\"S\":\"WORKER_METRIC_STATS\"}")) == nil)
    #expect(Lease(try item(",\"streamName\":{\"S\":\"x\"}")) == nil)
    #expect(Lease(try JSONValue(parsing: Array("{\"leaseKey\":{\"S\":\"Leader\"}}".utf8))) == nil)
  }

  @Test(arguments: [
    ("12", Int64(3), "9@12:4", false), ("12", 4, "9@12:4", true), ("13", 0, "9@12:4", true), ("9", 0, "9@12:4", false),
    ("TRIM_HORIZON", 0, "0@0:0", false), ("LATEST", 0, "0@0:0", false), ("5", 0, "0@0:0", true), ("5", 0, "0@0:1700000000000", true),
    ("SHARD_END", 0, "9@12:4", true),
  ])
  func `a checkpoint of another program is ahead if a record of it is not in the ledger`(
    _ checkpoint: String, _ sub: Int64, _ position: String, _ isAhead: Bool
  ) throws {
    var lease = Lease(key: "s", checkpoint: checkpoint)
    lease.subSequence = sub
    let point = place(position)
    #expect(lease.isForeign(aheadOf: point, end: nil) == isAhead)
    lease.ownCheckpoint = lease.checkpointText
    #expect(!lease.isForeign(aheadOf: point, end: nil), "Weir wrote it")
  }

  @Test(arguments: [
    ("12", Int64(3), "12:4"), ("12", 0, "12:1"), ("SHARD_END", 0, "99:1"), ("TRIM_HORIZON", 0, nil), ("LATEST", 0, nil),
  ])
  func `reading continues after the record that a checkpoint names, and at the end of a shard that was read to its end`(
    _ checkpoint: String, _ sub: Int64, _ next: String?
  ) throws {
    var lease = Lease(key: "s", checkpoint: checkpoint)
    lease.subSequence = sub
    #expect(lease.next(end: SequenceNumber("99"))?.text == next)
    let isAtEnd = next == "99:1"
    #expect(lease.next(end: nil)?.text == (isAtEnd ? nil : next), "the stream does not say where the shard ends")
    #expect(lease.isForeign(aheadOf: place("9@99:1"), end: SequenceNumber("99")) == false, "the ledger is there")
    #expect(lease.isForeign(aheadOf: place("0@0:0"), end: SequenceNumber("99")) == (next != nil))
  }

  @Test func `a position is a checkpoint once something was consumed, and names the last record`() throws {
    #expect(Checkpoint(place("0@0:0"), mark: "m") == nil)
    #expect(Checkpoint(place("0@12:0"), mark: "m") == nil)
    #expect(Checkpoint(place("9@12:4"), mark: "m")?.text == "12:3")
  }
}
