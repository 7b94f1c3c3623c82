import Testing
import WeirCore

@testable import WeirOperators

/// Arrays, records and maps of Avro become the same bytes as the JSON of the same value.
@Suite struct AvroNestedTests {
  private static let schema = """
    {"type": "record", "name": "R", "fields": [
      {"name": "ints", "type": {"type": "array", "items": ["null", "long"]}},
      {"name": "who", "type": ["null", {"type": "record", "name": "W", "fields": [
        {"name": "id", "type": "long"}, {"name": "extra", "type": {"type": "array", "items": "string"}}, {"name": "name", "type": "string"}]}]},
      {"name": "deep", "type": {"type": "array", "items": {"type": "map", "values": {"type": "array", "items":
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 1}}}}}]}
    """

  private static func fields(_ ints: String = "list<int64>") throws -> [Field] {
    [
      Field(name: "ints", type: try TypeText.parse(ints)),
      Field(name: "who", type: try TypeText.parse("struct<name:string,more:bool,id:int64>")),
      Field(name: "deep", type: try TypeText.parse("list<map<string,list<decimal(12,2)>>>")),
    ]
  }

  private static func long(_ value: Int64) -> [UInt8] {
    var rest = UInt64(bitPattern: value << 1 ^ value >> 63)
    var out: [UInt8] = []
    while rest >= 0x80 {
      out.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return out + [UInt8(rest)]
  }
  private static func text(_ value: String) -> [UInt8] { long(Int64(value.utf8.count)) + value.utf8 }
  private static func list(_ items: [[UInt8]]) -> [UInt8] { items.isEmpty ? [0] : long(Int64(items.count)) + items.joined() + [0] }
  /// As blocks of one item with their sizes.
  private static func blocks(_ items: [[UInt8]]) -> [UInt8] { items.flatMap { long(-1) + long(Int64($0.count)) + $0 } + [0] }

  private static func avro(_ records: [[UInt8]], _ fields: [Field]) -> DecodedBlock {
    FramedDecoder(.avro, fields: fields).decode(AvroTests.block(records, schema: schema))
  }

  @Test func aRecordHasTheBytesOfItsJSON() throws {
    let who = Self.long(1) + Self.long(7) + Self.list([Self.text("x"), Self.text("yz")]) + Self.text("Ada")
    let deep = Self.list([
      Self.list([
        Self.text("k") + Self.list([Self.text("\u{5}"), Self.text("")]), Self.text("l") + [0],
        Self.text("k") + Self.list([Self.text("\u{1}")]),
      ]), [0],
    ])
    let records = [
      Self.list([Self.long(1) + Self.long(5), Self.long(0), Self.long(1) + Self.long(-900)]) + who + deep, [0, 0, 0],
      Self.blocks([Self.long(1) + Self.long(5), Self.long(0)]) + [0] + Self.blocks([[0]]),
    ]
    let json = [
      #"{"ints": [5, null, -900], "who": {"id": 7, "name": "Ada"}, "deep": [{"k": [0.1], "l": []}, {}]}"#, #"{"ints": [], "deep": []}"#,
      #"{"ints": [5, null], "deep": [{}]}"#,
    ]
    let fields = try Self.fields()
    let (found, want) = (Self.avro(records, fields), RecordDecoder(fields: fields).decode(RawBlock(records: json.map { Array($0.utf8) })))
    #expect(found.rejections.map(\.rejection.reason) == [] && want.rejections.map(\.rejection.reason) == [])
    #expect(AvroTests.rows(found) == AvroTests.rows(want))
  }

  @Test func whatDoesNotFitIsRejectedWithItsPlace() throws {
    let fields = try Self.fields()
    let deep = Self.list([[0], Self.list([Self.text("k") + Self.list([Self.text(""), Self.text("\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}")])])])
    let reason = Self.avro([[0, 0] + deep], fields).rejections.first?.rejection.reason
    #expect(reason?.hasPrefix("field deep[1][\"k\"][1]: a number that is not exact as decimal(12,2)") == true, "\(reason ?? "")")
    let other = Self.avro([[0, 0, 0]], try Self.fields("list<bool>")).rejections.first?.rejection.reason
    #expect(other?.contains("ints[] is long there, which cannot be read as bool") == true, "\(other ?? "")")
    let endless = Self.avro([Self.long(1 << 40) + [UInt8](repeating: 0, count: 1 << 19)], fields).rejections.first?.rejection.reason
    #expect(endless?.contains("nested_values") == true, "\(endless ?? "")")
  }

  @Test func everyTruncationIsRejected() throws {
    let record = Self.list([Self.long(1) + Self.long(5)]) + [0] + Self.list([Self.list([Self.text("k") + Self.list([Self.text("\u{5}")])])])
    let cut = Self.avro((0..<record.count).map { Array(record.prefix($0)) }, try Self.fields())
    #expect(cut.valid.allSatisfy { !$0 } && cut.columns.allSatisfy { column in (0..<cut.count).allSatisfy { !column.isValid($0) } })
  }
}
