import Testing
import WeirCore
import WeirProtocol
import WeirTesting

/// Numbers that no writer writes, in entries and snapshots of a ledger. What does not throw must be fit for everything that is done with
/// it: a trap ends the test process.
struct HostileNumberTests {
  private static let integers: [Int64] = [
    0, 1, -1, 1 << 31, 1 << 53, 1 << 56, (1 << 56) + 1, 1 << 60, (1 << 60) + 1, 1 << 62, (1 << 62) + 1, .max - 1, .max, .min,
  ]
  private static let others: [String] = ["1e308", "0.5", "1" + String(repeating: "0", count: 40)]
  private static let numbers: [JSONValue] = integers.map { .int($0) } + others.map { .number($0) }

  private let genesis = SampleLedger.genesis

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

  private func sealed(_ value: JSONValue) -> [UInt8] { SampleLedger.sealed(value) ?? [] }

  @Test func anEntryWithAHostileNumberIsRefusedOrHarmless() throws {
    let (fold, next) = try SampleLedger.folded()
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
        SampleLedger.use(after)
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
        SampleLedger.use(fold)
      }
    }
  }

  @Test func aSnapshotWithAHostileNumberIsRefusedOrHarmless() throws {
    let document = try JSONValue(parsing: SampleLedger.folded().fold.bytes)
    var taken = 0
    for mutant in mutants(document) {
      if mutant != document { #expect(throws: WeirError.self) { try LedgerFold(bytes: mutant.bytes + [0x0A]) } }
      guard let fold = try? LedgerFold(bytes: sealed(mutant)) else { continue }
      taken += 1
      SampleLedger.use(fold)
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
