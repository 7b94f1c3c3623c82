import Testing
import WeirCore

@testable import WeirProtocol

/// What the fold makes of shards that end (DESIGN section 4, "Reshard").
struct ReshardTests {
  private static let (a, b, child) = (LaneID(shard: "t/0"), LaneID(shard: "t/1"), LaneID(shard: "t/2"))
  private static let blob = BlobRef(path: "b", length: 1, hash: "h")
  private static let low = HashRange(0, 99)
  private static let high = HashRange(100, .max)

  private var fold: LedgerFold

  init() throws {
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .string("p"), planHash: "h", lanes: [Self.a, Self.b])
    fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
  }

  private mutating func commit(_ lane: LaneID, watermark: Int64, state: Bool = true, _ decisions: [Decision] = []) throws {
    let entry = EntryDraft(
      commitID: "c\(fold.number)", worker: "w", planHash: "h",
      lanes: [
        LaneCommit(
          lane: lane, generation: fold[lane]?.generation ?? 0, epoch: fold.nextEpoch(of: lane), from: fold[lane]?.position ?? 0, to: 5,
          watermark: watermark, decisions: decisions, state: state ? StateRef(base: Self.blob) : nil)
      ]
    ).sealed(on: fold)
    #expect(try LedgerEntry(bytes: entry.bytes) == entry)
    try fold.apply(entry)
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
  }

  private static func merged(_ range: HashRange) -> Decision {
    .shardClosed(range: range, children: [ChildShard(lane: child, parents: [a, b], range: .all)])
  }

  @Test mutating func aChildOfTwoWaitsForBothAndBeginsAtTheLeastOfTheirWatermarks() throws {
    try commit(Self.b, watermark: 50)
    try commit(Self.a, watermark: 100, [Self.merged(Self.low)])
    #expect(fold[Self.a]?.isShardClosed == true && !fold.isReady(Self.child) && fold.lanesWithKeys == [Self.a, Self.b])
    #expect(fold.mergedWatermark == 50, "the other parent is still read")
    try commit(Self.b, watermark: 70, [Self.merged(Self.high)])
    let lane = try #require(fold[Self.child])
    #expect(fold.isReady(Self.child) && fold.lanesWithKeys == [Self.child] && lane.generation == 1)
    #expect(lane.watermark == 70 && lane.floor == 70 && fold.dedupFloor(of: Self.child) == 100)
    #expect(lane.origin?.parents.map(\.reached) == [100, 70] && lane.origin?.parents.map(\.range) == [Self.low, Self.high])
    #expect(fold.mergedWatermark == 70, "the closed parents hold nothing back, the child does")
  }

  @Test mutating func theStateOfAParentStaysUntilEachChildHasItsOwn() throws {
    let children = [Self.low, Self.high].enumerated().map { ChildShard(lane: LaneID(shard: "t/\($0 + 2)"), parents: [Self.a], range: $1) }
    try commit(Self.a, watermark: 10, [.shardClosed(range: .all, children: children)])
    #expect(fold[children[0].lane]?.generation == 1 && fold.isReady(children[1].lane))
    try commit(children[0].lane, watermark: 10, state: false)
    try commit(children[0].lane, watermark: 10)
    #expect(fold[Self.a]?.state != nil, "the other child has none yet")
    try commit(children[1].lane, watermark: 10)
    #expect(fold[Self.a]?.state == nil)
  }

  /// Its lane wakes as any other does: above what was merged without it.
  @Test mutating func theChildOfAnIdleParentIsNotBelowWhatWasMerged() throws {
    try commit(Self.a, watermark: 10, [.idle])
    try commit(Self.b, watermark: 90)
    #expect(fold.mergedWatermark == 90)
    try commit(Self.a, watermark: 10, [.shardClosed(range: .all, children: [ChildShard(lane: Self.child, parents: [Self.a], range: .all)])])
    #expect(fold[Self.child]?.floor == 90 && fold[Self.child]?.watermark == 10)
  }
}
