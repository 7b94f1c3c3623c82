import Testing
import WeirCore
import WeirProtocol

/// Events that only a bug in Weir can cause are errors, and end the machine before anything is written.
struct ImpossibleEventTests {
  private static let lane = LaneID(shard: "t/0")
  private let fold: LedgerFold

  init() throws {
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .string("p"), planHash: "h", lanes: [Self.lane, .merge])
    var fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
    try fold.apply(Self.draft("first", on: fold, to: 100).sealed(on: fold))
    self.fold = fold
  }

  private static func draft(_ id: String, on fold: LedgerFold, to position: Int64, watermark: Int64 = 0) -> EntryDraft {
    let commit = LaneCommit(
      lane: lane, epoch: fold.nextEpoch(of: lane), from: fold[lane]?.position ?? .offset(0), to: .offset(position), watermark: watermark)
    return EntryDraft(commitID: id, worker: "w", planHash: "h", lanes: [commit])
  }

  private func error(_ action: CommitMachine.Action) -> WeirError.Code? { if case .fail(let error) = action { error.code } else { nil } }

  @Test func `a commit that receives the reply to another request fails`() {
    var machine = CommitMachine(fold: fold, commitID: "c", startedNanoseconds: 0)
    #expect(error(machine.event(.synced, at: 0)) == .internal)
  }

  @Test func `no entry is put in which a lane goes back`() {
    var machine = CommitMachine(fold: fold, commitID: "c", startedNanoseconds: 0)
    #expect(error(machine.event(.derived(Self.draft("c", on: fold, to: 99)), at: 0)) == .internal)
  }

  @Test func `no entry is put in which the merge lane covers entries that do not exist`() {
    var machine = CommitMachine(fold: fold, commitID: "c", startedNanoseconds: 0)
    var draft = Self.draft("c", on: fold, to: 100)
    draft.lanes = [LaneCommit(lane: .merge, epoch: 1, from: .offset(0), to: .offset(9), watermark: 0)]
    #expect(error(machine.event(.derived(draft), at: 0)) == .internal)
  }

  @Test func `an entry of the same attempt with other bytes is not taken for the attempt's own`() {
    var machine = CommitMachine(fold: fold, commitID: "c", startedNanoseconds: 0)
    let (mine, other) = (Self.draft("c", on: fold, to: 100), Self.draft("c", on: fold, to: 200))
    guard case .put = machine.event(.derived(mine), at: 0) else {
      Issue.record("the entry is not put")
      return
    }
    _ = machine.event(.putReturned(.exists), at: 0)
    #expect(error(machine.event(.entryRead(other.sealed(on: fold)), at: 0)) == .internal)
  }

  @Test func `a follower that receives the reply to another request fails, and does not try again`() {
    var machine = FollowerMachine(table: "t", ledgerID: "l", target: 1)
    guard case .fail(let error) = machine.event(.putReturned(.created)) else {
      Issue.record("it does not fail")
      return
    }
    #expect(error.code == .internal)
  }

  @Test func `a topic's follower that receives the reply to another request fails, and does not trap`() {
    var machine = SinkMachine(target: 1, start: .earliest)
    guard case .fail(let error) = machine.event(.published) else {
      Issue.record("it does not fail")
      return
    }
    #expect(error.code == .internal)
  }
}
