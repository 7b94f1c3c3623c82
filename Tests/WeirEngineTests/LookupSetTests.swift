import Testing
import WeirCore
import WeirOperators
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// What an entry says of the lookups that its records were joined with.
@Suite struct LookupSetTests {
  private func table(_ value: String) throws -> LookupTable {
    try LookupTable(name: "l", bytes: Array("k,v\na,\(value)\n".utf8), file: "l.csv", key: "k")
  }

  private func fold(_ newest: LookupTable, previous: LookupTable? = nil) throws -> LedgerFold {
    var fold = try LedgerFold(genesis: SampleLedger.first)
    fold.lookups["l"] = LookupVersion(
      hash: newest.contentHash.hex, path: "newest", entry: 3,
      previous: previous.map { LookupVersion.Kept(hash: $0.contentHash.hex, path: "previous") })
    return fold
  }

  @Test func `an entry says nothing of the newest version, and names the one before`() throws {
    let (first, second) = (try table("1"), try table("2"))
    let fold = try fold(second, previous: first)
    #expect(try LookupSet([second]).decisions(over: fold) == [])
    let used = Decision.lookupUsed(name: "l", hash: first.contentHash.hex, path: "previous")
    #expect(try LookupSet([first]).decisions(over: fold) == [used])
    #expect(LookupSet([second]).entries(in: fold) == ["l": 3] && LookupSet([first]).entries(in: fold) == [:])
    #expect(LookupSet([second]).isNewest(of: ["l"], in: fold) && !LookupSet([first]).isNewest(of: ["l"], in: fold))
    #expect(LookupSet([first]).isNewest(of: [], in: fold))
  }

  @Test func `an older version ends the session, and one of a lookup without refreshes the worker`() throws {
    let (first, second, third) = (try table("1"), try table("2"), try table("3"))
    let refreshed = try fold(third, previous: second)
    let late = #expect(throws: WeirError.self) { try LookupSet([first]).decisions(over: refreshed) }
    #expect(late?.code == .fenced)
    let fixed = try fold(second)
    let other = #expect(throws: WeirError.self) { try LookupSet([first]).decisions(over: fixed) }
    #expect(other?.code == .lookupChanged)
  }

  @Test func `decisions about lookups are read as they were written`() throws {
    for decision in [
      Decision.lookup(name: "l", hash: "h", path: "p"), .lookupRefreshed(name: "l", hash: "h", path: "p"),
      .lookupUsed(name: "l", hash: "h", path: "p"),
    ] {
      #expect(try Decision(json: decision.json) == decision)
      #expect(decision.namedLookup.map { [$0.name, $0.hash, $0.path] } == ["l", "h", "p"])
    }
    #expect(Decision.lookupUsed(name: "l", hash: "h", path: "p").broughtLookup == nil)
    #expect(Decision.idle.namedLookup == nil)
  }
}
