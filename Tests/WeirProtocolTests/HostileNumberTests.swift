import Testing
import WeirCore
import WeirProtocol

/// Numbers that no writer writes, in entries and snapshots of a ledger. What does not throw must be fit for everything that is done with
/// it: a trap ends the test process.
struct HostileNumberTests {
  private static let integers: [Int64] = [
    0, 1, -1, 1 << 31, 1 << 53, 1 << 56, (1 << 56) + 1, 1 << 60, (1 << 60) + 1, 1 << 62, (1 << 62) + 1, .max - 1, .max, .min,
  ]
  private static let others: [String] = ["1e308", "0.5", "1" + String(repeating: "0", count: 40)]
  private static let numbers: [JSONValue] = integers.map { .int($0) } + others.map { .number($0) }

  private let genesis = Genesis(
    ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "p", dealing: .murmur2,
    lanes: [LaneID(shard: "s", index: 0, of: 2), LaneID(shard: "s", index: 1, of: 2), .merge])

  private func draft(_ fold: LedgerFold, _ position: Int64) -> EntryDraft {
    let blob = BlobRef(path: "b", offset: 3, length: 4, hash: "h")
    var counts = BucketCounts()
    (counts.accepted, counts.duplicate, counts.filtered, counts.quarantined, counts.blankLines) = (1, 2, 3, 4, 5)
    var windows = WindowCounts()
    (windows.onTime, windows.corrected, windows.late) = (1, 2, 3)
    let decisions: [Decision] = [
      .gap(from: .offset(5), to: .offset(6), reason: "r"), .lanesListed([LaneID(shard: "t")], generation: 9), .extensible,
    ]
    var lanes: [LaneCommit] = [0, 1].map { index in
      let id = LaneID(shard: "s", index: index, of: 2)
      return LaneCommit(
        lane: id, dealing: .murmur2, generation: 7, epoch: fold.nextEpoch(of: id), from: fold[id]?.position ?? .offset(0),
        to: .offset(position), watermark: position * 1000, prefixHash: Hash128(low: 1, high: 2), counts: counts,
        windows: ["gold/g": windows],
        decisions: index == 0 ? [] : decisions, state: StateRef(base: blob, deltas: [blob]))
    }
    lanes.append(
      LaneCommit(
        lane: .merge, epoch: fold.nextEpoch(of: .merge), from: fold.mergeLane.position ?? .offset(0), to: .offset(0), endsAtItself: true,
        watermark: 5))
    let stats = [
      ColumnStats(name: "i", type: .int64, nulls: 3, min: .int64(-4), max: .int64(9)),
      ColumnStats(name: "t", type: .timestamp, nulls: 0, min: .timestamp(-4), max: .timestamp(9)),
      ColumnStats(name: "x", type: .double, nulls: 0, nans: 2, min: .double(-0.0), max: .double(.infinity)),
      ColumnStats(
        name: "d", type: .decimal(precision: 38, scale: 2), nulls: 0, min: .decimal(-5, precision: 38, scale: 2),
        max: .decimal(Int128.max, precision: 38, scale: 2)),
      ColumnStats(name: "s", type: .string, nulls: 0, min: .string("a"), max: .string(String(repeating: "é", count: 200))),
      ColumnStats(name: "b", type: .binary, nulls: 1, min: .binary([1]), max: .binary([2])),
    ]
    return EntryDraft(
      commitID: "c", worker: "w", planHash: "p", lanes: lanes,
      tables: [TableCommit(table: "gold/g", files: [DataFile(path: "f", rows: 10, bytes: 20, hash: "h", stats: .columns(stats))])],
      partials: blob)
  }

  private func fold(_ entries: Int) throws -> (fold: LedgerFold, next: LedgerEntry) {
    var fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
    for number in 0..<entries { try fold.apply(draft(fold, Int64(number + 1) * 100).sealed(on: fold)) }
    return (fold, draft(fold, 1000).sealed(on: fold))
  }

  /// All documents with one number replaced, also where it is written as a text (positions), and the words `self` and `max`.
  private func mutants(_ value: JSONValue) -> [JSONValue] {
    switch value {
    case .int: return HostileNumberTests.numbers
    case .string(let text) where Int64(text) != nil || text == "self" || text == "max" || text.contains("of2"):
      let words = ["1:2", "x:18446744073709551615", "s/0of99999999", "s/9of2", "s/-1of2", "s/0of9223372036854775808", "_merge"]
      return (HostileNumberTests.numbers.map(\.text) + words).map { .string($0) }
    case .array(let items):
      var all: [JSONValue] = [.array([])]
      for i in items.indices {
        for mutant in mutants(items[i]) {
          var changed = items
          changed[i] = mutant
          all.append(.array(changed))
        }
      }
      return all
    case .object(let members):
      var all: [JSONValue] = []
      for i in members.indices where !["plan", "format", "hash"].contains(members[i].name) {
        for mutant in mutants(members[i].value) {
          var changed = members
          changed[i].value = mutant
          all.append(.object(changed))
        }
      }
      return all
    default: return []
    }
  }

