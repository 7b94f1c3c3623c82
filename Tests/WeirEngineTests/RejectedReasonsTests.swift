import Testing
import WeirCore
import WeirLocal
import WeirOperators

@testable import WeirEngine

@Suite struct RejectedReasonsTests {
  /// What a lane counts of records that were rejected for these reasons, one record each, from a position on.
  private func counted(_ reasons: [String], from position: Int64 = 0, record: String = "x") -> RejectedReasons {
    let fields = [Field(name: "a", type: .int64)]
    let compiled = CompiledPlan(
      Plan(
        pipeline: "p", source: SourceSpec(stream: "s", settings: CaptureSourceSettings()),
        record: RecordSpec(fields: fields, key: nil, time: nil),
        inputs: [InputColumn(name: "a", type: .int64, nullable: true, origin: .field(0))]), lookups: [])
    let block = BlockPreparer(compiled, nil).prepare(
      RawBlock(lines: Array(String(repeating: record + "\n", count: reasons.count).utf8), position: position))
    var counted = RejectedReasons()
    for (row, reason) in reasons.enumerated() {
      counted.add(block, row, shard: "s", Rejection(stage: .decode, reason: reason), reason: reason) { "hint \(row)" }
    }
    return counted
  }

  @Test func reasonsThatDifferInNumbersAndQuotedValuesAreOneKind() {
    let found = counted([
      "field a: 1.25 is not exact as decimal(12,2) (byte 10)", "field a: 77 is not exact as decimal(12,2) (byte 9)",
      "cannot cast 'abc' to int64", "cannot cast 'it is 5' to int64", "field a1: expected bool", "field a2: expected bool",
    ])
    #expect(found.kinds.map(\.count) == [2, 2, 1, 1], "a digit in a field's name tells fields apart")
    #expect(found.kinds.map(\.sample.hint) == ["hint 0", "hint 2", "hint 4", "hint 5"], "asked for the first of a kind")
    #expect(found.count == 6 && found.byStage == ["decode": 6])
  }

  @Test func kindsAreBoundedAndNoRecordIsLeftOut() {
    let names = (0..<40).map { "field \(Character(UnicodeScalar(UInt8(97 + $0 % 26))))\($0): expected bool" }
    var all = counted(names)
    #expect(all.kinds.count == RejectedReasons.kindsMax && all.others == 40 - Int64(RejectedReasons.kindsMax))
    all.add(counted(Array(repeating: "of another kind", count: 5)))
    #expect(all.kinds.reduce(all.others) { $0 + $1.count } == 45 && all.count == 45)
  }

  @Test func otherReasonsAreShownWithTheFirstOfTheirRecords() {
    let names = (0..<40).map { "field \(Character(UnicodeScalar(UInt8(97 + $0 % 26))))\($0): expected bool" }
    let (some, more) = (counted(names), counted(Array(names.reversed()), from: 1000))
    #expect(some.text().contains("37 records for other reasons, the first at position 6 of s: decode: field d3: expected bool"))
    var (a, b) = (some, more)
    a.add(more)
    b.add(some)
    for sum in [a, b] { #expect(sum.text().contains(" records for other reasons, the first at position "), "\(sum.text())") }
    #expect(counted(Array(names.prefix(4))).text().contains("1 record for another reason, at position 6 of s: decode: field d3"))
    #expect(!counted(Array(names.prefix(3))).text().contains("reason,"))
    // Kinds beyond the bound are among them.
    var rare = counted(Array(names.prefix(3)).flatMap { [$0, $0] }, from: 500)
    rare.add(counted(names))
    #expect(rare.text().contains("the first at position 6 of s"), "\(rare.text())")
  }

  @Test func lanesGiveTheSameInAnyOrder() {
    let (first, second) = (counted(["reason 1", "other"], from: 0), counted(["reason 2", "reason 3"], from: 100))
    var (a, b) = (first, second)
    a.add(second)
    b.add(first)
    for sum in [a, b] {
      #expect(sum.top.map(\.count) == [3, 1] && sum.top.map(\.sample.position) == [0, 2], "the first record in shard order is shown")
    }
  }

  @Test func whatIsShownIsBoundedAndHasNoControlCharacters() throws {
    let found = counted(
      ["bad \u{1B}[31m" + String(repeating: "r", count: 5000)], record: "\u{1B}]0;title\u{7}" + String(repeating: "é", count: 5000))
    let sample = try #require(found.kinds.first?.sample)
    #expect(sample.record.hasPrefix("\\u{1B}]0;title\\u{7}éé") && sample.record.hasSuffix("é…") && sample.record.utf8.count < 200)
    #expect(sample.reason.hasPrefix("bad \\u{1B}[31mrr") && sample.reason.utf8.count < 310)
    let text = found.text() + found.json.text
    #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" || $0.value == 0x7F })
    #expect(Printable.text(Array("a\u{202E}b\u{9B}c".utf8), bytesMax: 100) == "a\\u{202E}b\\u{9B}c")
    #expect(Printable.text([0x61, 0xFF, 0x0A], bytesMax: 100) == "a\u{FFFD}\\n")
    #expect(Printable.text(Array("ééé".utf8), bytesMax: 5) == "éé…" && Printable.text(Array("ééé".utf8), bytesMax: 6) == "ééé")
  }
}
