import Testing
import WeirCore
import WeirOperators

/// Lines and values that hold no record, and byte order marks.
struct BlankLineTests {
  private func decode(_ text: String, keepsBlankLines: Bool) -> DecodedBlock {
    RecordDecoder(fields: [Field(name: "a", type: .int64, required: true)], keepsBlankLines: keepsBlankLines)
      .decode(RawBlock(lines: Array(text.utf8)))
  }

  @Test func blankLinesAreCountedAndHaveNoRow() {
    let text = "\n{\"a\":1}\n \t\n\r\n{\"a\":2}\r\n\u{FEFF}\n\u{FEFF} {\"a\":3}\nx\n\u{0B}\n  {\"a\":4}\n\n"
    let block = decode(text, keepsBlankLines: false)
    #expect(block.blankLines == 5)
    #expect(block.valid == [true, true, true, false, false, true])
    #expect([0, 1, 2, 5].map { block.columns[0].literal($0) } == [1, 2, 3, 4].map { .int64($0) })
    let kept = decode(text, keepsBlankLines: true)
    #expect(kept.count == text.utf8.count { $0 == 0x0A } && kept.blankLines == 0)
    #expect(decode("\n\n \n", keepsBlankLines: false).count == 0)
  }

  @Test func aValueOfATopicMayBeginWithAByteOrderMarkAndIsNeverSkipped() {
    let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    let records = [mark + Array("{\"a\":1}".utf8), mark, [], mark + mark + Array("{\"a\":1}".utf8), [0xEF, 0xBB], mark + Array("[]".utf8)]
    let block = RecordDecoder(fields: [Field(name: "a", type: .int64)], keepsBlankLines: false).decode(RawBlock(records: records))
    #expect(block.valid == [true, false, false, false, false, false] && block.blankLines == 0)
    #expect(block.columns[0].literal(0) == .int64(1))
  }
}
