import Testing
import WeirCore

@testable import WeirProtocol

/// How far a table of windows is said to be complete: never ahead of its rows.
struct CompletenessTests {
  private static let (a, b) = (LaneID(shard: "t/0"), LaneID(shard: "t/1"))

  private var fold: LedgerFold
  private var entries: [LedgerEntry] = []

  init() throws {
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .string("p"), planHash: "h", lanes: [Self.a, Self.b, .merge])
    fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
  }

  private mutating func commit(_ change: (inout LaneCommit) -> Void, of lane: LaneID) throws {
    let position = fold[lane]?.position ?? 0
    var commit = LaneCommit(
      lane: lane, epoch: fold.nextEpoch(of: lane), from: position, to: lane == .merge ? .offset(fold.number) : position, watermark: 0)
    change(&commit)
    let entry = EntryDraft(commitID: "c\(fold.number)", worker: "w", planHash: "h", lanes: [commit]).sealed(on: fold)
    #expect(try LedgerEntry(bytes: entry.bytes) == entry)
    try fold.apply(entry)
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
    entries.append(entry)
  }

  private mutating func lanes(_ watermark: Int64) throws {
    for lane in [Self.a, Self.b] { try commit({ $0.watermark = watermark }, of: lane) }
  }

  private func follower(_ entries: ArraySlice<LedgerEntry>) -> FollowerMachine.Commit {
    FollowerMachine.commit(
      Array(entries), of: "gold/g", version: 1, after: (entries.first?.number ?? 1) - 1, through: entries.last?.number ?? 0, adopts: false)
  }

  private static func windows(_ place: FollowedWindows.Place, lateness: Int64 = 0) -> FollowedWindows {
    FollowedWindows(place: place, latenessMicroseconds: lateness)
  }

  @Test mutating func mergedWindowsAreCompleteThroughTheMergeLanesLastEpoch() throws {
    try lanes(50)
    try commit({ $0.watermark = 50 }, of: .merge)
    try lanes(90)
    let whole = follower(entries[...])
    #expect(whole.mergedWatermark == 90)
    #expect(Self.windows(.mergeLane).complete(whole, fold) == 50)
    #expect(Self.windows(.mergeLane, lateness: 8).complete(whole, fold) == 42, "a window is finished when its lateness is over")
    #expect(Self.windows(.mergeLane).complete(follower(entries[3...]), fold) == nil, "these entries do not say")
    try commit({ ($0.watermark, $0.isClosing) = (90, true) }, of: .merge)
    #expect(Self.windows(.mergeLane).complete(follower(entries[...]), fold) == 50, "some are left to the next epoch")
    try commit({ $0.watermark = 90 }, of: .merge)
    #expect(Self.windows(.mergeLane).complete(follower(entries[...]), fold) == 90)
  }

  @Test mutating func anEpochOfTheMergeLaneThatOnlyDecidesSaysNothing() throws {
    try lanes(50)
    try commit({ ($0.to, $0.decisions) = ($0.from, [.lanesListed([], generation: 0)]) }, of: .merge)
    #expect(Self.windows(.mergeLane).complete(follower(entries[...]), fold) == nil)
  }

  @Test mutating func windowsOfAnIdleLaneHoldTheStatementBackUntilTheyAreOut() throws {
    try commit({ ($0.watermark, $0.dueAt, $0.decisions) = (20, 31, [.idle]) }, of: Self.a)
    try commit({ ($0.watermark, $0.dueAt) = (90, 95) }, of: Self.b)
    #expect(fold.mergedWatermark == 90 && fold.finishedThrough == 30)
    #expect(Self.windows(.lanesByKey, lateness: 5).complete(follower(entries[...]), fold) == 25)
    #expect(Self.windows(.lanesByKey).complete(follower(entries[..<1]), fold) == nil, "the fold is of a later entry")
    // It wakes: its records are judged by no less than 90, and the windows are still open.
    try commit({ ($0.watermark, $0.dueAt, $0.floor, $0.decisions) = (20, 31, 20, [.wake]) }, of: Self.a)
    #expect(fold.finishedThrough == 30)
    try commit({ $0.watermark = 40 }, of: Self.a)
    #expect(fold.finishedThrough == 90)
    #expect(Self.windows(.lanesByShard).complete(follower(entries[...]), fold) == 90)
  }

  @Test mutating func whatAnEndOfInputLetsGoComesWithTheNextEntry() throws {
    try commit({ ($0.watermark, $0.decisions) = (20, [.endOfInput]) }, of: Self.a)
    try commit({ ($0.watermark, $0.decisions) = (30, [.endOfInput]) }, of: Self.b)
    #expect(fold.mergedWatermark == Watermark.maximum)
    #expect(Self.windows(.lanesByKey).complete(follower(entries[...]), fold) == 30)
    try lanes(Watermark.maximum)
    #expect(Self.windows(.lanesByKey, lateness: 5).complete(follower(entries[...]), fold) == Watermark.maximum)
  }

  @Test mutating func aFloorAboveWhatWasMergedIsRefused() throws {
    try commit({ ($0.watermark, $0.decisions) = (20, [.idle]) }, of: Self.a)
    try commit({ $0.watermark = 90 }, of: Self.b)
    let refused = #expect(throws: WeirError.self) { try commit({ ($0.watermark, $0.floor) = (20, 91) }, of: Self.a) }
    #expect(refused?.code == .ledgerCorrupt)
    try commit({ ($0.watermark, $0.floor) = (20, 90) }, of: Self.a)
  }
}
