import Testing
import WeirCore

@testable import WeirEngine

@Suite struct GroupMatesTests {
  private static let own = GroupMates.Mark(ledgerID: "aa", pipeline: "ours")
  private static let other = GroupMates.Mark(ledgerID: "bb", pipeline: "their name has spaces")

  private func at(_ position: Int64, _ mark: GroupMates.Mark?) -> FollowedPosition {
    FollowedPosition(position: .offset(position), owner: mark?.text ?? "")
  }

  @Test func anotherLedgersPositionThatMovesIsToldWithItsPipeline() {
    var mates = GroupMates(own: GroupMatesTests.own)
    #expect(mates.look(["t/0": at(5, GroupMatesTests.own), "t/1": at(7, GroupMatesTests.other)]) == nil)
    #expect(mates.look(["t/0": at(6, GroupMatesTests.own), "t/1": at(8, GroupMatesTests.other)]) == GroupMatesTests.other)
    let error = mates.error(GroupMatesTests.other, group: "g")
    #expect(error.code == .groupShared && error.message.contains("group g") && error.message.contains("their name has spaces"))
    #expect(error.fatalTo == .operation)
  }

  @Test func whatAnotherLedgerLeftLongAgoIsNothing() {
    var mates = GroupMates(own: GroupMatesTests.own)
    let old = ["t/0": at(5, GroupMatesTests.other)]
    for _ in 0..<3 { #expect(mates.look(old) == nil) }
    // A shard that is new to this worker, with an old position.
    #expect(mates.look(["t/0": at(5, GroupMatesTests.other), "t/1": at(3, GroupMatesTests.other)]) == nil)
    // Ours take the place of theirs.
    #expect(mates.look(["t/0": at(9, GroupMatesTests.own), "t/1": at(3, GroupMatesTests.other)]) == nil)
  }

  @Test func theirsInThePlaceOfOursIsAMoveToo() {
    var mates = GroupMates(own: GroupMatesTests.own)
    _ = mates.look(["t/0": at(5, GroupMatesTests.own)])
    #expect(mates.look(["t/0": at(5, GroupMatesTests.other)]) == GroupMatesTests.other)
  }

  @Test func workersOfTheSameLedgerAndProgramsThatLeaveNoMarkAreNoMates() {
    var mates = GroupMates(own: GroupMatesTests.own)
    for n in 0..<5 as Range<Int64> {
      #expect(
        mates.look(["t/0": at(n, GroupMatesTests.own), "t/1": at(n, nil), "t/2": .init(position: .offset(n), owner: "offset of mine 7")])
          == nil)
    }
  }

  @Test func whoHasGoneIsForgottenAfterSomeLooks() {
    var mates = GroupMates(own: GroupMatesTests.own)
    _ = mates.look(["t/1": at(7, GroupMatesTests.other)])
    let last = ["t/1": at(8, GroupMatesTests.other)]
    for _ in 0...GroupMates.looksMax { #expect(mates.look(last) == GroupMatesTests.other) }
    #expect(mates.look(last) == nil)
  }

  @Test func aMarkIsReadAsItWasWrittenAndNothingElseIs() {
    #expect(GroupMates.Mark(GroupMatesTests.other.text) == GroupMatesTests.other)
    for text in ["", "weir-1", "weir-1 bb", "weir-2 bb name", "bb name x"] { #expect(GroupMates.Mark(text) == nil) }
    let long = GroupMates.Mark(ledgerID: "cc", pipeline: String(repeating: "n", count: 10_000))
    #expect(long.text.utf8.count < 300 && GroupMates.Mark(long.text) == long)
  }
}
