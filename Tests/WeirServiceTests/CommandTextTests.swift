import Testing
import WeirCore
import WeirProtocol

@testable import WeirCommands
@testable import WeirReport
@testable import WeirRuntime

/// What commands read and print.
struct CommandTextTests {
  @Test func csvTellsNullFromTheEmptyText() {
    func line(_ row: [Literal]) -> String {
      var out: [UInt8] = []
      CSVText.append(row, to: &out)
      return String(decoding: out, as: UTF8.self)
    }
    #expect(line([.null, .string(""), .string("a,b"), .string("say \"x\""), .int64(-1)]) == ",\"\",\"a,b\",\"say \"\"x\"\"\",-1")
    // A comma under a combining mark is one character to Swift and a comma to a reader of CSV.
    #expect(line([.string("a,\u{301}")]) == "\"a,\u{301}\"")
    #expect(line([.string("\"\u{301}")]) == "\"\"\"\u{301}\"")
  }

  @Test func aCheckSaysNothingOfAWorkerThatDoesNotRun() {
    let advice = "Nothing is lost: a worker repeats it. If this ended the command, check the network."
    #expect(DoctorWords.withoutWorker("no answer\n  \(advice)") == "no answer\n  If this ended the command, check the network.")
    #expect(DoctorWords.withoutWorker("no answer. Nothing is lost in the lake: the worker writes again.") == "no answer.")
    #expect(DoctorWords.withoutWorker("no answer. Check it.") == "no answer. Check it.")
  }

  @Test func aNullKeyIsNamedByItsColumn() throws {
    let by = [ColumnSchema("country", .string), ColumnSchema("n", .int64)]
    func values(_ keys: [String], _ nulls: [String] = []) throws -> [Literal] { try KeyArgument.values(keys, nulls: nulls, by, table: "u") }
    #expect(try values(["", "-1"]) == [.string(""), .int64(-1)])
    #expect(try values(["7"], ["country"]) == [.null, .int64(7)])
    #expect(try values(["de"], ["n"]) == [.string("de"), .null])
    #expect(try values([], ["country", "n"]) == [.null, .null])
    for wrong in [(["de"], []), (["de", "x"], []), (["7"], ["nn"]), (["de", "7"], ["n"])] as [([String], [String])] {
      let error = #expect(throws: WeirError.self) { try values(wrong.0, wrong.1) }
      #expect(error?.advice != nil)
    }
  }

  @Test func aLineOfTheLedgerTellsTheSourcesPosition() throws {
    func commit(_ lane: LaneID, _ to: Int64) -> LaneCommit {
      LaneCommit(lane: lane, epoch: 1, from: .offset(0), to: .offset(to), watermark: 0)
    }
    let genesis = Genesis(ledgerID: "l", runID: "r", stream: "s", plan: .null, planHash: "h", lanes: [LaneID(shard: "s"), .merge])
    let fold = try LedgerFold(genesis: genesis.sealed(commitID: "c", worker: "w"))
    let both = EntryDraft(commitID: "d", worker: "w", planHash: "h", lanes: [commit(LaneID(shard: "s"), 4096), commit(.merge, 1)])
    #expect(LedgerCommands.line(both.sealed(on: fold)).hasPrefix("1  to byte 4096  watermark"))
    let merge = EntryDraft(commitID: "d", worker: "w", planHash: "h", lanes: [commit(.merge, 1)])
    #expect(LedgerCommands.line(merge.sealed(on: fold)).hasPrefix("1  watermark"))
    let topic = (0..<6).map { LaneID(shard: "ads/\($0)") }
    let live = Genesis(ledgerID: "l", runID: "r", stream: "ads", plan: .null, planHash: "h", lanes: topic + [.merge])
    let draft = EntryDraft(commitID: "d", worker: "w", planHash: "h", lanes: topic.enumerated().map { commit($1, Int64(10 + $0)) })
    let line = try LedgerCommands.line(draft.sealed(on: LedgerFold(genesis: live.sealed(commitID: "c", worker: "w"))))
    #expect(line.hasPrefix("1  ads/0 to 10, ads/1 to 11, ads/2 to 12, ads/3 to 13 and 2 more  watermark"), "\(line)")
  }
}
