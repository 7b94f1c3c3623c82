import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

/// A replay with --decisions gives each table what the recorded entry gave it.
struct RecordedRowsTests {
  private let rows: RecordedRows

  init() throws {
    func files(_ table: String, _ rows: [Int64]) -> TableCommit {
      TableCommit(table: table, files: rows.map { DataFile(path: "\(table)/\($0)", rows: $0, bytes: 1, hash: "h") })
    }
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "t", plan: .null, planHash: "h", lanes: [.merge])
    let draft = EntryDraft(commitID: "c", worker: "w", planHash: "h", tables: [files("silver/t", [3, 4]), files("gold/g", [5])])
    rows = RecordedRows(draft.sealed(on: try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))))
  }

  @Test func theSameRowsFit() throws {
    try rows.check(["silver/t": 7, "gold/g": 5])
    try rows.check(["silver/t": 7, "gold/g": 4], without: ["gold/g"])
  }

  @Test(arguments: [["silver/t": 7, "gold/g": 4], ["silver/t": 7], ["silver/t": 7, "gold/g": 5, "late/g": 1]])
  func othersAreRefusedByName(found: [String: Int64]) {
    let refused = #expect(throws: WeirError.self) { try rows.check(found) }
    #expect(refused?.code == .captureDiffers && refused?.message.contains("entry 1 ") == true, "\(refused.map { "\($0)" } ?? "")")
  }

  @Test func onlyEpochsThatAreCutFinishWindows() {
    #expect(!RecordedStep.moves([.unverified(reason: "r"), .partitioner(stream: "t", rules: [])]))
    #expect(RecordedStep.moves([.unverified(reason: "r"), .wake]))
  }
}
