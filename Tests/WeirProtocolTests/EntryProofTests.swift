import Testing
import WeirCore

@testable import WeirProtocol

struct EntryProofTests {
  private static let hash = String(repeating: "ab", count: 32)
  private static let other = "aa" + String(repeating: "ab", count: 31)

  @Test func `a proof agrees with its own entry only`() {
    let proof = EntryProof(number: 70_000, hash: Self.hash)
    #expect(proof.value >= 0 && proof.value & 0xFFFF == 70_000 & 0xFFFF)
    #expect(proof.value >> 16 == 0xABAB_ABAB_ABAB >> 1)
    #expect(proof.agrees(with: proof.value, number: 70_000))
    #expect(!EntryProof(number: 70_000, hash: Self.other).agrees(with: proof.value, number: 70_000))
  }

  @Test func `without a proof of this number nothing is known against a table`() {
    let proof = EntryProof(number: 5, hash: Self.hash)
    #expect(proof.agrees(with: nil, number: 5))
    #expect(EntryProof(number: 6, hash: Self.other).agrees(with: proof.value, number: 6))
  }

  @Test func `a text that is no hash makes a proof and no crash`() {
    for text in ["", "zz", "-1", "+ffffffffffff", String(repeating: "f", count: 64)] {
      #expect(EntryProof(number: Int64.max, hash: text).value >= 0)
    }
  }
}

struct FollowerProofTests {
  private let entries: [LedgerEntry]

  init() throws {
    let genesis = Genesis(ledgerID: "l", runID: "l", stream: "s", plan: .null, planHash: "p", lanes: [LaneID(shard: "s")])
    var fold = try LedgerFold(genesis: genesis.sealed(commitID: "0", worker: "w"))
    var entries: [LedgerEntry] = [genesis.sealed(commitID: "0", worker: "w")]
    for number in 1...6 {
      var draft = EntryDraft(commitID: String(number), worker: "w", planHash: "p")
      draft.tables = [TableCommit(table: "t", files: [DataFile(path: "t/\(number)", rows: 1, bytes: 1, hash: "")])]
      let entry = draft.sealed(on: fold)
      try fold.apply(entry)
      entries.append(entry)
    }
    self.entries = entries
  }

  private func proof(_ number: Int64) -> EntryProof { EntryProof(number: number, hash: entries[Int(number)].hash) }

  /// What a table at `txn` gets from a ledger that ends at `head`.
  private func last(_ snapshot: TableSnapshot, head: Int64, checksOnly: Bool = false, mustExist: Bool = false) -> FollowerMachine.Action {
    var machine = FollowerMachine(table: "t", ledgerID: "l", target: head, mustExist: mustExist, checksOnly: checksOnly)
    var action = machine.event(.snapshotRead(snapshot))
    while true {
      switch action {
      case .readProof(let number): action = machine.event(.proofRead(number <= head ? proof(number) : nil))
      case .readEntries(let after, let through): action = machine.event(.entriesRead(Array(entries[Int(after + 1)...Int(through)])))
      default: return action
      }
    }
  }

  private func table(_ txn: Int64, proof: Int64?) -> TableSnapshot { TableSnapshot(version: 3, txn: txn, ledgerID: "l", proof: proof) }

  private func refusal(_ action: FollowerMachine.Action) -> FollowerMachine.Refusal? {
    if case .refuse(let refusal) = action { refusal } else { nil }
  }

  @Test(arguments: [false, true]) func `a table beyond the ledger's end is refused, with a proof or without`(checksOnly: Bool) {
    #expect(refusal(last(table(6, proof: proof(6).value), head: 5, checksOnly: checksOnly)) == .ahead(6))
    #expect(refusal(last(table(6, proof: nil), head: 5, checksOnly: checksOnly)) == .ahead(6))
  }

  @Test(arguments: [false, true]) func `a table of another entry of the same number is refused`(checksOnly: Bool) {
    let another = EntryProof(number: 4, hash: String(repeating: "0", count: 64)).value
    // At the ledger's end, and behind it, where the next entry names the hash.
    #expect(refusal(last(table(4, proof: another), head: 4, checksOnly: checksOnly)) == .beside(4))
    #expect(refusal(last(table(4, proof: another), head: 6, checksOnly: checksOnly)) == .beside(4))
  }

  @Test func `a table of the ledger's entries is brought up, and the commit proves its last entry`() {
    for kept in [proof(2).value, nil] {
      guard case .commit(let commit) = last(table(2, proof: kept), head: 6) else { return _ = Issue.record("no commit") }
      #expect(commit.files.map(\.path) == ["t/3", "t/4", "t/5", "t/6"] && commit.to == 6 && commit.proof == proof(6))
    }
    guard case .done = last(table(6, proof: proof(6).value), head: 6) else { return _ = Issue.record("not done") }
  }

  @Test func `a table that had files and is gone is refused, a new one is made`() {
    let none = TableSnapshot(version: -1, txn: nil, ledgerID: nil)
    #expect(refusal(last(none, head: 6, mustExist: true)) == .missing)
    #expect(refusal(last(none, head: 6, checksOnly: true, mustExist: true)) == .missing)
    guard case .commit(let commit) = last(none, head: 6) else { return _ = Issue.record("no commit") }
    #expect(commit.version == 0 && commit.files.count == 6)
  }
}