  /// Its bytes, with the hash that they have.
  private func sealed(_ value: JSONValue) -> [UInt8] {
    guard case .object(var members) = value, let hash = members.lastIndex(where: { $0.name == "hash" }) else { return [] }
    members[hash].value = .string("")
    members[hash].value = .string(ContentHash(of: JSONValue.object(members).bytes + [0x0A]).hex)
    return JSONValue.object(members).bytes + [0x0A]
  }

  private func use(_ fold: LedgerFold) throws {
    _ = (fold.counts.input, fold.hasEnded, fold.isFinished, fold.bytes)
    for lane in fold.lanes.keys { _ = (fold.nextEpoch(of: lane), CivilTime.text(ofMicroseconds: fold[lane]?.watermark ?? 0)) }
    var next = fold
    for step in 1...3 {
      let entry = draft(next, 10_000 * Int64(step)).sealed(on: next)
      guard (try? next.apply(entry)) != nil else { return }
      _ = (entry.bytes, next.counts.input)
    }
  }

  @Test func anEntryWithAHostileNumberIsRefusedOrHarmless() throws {
    let (fold, next) = try fold(3)
    let document = try JSONValue(parsing: next.bytes)
    #expect(sealed(document) == next.bytes)
    var (refused, taken) = (0, 0)
    for mutant in mutants(document) {
      // With the hash of before nothing of it is looked at.
      if mutant != document { #expect(throws: WeirError.self) { try LedgerEntry(bytes: mutant.bytes + [0x0A]) } }
      guard let entry = try? LedgerEntry(bytes: sealed(mutant)) else {
        refused += 1
        continue
      }
      #expect(entry.bytes == sealed(mutant))
      var after = fold
      if (try? after.apply(entry)) != nil {
        taken += 1
        try use(after)
      }
    }
    #expect(refused > 500 && taken > 20)
  }

  @Test func aFirstEntryWithAHostileNumberIsRefusedOrHarmless() throws {
    var genesis = genesis
    for dealing in [Dealing.murmur2, nil] {
      genesis.dealing = dealing
      let document = try JSONValue(parsing: genesis.sealed(commitID: "c", worker: "w").bytes)
      for mutant in mutants(document) {
        guard let entry = try? LedgerEntry(bytes: sealed(mutant)), let fold = try? LedgerFold(genesis: entry) else { continue }
        #expect(dealing == nil || fold.genesis.lanes.contains { $0 != .merge })
        try use(fold)
      }
    }
  }

  @Test func aSnapshotWithAHostileNumberIsRefusedOrHarmless() throws {
    let document = try JSONValue(parsing: fold(3).fold.bytes)
    var taken = 0
    for mutant in mutants(document) {
      if mutant != document { #expect(throws: WeirError.self) { try LedgerFold(bytes: mutant.bytes + [0x0A]) } }
      guard let fold = try? LedgerFold(bytes: sealed(mutant)) else { continue }
      taken += 1
      try use(fold)
    }
    #expect(taken > 20)
  }

  @Test func whatAnOlderVersionWroteIsReadAsItWas() throws {
    // Neither member is written where there is nothing to say.
    let first = genesis.sealed(commitID: "c", worker: "w")
    #expect(!String(decoding: first.bytes, as: UTF8.self).contains("fileEnds"))
    #expect(try LedgerEntry(bytes: first.bytes).genesis?.fileEnds == nil)
    var counts = BucketCounts()
    counts.accepted = 1
    let fold = try LedgerFold(genesis: first)
    let lane = LaneCommit(lane: genesis.lanes[0], epoch: 1, from: .offset(0), to: .offset(1), watermark: 0, counts: counts)
    let entry = EntryDraft(commitID: "c", worker: "w", planHash: "p", lanes: [lane]).sealed(on: fold)
    #expect(!String(decoding: entry.bytes, as: UTF8.self).contains("blankLines"))
    var other = genesis
    other.fileEnds = .join
    #expect(try LedgerEntry(bytes: other.sealed(commitID: "c", worker: "w").bytes).genesis?.fileEnds == .join)
  }
}
