import Testing
import WeirCore

@testable import WeirOperators

/// Elements of an array in an outer record are records.
@Suite struct ElementDecoderTests {
  private func decode(_ raw: RawBlock, _ each: [PathStep]) -> DecodedBlock {
    var record = RecordSpec(fields: [Field(name: "n", type: .int64, required: true)], key: nil, time: nil)
    record.each = each
    return record.decoder(read: nil, keepsBlankLines: false).decode(raw)
  }

  private func values(_ block: DecodedBlock) -> [Literal] { (0..<block.count).map { block.columns[0].literal($0) } }

  private func text(_ block: DecodedBlock, _ row: Int) -> String {
    withExtendedLifetime(block) {
      StringRef(start: UnsafePointer(block.raw.text.base) + Int(block.offset[row]), count: Int(block.length[row])).description
    }
  }

  @Test func eachElementHasItsBytesItsPlaceAndItsNumber() {
    let lines = "{\"x\": [], \"Records\": [ {\"n\": 1},{\"n\":2} ]}\n\n{\"Records\":[]}\n{\"Records\":[{\"n\":3}]}\n"
    let block = decode(RawBlock(lines: Array(lines.utf8), position: 1000), [.name("Records")])
    #expect(values(block) == [.int64(1), .int64(2), .int64(3)] && block.rejections.isEmpty)
    #expect((0..<3).map { text(block, $0) } == ["{\"n\": 1}", "{\"n\":2}", "{\"n\":3}"])
    #expect(block.elements == [0, 1, 0] && block.blankLines == 1)
    // A part of the block is decoded again as the source framed it.
    if case .lines = block.raw.framing {} else { Issue.record("the outer records are lines") }
  }

  @Test(arguments: [
    ("{\"Records\": [{\"n\":1}", "the record is cut off (byte 20)"),
    ("{\"Records\": {}}", "Records is not an array but an object (byte 12)"),
    ("{\"Records\": null}", "Records is not an array but null (byte 12)"), ("{\"records\": []}", "there is no array at Records (byte 0)"),
    ("[]", "there is no array at Records (byte 0)"), ("{\"Records\": []} x", "unexpected text after the record (byte 16)"),
    ("{\"Records\": [1,]}", "not a JSON value (byte 15)"),
  ]) func anOuterRecordThatIsWrongIsOneRejectedRecord(_ line: String, _ reason: String) {
    let block = decode(RawBlock(lines: Array("{\"Records\":[{\"n\":1}]}\n\(line)\n".utf8)), [.name("Records")])
    #expect(block.valid == [true, false] && block.elements == [0, -1])
    #expect(block.rejections.map(\.row) == [1] && block.rejections[0].rejection.reason == reason, "\(block.rejections[0].rejection.reason)")
    #expect(text(block, 1) == line)
  }

  @Test(arguments: [(1023, true), (1024, true), (1025, false)])
  func whetherARecordIsTooDeepDoesNotDependOnHowItWasFound(_ depth: Int, _ isValid: Bool) {
    let record = "{\"n\":1,\"x\":\(String(repeating: "[", count: depth))\(String(repeating: "]", count: depth))}"
    #expect(RecordDecoder(fields: [Field(name: "n", type: .int64)]).decode(RawBlock(lines: Array(record.utf8))).valid == [isValid])
    #expect(decode(RawBlock(lines: Array("[\(record)]".utf8)), []).valid == [isValid])
    #expect(decode(RawBlock(lines: Array("{\"a\":{\"b\":[\(record)]}}".utf8)), [.name("a"), .name("b")]).valid == [isValid])
    var bytes = Array(record.utf8)
    bytes += [UInt8](repeating: 0, count: 64)
    let found = bytes.withUnsafeBufferPointer { buffer in
      JSONFormat(.concatenated).captureFraming!.frames(
        FramedText(base: buffer.baseAddress!, count: bytes.count - 64, isEnd: true, previous: nil, rowsMax: .max, stop: .max))
    }
    #expect(found.length == [UInt32(record.utf8.count)])
  }

  @Test func anElementThatIsWrongRejectsItselfAlone() {
    let block = decode(RawBlock(lines: Array("{\"Records\":[{\"n\":1},{},7,{\"n\":\"x\"},{\"n\":2}]}\n".utf8)), [.name("Records")])
    #expect(block.valid == [true, false, false, false, true] && values(block) == [.int64(1), .null, .null, .null, .int64(2)])
    #expect(block.rejections[0].rejection.reason == "required field n is missing or null (byte 2)")
    #expect(block.rejections[1].rejection.reason == "record is not a JSON object but a number (byte 0)")
  }

  @Test func ofAnArrayThatComesTwiceTheLastOneCounts() {
    let line = "{\"a\":{\"l\":[{\"n\":1}]},\"a\":{\"l\":7,\"l\":[{\"n\":2}]}}\n"
    #expect(values(decode(RawBlock(lines: Array(line.utf8)), [.name("a"), .name("l")])) == [.int64(2)])
    let gone = decode(RawBlock(lines: Array("{\"l\":[{\"n\":1}],\"l\":7}\n".utf8)), [.name("l")])
    #expect(gone.valid == [false])
  }

  @Test func aRecordMayBeTheArrayItselfOrHoldItInAnother() {
    #expect(values(decode(RawBlock(lines: Array("[{\"n\":1},{\"n\":2}]\n".utf8)), [])) == [.int64(1), .int64(2)])
    let line = "[[], {\"l\": [{\"n\":5}]}]\n"
    #expect(values(decode(RawBlock(lines: Array(line.utf8)), [.index(1), .name("l")])) == [.int64(5)])
  }

  @Test func elementsHaveTheDetailsOfTheirOuterRecord() {
    let bodies = ["{\"r\":[{\"n\":1},{\"n\":2}]}", "", "{\"r\":[{\"n\":3}]}"]
    var raw = RawBlock(records: bodies.map { Array($0.utf8) })
    raw.details = RecordDetails(
      shard: "t/0", positions: [10, 11, 15], arrivals: [100, 110, 150], isAppendTime: true, keyOffset: [0, 0, 0], keyLength: [3, -1, 0],
      headers: ["a", nil, "c"], tombstones: [1])
    let block = decode(raw, [.name("r")])
    let details = block.details
    #expect(block.valid == [true, true, false, true] && block.elements == [0, 1, -1, 0])
    #expect(details?.positions == [10, 10, 11, 15] && details?.arrivals == [100, 100, 110, 150])
    #expect(
      (0..<4).map { details?.headers($0) } == ["a", "a", nil, "c"] && details?.isTombstone(2) == true && details?.isTombstone(1) == false)
    #expect(block.rejections[0].rejection.reason == RecordDetails.noValue)
    #expect((0..<4).map { details?.key($0, in: block.raw.text)?.count } == [3, 3, nil, 0])
  }

  @Test func moreElementsThanTheBoundRejectTheOuterRecord() {
    let most = "{\"l\":[\(Array(repeating: "1", count: ElementDecoder.elementsMax + 1).joined(separator: ","))]}"
    let block = decode(RawBlock(lines: Array(most.utf8)), [.name("l")])
    #expect(block.count == 1 && block.rejections.first?.rejection.reason.contains("framing_elements") == true)
  }
}
