import Testing
import WeirCore
import WeirProtocol
import WeirTesting

/// Buckets of kinds of records, in entries and in what they add up to.
@Suite struct KindCountsTests {
  private func counts(_ accepted: Int64, _ filtered: Int64) -> BucketCounts {
    var counts = BucketCounts()
    (counts.accepted, counts.filtered) = (accepted, filtered)
    return counts
  }

  @Test func entriesAndTheirSumsKeepTheCountsOfKinds() throws {
    let (fold, next) = try SampleLedger.folded(3)
    let lane = LaneID(shard: "s", index: 0, of: 2)
    #expect(try LedgerEntry(bytes: next.bytes)[lane]?.kinds == next[lane]?.kinds && next[lane]?.kinds.count == 2)
    #expect(fold.kinds["order"] == counts(3, 9) && fold.kinds[RouteSpec.noKind]?.quarantined == 12)
    #expect(try LedgerFold(bytes: fold.bytes).kinds == fold.kinds)
    // One kind alone is as before there were kinds.
    #expect(next[LaneID(shard: "s", index: 1, of: 2)]?.kinds.isEmpty == true)
    #expect(String(decoding: next.bytes, as: UTF8.self).split(separator: "\"kinds\"").count == 2)
  }

  @Test func kindsThatDoNotAddUpAreRefused() throws {
    let (_, next) = try SampleLedger.folded()
    let text = String(decoding: next.bytes, as: UTF8.self)
    let changed = text.replacing(
      #""order":{"in":4,"accepted":1,"duplicate":0,"filtered":3"#, with: #""order":{"in":4,"accepted":2,"duplicate":0,"filtered":2"#)
    #expect(changed != text)
    let bytes = try #require(SampleLedger.sealed(try JSONValue(parsing: Array(changed.utf8))))
    let error = #expect(throws: WeirError.self) { try LedgerEntry(bytes: bytes) }
    #expect(error?.message.contains("the records of the kinds of a lane do not add up") == true, "\(error?.message ?? "")")
  }
}
