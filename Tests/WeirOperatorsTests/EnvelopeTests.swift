import Testing
import WeirCore

@testable import WeirOperators

/// Envelopes of Kafka Connect, and records without a value.
struct EnvelopeTests {
  private static let fields = [
    Field(name: "id", type: .int64, required: true), Field(name: "op", type: .string, path: [.name("source"), .name("op")]),
  ]

  private static func decode(_ records: [String], drops: Bool = false, lines: Bool = false) -> DecodedBlock {
    var spec = RecordSpec(fields: fields, key: nil, time: nil)
    spec.envelope = .connect
    spec.tombstones = drops ? .drop : nil
    let bytes = records.map { Array($0.utf8) }
    let raw = lines ? RawBlock(lines: Array(records.joined(separator: "\n").utf8)) : RawBlock(records: bytes)
    return spec.decoder(read: nil, keepsBlankLines: false).decode(raw)
  }

  @Test(arguments: [false, true]) func anEnvelopeIsLeftOutAndOtherRecordsAreReadAsTheyAre(_ lines: Bool) {
    let records = [
      #"{"schema": {"a": ["}"]}, "payload": {"id": 1, "source": {"op": "c"}}}"#, #"{"id": 2}"#,
      #" { "payload" : {"id":3} , "schema" : null } "#,
      #"{"schema": 1, "id": 4}"#, #"{"schema":{},"payload":{"id":5},"id":6}"#, #"{"payload":{"id":7}}"#,
      #"{"schema":{},"payload":{"id":8},"payload":{"id":9}}"#,
    ]
    let decoded = Self.decode(records, lines: lines)
    let ids = AvroTests.rows(decoded).map { $0[0] }
    #expect(ids == [.int64(1), .int64(2), .int64(3), .int64(4), .int64(6), .null, .int64(9)])
    #expect(AvroTests.rows(decoded)[0][1] == .string("c"))
    #expect(decoded.length.map { Int($0) } == records.map(\.utf8.count), "tables keep the record as received")
  }

  @Test func namesWithEscapesAreTheSameMembers() {
    let records = [
      #"{"schema":{},"pay\u006coad":{"id":1}}"#, #"{"\u0073chema":null,"payload":{"id":2}}"#,
      #"{"schema":{},"pay\\u006coad":{"id":3},"id":4}"#,
    ]
    #expect(AvroTests.rows(Self.decode(records)).map { $0[0] } == [.int64(1), .int64(2), .int64(4)])
  }

  @Test func reasonsShowThePlaceInTheWholeRecord() throws {
    let record = #"{"schema": {}, "payload": {"id": "x"}}"#
    let decoded = Self.decode([record, #"{"schema":{},"payload":null}"#, #"{"schema":{},"payload":{"id":1}"#])
    #expect(decoded.valid == [false, false, false])
    let place = try #require(decoded.rejections[0].rejection.place)
    #expect(Array(record.utf8)[place] == 0x22 && place > 30)
    #expect(decoded.rejections[1].rejection.reason == "required field payload is missing or null (byte 23)")
    #expect(decoded.rejections[2].rejection.reason.contains("cut off"))
  }

  @Test func recordsWithoutAValueAreDroppedIfThePlanSaysSo() {
    let records = ["null", #"{"schema":null,"payload":null}"#, #"{"schema":{},"payload":null}"#, #"{"id":1}"#, " null ", "nul", "[null]"]
    #expect(Self.decode(records).dropped == [] && Self.decode(records).rejections.count == 6)
    let decoded = Self.decode(records, drops: true)
    #expect(decoded.dropped == [0, 1, 4])
    #expect(decoded.rejections.map(\.row) == [2, 5, 6])
    #expect(decoded.valid == [false, false, false, true, false, false, false])
  }
}
