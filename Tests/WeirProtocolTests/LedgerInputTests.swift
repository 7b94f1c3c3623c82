import Testing
import WeirCore

@testable import WeirProtocol

/// A ledger of several inputs: each lane is of one of them, and the merged watermark is that of all.
struct LedgerInputTests {
  private static let (order, click) = (LaneID(shard: "orders/0"), LaneID(input: "clicks", shard: "orders/0"))

  private static func genesis(_ inputs: [LedgerInput]?, _ lanes: [LaneID]) -> Genesis {
    var genesis = Genesis(ledgerID: "l", runID: "r", stream: "orders", plan: .string("p"), planHash: "h", lanes: lanes)
    genesis.inputs = inputs
    return genesis
  }

  @Test func lanesOfTwoInputsWithEqualShardNamesAreTwo() throws {
    #expect(Self.click.input == "clicks" && Self.click.shardInSource == "orders/0" && Self.order.input == nil)
    #expect(LaneID(text: Self.click.text) == Self.click)
    let part = LaneID(input: "clicks", shard: "s", index: 1, of: 4)
    #expect(LaneID(text: part.text) == part && part.input == "clicks" && part.shardInSource == "s")
    let clicks = LedgerInput(name: "clicks", stream: "orders", dealing: .murmur2)
    let first = Self.genesis([clicks], [Self.order, Self.click, .merge]).sealed(commitID: "c", worker: "w")
    #expect(try LedgerEntry(bytes: first.bytes) == first)
    var fold = try LedgerFold(genesis: first)
    #expect(fold.lanes(of: nil) == [Self.order] && fold.lanes(of: "clicks") == [Self.click])
    for (lane, watermark) in [(Self.order, Int64(50)), (Self.click, 20)] {
      let entry = EntryDraft(
        commitID: "c\(watermark)", worker: "w", planHash: "h",
        lanes: [LaneCommit(lane: lane, epoch: 1, from: 0, to: 5, watermark: watermark)]
      ).sealed(on: fold)
      #expect(try LedgerEntry(bytes: entry.bytes) == entry)
      try fold.apply(entry)
    }
    #expect(fold.mergedWatermark == 20, "a join waits for both")
    #expect(try LedgerFold(bytes: fold.bytes) == fold)
  }

  @Test func aLaneOfNoInputIsCorrupt() throws {
    let entry = Self.genesis([LedgerInput(name: "views", stream: "v")], [Self.order, Self.click]).sealed(commitID: "c", worker: "w")
    #expect { try LedgerEntry(bytes: entry.bytes) } throws: { ($0 as? WeirError)?.code == .ledgerCorrupt }
  }

  @Test func aLedgerOfOneInputKeepsItsBytes() {
    let entry = Self.genesis(nil, [Self.order]).sealed(commitID: "c", worker: "w")
    #expect(!String(decoding: entry.bytes, as: UTF8.self).contains("inputs"))
  }
}
