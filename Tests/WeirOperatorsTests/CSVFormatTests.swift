import Testing
import WeirCore

@testable import WeirOperators

@Suite struct CSVFormatTests {
  private let fields = [
    Field(name: "id", type: .string, required: true), Field(name: "n", type: .int64),
    Field(name: "price", type: .decimal(precision: 9, scale: 2)),
  ]

  private func decode(_ text: String, _ dialect: CSVDialect = CSVDialect(), lines: Bool = true) -> DecodedBlock {
    let raw = lines ? RawBlock(lines: Array(text.utf8)) : RawBlock(records: [Array(text.utf8)])
    return CSVFormat(dialect).decoder(DecoderRequest(fields: fields, keepsBlankLines: false)).decode(raw)
  }

  private func rows(_ block: DecodedBlock) -> [[Literal]] { (0..<block.count).map { row in block.columns.map { $0.literal(row) } } }

  @Test func fieldsAreThoseOfRFC4180() {
    let block = decode("a,1,2.50\r\n\"b,\"\"c\"\"\",+02,3\n\"\",,\n")
    #expect(
      rows(block) == [
        [.string("a"), .int64(1), .decimal(250, precision: 9, scale: 2)],
        [.string("b,\"c\""), .int64(2), .decimal(300, precision: 9, scale: 2)],
        [.string(""), .null, .null],
      ])
    #expect(block.rejections.isEmpty)
  }

  @Test func aHeaderIsSkippedWhereverItIs() {
    var dialect = CSVDialect()
    dialect.header = true
    let whole = decode("\u{FEFF}id,n,price\na,1,1\nid,\"n\",price\nb,2,2\n", dialect)
    #expect(rows(whole).map { $0[0] } == [.string("a"), .string("b")])
    #expect(whole.blankLines == 2)
    let record = decode("id,n,price", dialect, lines: false)
    #expect(record.rejections.first?.rejection.reason == "the header, and no record (byte 0)")
  }

  @Test(arguments: [
    ("a,1", "wrong number of columns: 2, and 3 expected (byte 3)"), ("a,1,2,3", "wrong number of columns: 4, and 3 expected (byte 7)"),
    ("\"a\",1", "wrong number of columns: 2, and 3 expected (byte 5)"), ("a,x,1", "field n: 'x' is not a number (byte 2)"),
    ("a,1.5,1", "field n: '1.5' is not an int64 (byte 2)"), ("a,1,1.234", "field price: '1.234' is not exact as decimal(9,2) (byte 4)"),
    (",1,1", "required field id is missing or null (byte 4)"), ("\"a\"b,1,1", "unexpected text after a quoted field (byte 3)"),
    ("\"a,1,1", "a quoted field does not end in this record: a record is one line, and fields have no line ends (byte 0)"),
  ]) func aReasonSaysWhatIsWrong(_ line: String, _ reason: String) {
    #expect(decode(line + "\n").rejections.map(\.rejection.reason) == [reason])
  }

  @Test func aFieldOfATopicMayHaveLineEnds() {
    #expect(rows(decode("\"a\nb\",1,2\n", lines: false)) == [[.string("a\nb"), .int64(1), .decimal(200, precision: 9, scale: 2)]])
  }

  @Test(arguments: [("a,1,2\nb,3,4", 5), ("a\n,1,2", 1), ("\"a\",1\n,2", 5)])
  func aRecordOfATopicIsOneRow(_ text: String, _ byte: Int) {
    let reasons = decode(text, lines: false).rejections.map(\.rejection.reason)
    #expect(reasons == ["a line end outside of quotes: a record is one row (byte \(byte))"])
  }

  @Test func blankLinesAreThoseThatCannotBeRows() {
    let block = decode("a,1,2\n \t\n\n  \r\nb,3,4\n")
    #expect(rows(block).map { $0[0] } == [.string("a"), .string("b")] && block.blankLines == 3 && block.rejections.isEmpty)
    // Tabs are delimiters here: a row of nulls.
    let fields = ["a", "b"].map { Field(name: $0, type: .string) }
    let tabs = TSVFormat().decoder(DecoderRequest(fields: fields, keepsBlankLines: false)).decode(RawBlock(lines: Array("\t\n \n".utf8)))
    #expect(tabs.count == 1 && tabs.blankLines == 1 && tabs.rejections.isEmpty)
    // The only column may have white space as its value.
    let one = CSVFormat().decoder(DecoderRequest(fields: [fields[0]], keepsBlankLines: false)).decode(RawBlock(lines: Array("  \n\n".utf8)))
    #expect(one.count == 1 && one.blankLines == 1 && one.columns[0].literal(0) == .string("  "))
  }

  @Test func illFormedTextIsRejected() {
    let raw = RawBlock(lines: [0x61, 0xFF] + Array(",1,1\n".utf8))
    let block = CSVFormat().decoder(DecoderRequest(fields: fields)).decode(raw)
    #expect(block.rejections.map(\.rejection.reason) == ["ill-formed UTF-8 (byte 1)"])
  }

  @Test func dialectsDiffer() {
    var dialect = CSVDialect(delimiter: ";")
    (dialect.decimal, dialect.nulls, dialect.comment, dialect.trim, dialect.escape) = (",", ["NULL", ""], "#", true, "\\")
    let block = decode("# a comment\n 'x' ; 7 ; 1,5 \n\"a\\\"b\" ; NULL ; NULL\n", dialect)
    #expect(
      rows(block) == [
        [.string("'x'"), .int64(7), .decimal(150, precision: 9, scale: 2)], [.string("a\"b"), .null, .null],
      ])
    #expect(block.blankLines == 1)
  }

  @Test(arguments: ["", "||", "\n", "é"]) func aDelimiterIsOneCharacter(_ text: String) {
    #expect(CSVDialect(delimiter: text).problem?.hasPrefix("delimiter must be one ASCII character") == true)
  }

  /// The vector scan against one byte at a time.
  @Test func aRowOfAnyLengthIsSplit() {
    for length in 0...70 {
      let dialect = CSVDialect()
      let cells = (0..<3).map { i in String(repeating: "x", count: length * (i + 1) % 37) }
      let names = ["a", "b", "c"]
      let fields = names.map { Field(name: $0, type: .string) }
      let block = CSVFormat(dialect).decoder(DecoderRequest(fields: fields)).decode(
        RawBlock(lines: Array(cells.joined(separator: ",").utf8) + [0x0A]))
      #expect(rows(block) == [cells.map { $0.isEmpty ? .null : .string($0) }], "\(cells)")
    }
  }
}
