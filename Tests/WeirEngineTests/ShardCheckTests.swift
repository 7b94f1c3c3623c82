import Testing
import WeirCore
import WeirProtocol
import WeirTesting

@testable import WeirEngine

/// The rules by which a shard is taken for the one that was read, without source or clock.
struct ShardCheckTests {
  private func mark(_ position: Int64, _ content: UInt64 = 0) -> Fingerprint {
    Fingerprint(position: .offset(position), timestamp: position * 1000, checksum: Hash128(low: content, high: 7))
  }

  /// Answers a check from what a shard holds.
  private func verdict(
    _ identity: ShardIdentity, position: ShardPoint? = nil, hasRead: Bool = true, holds: [Fingerprint], low: Int64 = 0, high: Int64,
    incarnation: String? = nil, ends: [Int64] = []
  ) -> (verdict: ShardCheck.Verdict, pauses: Int) {
    var check = ShardCheck(identity, position: position, hasRead: hasRead)
    var (pauses, ends) = (0, ends)
    while true {
      let ask: ShardAsk
      switch check.step {
      case .done(let verdict): return (verdict, pauses)
      case .look(let next): ask = next
      case .lookAgain(let next):
        ask = next
        pauses += 1
      }
      let at =
        switch ask {
        case .at(let at): at.ordinal
        case .before(let at): at.ordinal - 1
        }
      let end = ends.isEmpty ? high : ends.removeFirst()
      let look: ShardLook =
        if at < low { low > 0 ? .trimmed(low: .offset(low)) : .absent } else if at >= end { .ended(high: .offset(end)) } else {
          holds.first { $0.position.ordinal == at }.map { .record($0) } ?? .absent
        }
      check.saw(ShardSight(look, incarnation: incarnation))
    }
  }

  private func isSame(_ verdict: ShardCheck.Verdict) -> Bool { if case .same = verdict { true } else { false } }
  private func isUnverified(_ verdict: ShardCheck.Verdict) -> Bool { if case .unverified = verdict { true } else { false } }

