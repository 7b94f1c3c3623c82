import Testing
import WeirCore

@testable import WeirEngine

@Suite struct LedgerMarkTests {
  @Test func aRowOfTheGenerationBeforeIsCommittedUpToWhereTheNextOneStarted() {
    let mark = LedgerMark(generation: 3, position: 50, start: 20)
    func covers(_ generation: Int64, _ position: Int64) -> Bool { mark.covers(Fence(generation: generation, position: position)) }
    #expect(covers(3, 50) && !covers(3, 51) && !covers(4, 1))
    #expect(covers(2, 20) && !covers(2, 21), "a row beyond comes from records that no entry has")
    #expect(covers(1, 40), "older ones were taken back when generation 2 started")
    #expect(LedgerMark(generation: 3, position: 50).covers(Fence(generation: 2, position: 90)), "the start is not known")
  }

  @Test func aMarkIsReadAsItIsWritten() {
    for mark in [LedgerMark(generation: 0, position: 7), LedgerMark(generation: 3, position: 50, start: 20)] {
      #expect(LedgerMark(mark.entry(of: "t/0").1) == mark && mark.entry(of: "t/0").0 == "committed/t/0")
    }
    #expect(
      String(decoding: LedgerMark(generation: 0, position: 7).entry(of: "t/0").1, as: UTF8.self) == "0 7", "as before there were starts")
    #expect(LedgerMark(Array("1".utf8)) == nil)
  }
}
