import Testing
import WeirCore

@testable import WeirProtocol

/// Positions are opaque and ordered; a counted source's go with the lane's ordinal wherever they are stored.
struct PositionTests {
  private func number(_ digits: String, _ sub: UInt64 = 0) throws -> SequenceNumber { try #require(SequenceNumber(digits, sub: sub)) }

  @Test func sequenceNumbersAreInTheOrderOfNumbersAndNotOfTexts() throws {
    let long = String(repeating: "9", count: 129)
    let ascending = [
      try number("0"), try number("9"), try number("9", 1), try number("10"), SequenceNumber(.max), SequenceNumber(.max, sub: 7),
      try number(long), try number(long, .max),
    ]
    for (i, a) in ascending.enumerated() {
      for (j, b) in ascending.enumerated() {
        #expect((a < b) == (i < j) && (Position.sequence(a) < Position.sequence(b)) == (i < j), "\(a.text), \(b.text)")
      }
      #expect(Position(text: Position.sequence(a).text) == .sequence(a))
      let point = ShardPoint(ordinal: 17, sequence: a)
      #expect(ShardPoint(text: point.text) == point && point.position == .sequence(a))
    }
  }

  @Test func aDensePlaceIsWrittenAsItsNumber() {
    let point = ShardPoint(42)
    #expect(point.text == "42" && "\(point)" == "42" && ShardPoint(text: "42") == point && point.position == .offset(42))
    #expect(Position.offset(40).distance(to: .offset(42)) == 2)
    #expect(Position.offset(40).distance(to: .sequence(SequenceNumber(42))) == nil, "nothing is computed from an opaque position")
  }

  @Test(arguments: [
    "", "x", "1@", "1@2", "@1:2", "1@01:2", "1@1:02", "1@:2", "1@1:2:3", "1@1@1:2", "01@1:2", "1@-1:2",
    "1@" + String(repeating: "9", count: 130) + ":0",
  ])
  func aTextThatNobodyWroteIsNoPlace(_ text: String) { #expect(ShardPoint(text: text) == nil) }

  @Test func theAdapterOfADenseSourceRefusesAnothersPosition() throws {
    #expect(try ShardPoint(7).offset(in: "t/0") == 7)
    let error = #expect(throws: WeirError.self) { try ShardPoint(ordinal: 7, sequence: SequenceNumber(8)).offset(in: "t/0") }
    #expect(error?.code == .corrupt)
  }

  /// What a counted lane commits comes back from entry and snapshot with both numbers, and the next epoch must begin at both.
  @Test func entriesAndSnapshotsKeepOrdinalAndPosition() throws {
    let lane = LaneID(shard: "t/0")
    let genesis = Genesis(
      ledgerID: "l", runID: "r", stream: "t", plan: .string("p"), planHash: "h", lanes: [lane])
    var fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
    let start = ShardPoint.start(at: SequenceNumber(1 << 100))
    let end = ShardPoint(ordinal: 3, sequence: SequenceNumber(1 << 101, sub: 2))
    func draft(
      _ epoch: Int64, _ from: ShardPoint, _ to: ShardPoint, _ decisions: [Decision] = [], start: ShardPoint? = nil
    ) -> LedgerEntry {
      EntryDraft(
        commitID: "c\(epoch)", worker: "w", planHash: "h",
        lanes: [LaneCommit(lane: lane, epoch: epoch, from: from, to: to, watermark: 0, decisions: decisions, start: start)]
      ).sealed(on: fold)
    }
    let first = draft(1, start, end)
    #expect(try LedgerEntry(bytes: first.bytes) == first)
    try fold.apply(first)
    #expect(fold[lane]?.position == end)
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
    // The same ordinal at another position is another place.
    let wrong = draft(2, ShardPoint(ordinal: 3, sequence: SequenceNumber(1 << 101, sub: 3)), end)
    #expect(throws: WeirError.self) { try fold.apply(wrong) }
    // A gap moves the position and not the count, and starts a generation.
    let after = end.moved(to: .sequence(SequenceNumber(1 << 102)))
    let gap = draft(2, end, after, [.gap(from: end, to: after, reason: "r")])
    #expect(try LedgerEntry(bytes: gap.bytes) == gap)
    try fold.apply(gap)
    #expect(fold[lane]?.generation == 1 && fold[lane]?.generationStart == end && fold[lane]?.position == after)
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
    // A take-over moves nothing, and starts one, too; with a gap it is the same one.
    let taken = draft(3, after, after, start: after)
    #expect(try LedgerEntry(bytes: taken.bytes) == taken)
    try fold.apply(taken)
    #expect(fold[lane]?.generation == 2 && fold[lane]?.generationStart == after && fold[lane]?.position == after)
    let later = after.moved(to: .sequence(SequenceNumber(1 << 103)))
    try fold.apply(draft(4, after, later, [.gap(from: after, to: later, reason: "r")], start: after))
    #expect(fold[lane]?.generation == 3 && fold[lane]?.generationStart == after && fold[lane]?.position == later)
    let elsewhere = draft(5, later, later, start: after)
    #expect(throws: WeirError.self) { try fold.apply(elsewhere) }
  }
}