  @Test func theSameRecordsAreTheSameShard() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(4))
    #expect(isSame(verdict(identity, position: 10, holds: [mark(4), mark(9)], high: 20).verdict))
  }

  @Test func anotherRecordAtThePositionIsAnotherShard() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(9))
    #expect(
      verdict(identity, position: 10, holds: [mark(9, 1)], high: 20).verdict == .recreated(.replaced(expected: mark(9), found: mark(9, 1))))
    var later = mark(9)
    later.timestamp = 1
    #expect(
      verdict(identity, holds: [later], high: 20).verdict == .recreated(.replaced(expected: mark(9), found: later)), "the time counts")
  }

  /// A worker that was killed between the recreation and its next check has the new topic's record as its last one.
  @Test func aMatchOfTheLastRecordDoesNotHideThatTheAnchorWasReplaced() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(4))
    #expect(
      verdict(identity, position: 10, holds: [mark(4, 1), mark(9)], high: 20).verdict
        == .recreated(.replaced(expected: mark(4), found: mark(4, 1))))
  }

  @Test func anAbsentRecordIsNeitherAndAnOlderOneDecides() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(8), older: [mark(5), mark(2)])
    #expect(isSame(verdict(identity, holds: [mark(2)], high: 20).verdict))
    #expect(verdict(identity, holds: [mark(2, 1)], high: 20).verdict == .recreated(.replaced(expected: mark(2), found: mark(2, 1))))
    #expect(isUnverified(verdict(identity, holds: [], high: 20).verdict))
    #expect(isUnverified(verdict(identity, holds: [], low: 15, high: 20).verdict), "trimmed")
  }

  @Test func theLastRecordAloneLeavesTheShardUnverifiedAndBecomesTheAnchor() {
    var identity = ShardIdentity(last: mark(9), anchor: mark(4))
    guard case .unverified(let outcome, _) = verdict(identity, holds: [mark(9)], high: 20).verdict else {
      Issue.record("it is not unverified")
      return
    }
    identity.adopt(outcome)
    #expect(identity == ShardIdentity(last: mark(9), anchor: mark(9)))
    #expect(isSame(verdict(identity, holds: [mark(9)], high: 20).verdict))
  }

  @Test func theNameOfTheIncarnationDecidesWhereRecordsAreAbsent() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(9), incarnation: "a")
    #expect(isSame(verdict(identity, position: 10, holds: [], high: 20, incarnation: "a").verdict))
    #expect(
      verdict(identity, position: 10, holds: [mark(9)], high: 20, incarnation: "b").verdict
        == .recreated(.incarnation(expected: "a", found: "b")))
    #expect(isUnverified(verdict(identity, position: 10, holds: [], high: 20).verdict))
  }

  @Test func anEndThatIsTooLowForAWhileIsAskedForAgain() {
    let identity = ShardIdentity(last: mark(9), anchor: mark(9))
    let late = verdict(identity, position: 10, holds: [mark(9)], high: 10, ends: [5, 5, 10])
    #expect(isSame(late.verdict))
    #expect(late.pauses == 2)
    let ended = verdict(identity, position: 10, holds: [], high: 5)
    #expect(ended.verdict == .recreated(.ended(position: 9, high: 5)))
    #expect(ended.pauses == ShardCheck.endAsksMax - 1)
  }

  /// The marker of a transaction, or a compacted record, stands before the position: the end is looked at all the same.
  @Test func aShardThatEndsBetweenTheLastRecordAndThePositionIsCutOff() {
    let identity = ShardIdentity(last: mark(7), anchor: mark(7))
    #expect(isSame(verdict(identity, position: 10, holds: [mark(7)], high: 10).verdict))
    #expect(verdict(identity, position: 10, holds: [mark(7)], high: 8).verdict == .recreated(.ended(position: 10, high: 8)))
  }

  @Test func withoutAnythingRememberedTheRecordBeforeThePositionIsTaken() {
    guard case .unverified(let outcome, _) = verdict(ShardIdentity(), position: 10, holds: [mark(9)], high: 20).verdict else {
      Issue.record("it is not unverified")
      return
    }
    var identity = ShardIdentity()
    identity.adopt(outcome)
    #expect(identity.anchor == mark(9))
    #expect(isSame(verdict(ShardIdentity(), position: 0, hasRead: false, holds: [], high: 0).verdict), "nothing was read")
    #expect(verdict(ShardIdentity(), position: 10, holds: [], high: 3).verdict == .recreated(.ended(position: 10, high: 3)))
  }

  @Test func aSourceThatCannotTellLeavesTheShardUnverified() async throws {
    struct Blind: ShardLooker {}
    let verdicts = try await ShardChecks.run(
      ["t/0": ShardCheck(ShardIdentity(last: mark(9), anchor: mark(9)), position: 10)], Blind(), clock: ManualClock(.ends))
    #expect(verdicts["t/0"].map(isUnverified) == true)
  }

  /// Old anchors grow apart, so that one survives what compaction and retention take from the newest.
  @Test func anchorsThatAreKeptGrowApartAndAreFew() {
    var identity = ShardIdentity()
    for position in stride(from: Int64(10), through: 10_000, by: 10) {
      identity.read(first: mark(position - 9), last: mark(position))
      var outcome = ShardCheck.Outcome()
      outcome.newest = mark(position)
      identity.adopt(outcome)
    }
    #expect(identity.anchor == mark(10_000) && identity.last == mark(10_000))
    #expect(identity.older.count == ShardIdentity.olderMax)
    #expect(identity.older.last == mark(1), "the first that was read")
  }

  // MARK: Fingerprints

  private func block(key: [UInt8]?, value: [UInt8], headers: String? = nil, isTombstone: Bool = false) -> RawBlock {
    var block = RawBlock(records: [(key ?? []) + value])
    let length = UInt32(key?.count ?? 0)
    block.framing = .spans(offset: [length], length: [UInt32(value.count)])
    block.details = RecordDetails(
      shard: "t/0", positions: [3], arrivals: [RecordDetails.noArrival], isAppendTime: false, keyOffset: [0],
      keyLength: [key.map { Int32($0.count) } ?? -1], headers: [headers], tombstones: isTombstone ? [0] : [])
    return block
  }

  @Test func aFingerprintTellsKeyValueHeadersAndTheirAbsenceApart() {
    let all = [
      block(key: [1, 2], value: [3]), block(key: [1], value: [2, 3]), block(key: nil, value: [1, 2, 3]), block(key: [], value: [1, 2, 3]),
      block(key: [1, 2], value: [3], headers: "[[\"a\",\"b\"]]"), block(key: [1, 2], value: [4]), block(key: [1, 2], value: []),
      block(key: [1, 2], value: [], isTombstone: true),
    ].map { $0.lastFingerprint?.checksum }
    #expect(!all.contains(nil))
    #expect(Set(all).count == all.count)
    #expect(block(key: [1, 2], value: [3]).lastFingerprint == block(key: [1, 2], value: [3]).lastFingerprint)
  }

  @Test func aFingerprintIsReadAsItIsWritten() {
    for timestamp in [nil, 0, -5, 1_700_000_000_000_000] as [Int64?] {
      let fingerprint = Fingerprint(position: 12, timestamp: timestamp, checksum: Hash128(low: 1, high: 2))
      #expect(Fingerprint(text: fingerprint.text) == fingerprint)
    }
    for text in ["", "1", "1 2", "x - 0", "1 x " + Hash128(low: 1, high: 2).hex, "1 - " + Hash128(low: 1, high: 2).hex + " "] {
      #expect(Fingerprint(text: text) == nil)
    }
  }
}
