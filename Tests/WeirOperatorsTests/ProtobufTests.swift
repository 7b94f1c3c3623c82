import Testing
import WeirCore

@testable import WeirOperators

/// Protobuf's bytes, written by hand.
enum Wire {
  static func varint(_ value: UInt64) -> [UInt8] {
    var (rest, out): (UInt64, [UInt8]) = (value, [])
    while rest >= 0x80 {
      out.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return out + [UInt8(rest)]
  }
  static func int(_ number: UInt64, _ value: Int64) -> [UInt8] { varint(number << 3) + varint(UInt64(bitPattern: value)) }
  static func bytes(_ number: UInt64, _ value: [UInt8]) -> [UInt8] { varint(number << 3 | 2) + varint(UInt64(value.count)) + value }
  static func text(_ number: UInt64, _ value: String) -> [UInt8] { bytes(number, Array(value.utf8)) }

  /// Of a descriptor: label 3 is a list.
  static func field(
    _ name: String, _ number: Int64, _ kind: ProtobufSchema.Kind, label: Int64 = 1, type: String? = nil, oneof: Int64? = nil
  ) -> [UInt8] {
    text(1, name) + int(3, number) + int(4, label) + int(5, Int64(kind.rawValue)) + (type.map { text(6, $0) } ?? [])
      + (oneof.map { int(9, $0) } ?? [])
  }
  static func message(_ name: String, _ fields: [[UInt8]], more: [UInt8] = []) -> [UInt8] {
    text(1, name) + fields.flatMap { bytes(2, $0) } + more
  }
  static func set(_ messages: [[UInt8]], syntax: String = "proto3") -> [UInt8] {
    bytes(1, text(1, "f.proto") + text(2, "p") + messages.flatMap { bytes(4, $0) } + text(12, syntax))
  }
}

/// Protobuf against hostile bytes and descriptors; equality with another reader is `Tests/EndToEnd/protobuf_equals_python.py`'s.
struct ProtobufTests {
  private static let members = [
    Wire.field("id", 1, .int64), Wire.field("name", 2, .string), Wire.field("tags", 3, .string, label: 3),
    Wire.field("cents", 4, .sint32, oneof: 0), Wire.field("note", 5, .string, oneof: 0), Wire.field("next", 6, .message, type: ".p.R"),
    Wire.field("wide", 1000, .uint64),
  ]
  private static let other = Wire.message("Other", [])
  static let descriptor = Wire.set([other, Wire.message("R", members, more: Wire.bytes(8, Wire.text(1, "o")))])
  private static let fields: [Field] = [
    Field(name: "id", type: .int64, required: true), Field(name: "name", type: .string),
    Field(name: "tags", type: .list(element: .string)), Field(name: "cents", type: .int64), Field(name: "note", type: .string),
    Field(name: "next_id", type: .int64, path: [.name("next"), .name("id")]), Field(name: "wide", type: .int64),
  ]
  private static let record =
    Wire.int(1, 7) + Wire.text(2, "Ada") + Wire.text(3, "x") + Wire.int(4, 5) + Wire.text(3, "yz") + Wire.bytes(6, Wire.int(1, 9))

  static func format(_ framing: ProtobufFormat.Framing? = nil, descriptor: [UInt8] = Self.descriptor) throws -> ProtobufFormat {
    ProtobufFormat(message: "p.R", framing: framing, schema: try ProtobufDescriptor(descriptor).schema(of: "p.R"))
  }

  private static func decode(_ records: [[UInt8]], _ format: ProtobufFormat, _ fields: [Field] = Self.fields) -> DecodedBlock {
    format.decoder(DecoderRequest(fields: fields)).decode(RawBlock(records: records))
  }

  private static func reasons(_ records: [[UInt8]], _ fields: [Field] = Self.fields) throws -> [String] {
    decode(records, try format(), fields).rejections.map(\.rejection.reason)
  }

  @Test func aRecordBecomesItsFields() throws {
    let decoded = Self.decode([Self.record, []], try Self.format())
    #expect(decoded.rejections.map(\.rejection.reason) == [])
    let rows = AvroTests.rows(decoded)
    #expect(rows[0].count == 7)
    #expect(rows[0][0] == .int64(7) && rows[0][1] == .string("Ada") && rows[0][3] == .int64(-3) && rows[0][5] == .int64(9))
    #expect(rows[0][6] == .int64(0) && rows[0][4] == .null, "a value that is not there is 0, one with presence is null")
    #expect(rows[1][0] == .int64(0) && rows[1][1] == .string("") && rows[1][5] == .null, "an empty record has all defaults")
  }

  @Test func theLastMemberOfAOneofCounts() throws {
    let rows = AvroTests.rows(
      Self.decode([Wire.int(4, 2) + Wire.text(5, "n"), Wire.text(5, "n") + Wire.int(4, 2)], try Self.format()))
    #expect(rows[0][3] == .null && rows[0][4] == .string("n"))
    #expect(rows[1][3] == .int64(1) && rows[1][4] == .null)
    // Also one that is not read.
    let cents = AvroTests.rows(Self.decode([Wire.int(4, 2) + Wire.text(5, "n")], try Self.format(), [Self.fields[3]]))
    #expect(cents[0] == [.null])
  }

  @Test func brokenRecordsAreRejectedWithTheirReasons() throws {
    let cases: [(record: [UInt8], reason: String)] = [
      ([0, 1], "the field number 0"), ([0x0F], "the wire type 7"), ([0x08], "the record is cut off"),
      ([0x12, 5, 0x61], "the record is cut off"),
      ([0x08] + [UInt8](repeating: 0xFF, count: 11), "a number of more than 10 bytes"),
      ([0x12, 1, 0xFF], "field name: ill-formed UTF-8 (byte 2)"),
      ([0x0C], "the end of group 1"), ([0xF3, 0x01], "the record is cut off"), ([0x1D, 1, 2], "the record is cut off"),
      (Wire.varint(1000 << 3) + Wire.varint(1 << 63), "field wide: 9223372036854775808 is not an int64: declare decimal(20,0)"),
      (
        [UInt8](repeating: 0xF3, count: 1) + [0x01] + (0..<120).flatMap { _ in [0xF3, 0x01] as [UInt8] },
        "more than 100 groups within each other (protobuf_depth)"
      ),
    ]
    for item in cases {
      let reasons = try Self.reasons([item.record])
      #expect(reasons.count == 1 && reasons[0].hasPrefix(item.reason), "\(item.record.prefix(20)): \(reasons)")
    }
  }

  @Test func everyTruncationAndFlippedBitIsHarmless() throws {
    var records = (0...Self.record.count).map { Array(Self.record.prefix($0)) }
    for byte in Self.record.indices {
      for bit in 0..<8 {
        var record = Self.record
        record[byte] ^= 1 << bit
        records.append(record)
      }
    }
    let decoded = Self.decode(records, try Self.format())
    #expect(decoded.rejections.map(\.row) == decoded.valid.indices.filter { !decoded.valid[$0] })
    #expect(AvroTests.rows(decoded).enumerated().allSatisfy { row, values in decoded.valid[row] || values.allSatisfy { $0 == .null } })
  }

  @Test func tooManyValuesAreRejected() throws {
    let one = Wire.text(3, "")
    let reasons = try Self.reasons([[[UInt8]](repeating: one, count: 1 << 18 + 1).flatMap { $0 }])
    #expect(reasons.count == 1 && reasons[0].contains("nested_values"), "\(reasons)")
  }

  @Test func confluentsFramingIsRead() throws {
    let format = try Self.format(.confluent)
    let rows = [
      [0, 0, 0, 0, 7, 2, 2] + Self.record, [1] + [UInt8](1...16) + [2, 2] + Self.record, [0, 0, 0, 0, 7, 0] + Self.record,
      [0, 0, 0, 0, 7, 2, 4] + Self.record, [0, 0, 0], [9] + Self.record, [],
    ]
    let decoded = Self.decode(rows, format)
    #expect(decoded.valid == [true, true, false, false, false, false, false])
    #expect(AvroTests.rows(decoded)[0][0] == .int64(7) && AvroTests.rows(decoded)[1][0] == .int64(7))
    #expect(decoded.rejections.allSatisfy { $0.rejection.stage == .schema })
    #expect(
      decoded.rejections[0].rejection.reason.hasPrefix(
        "the record is the message at [0] of its schema, and p.R is at [1] of the descriptor"))
  }

  @Test func delimitedRecordsAreFoundHoweverTheTextIsCut() throws {
    let bodies: [[UInt8]] = [Self.record, [], [UInt8](repeating: 0x61, count: 300), Self.record]
    let text: [UInt8] = bodies.flatMap { Wire.varint(UInt64($0.count)) + $0 } + [0x50, 1, 2]
    let buffer = RawBlock(records: [text]).text
    func frames(from: Int, to: Int, rows: Int) -> RecordFrames {
      DelimitedFraming().frames(
        FramedText(
          base: UnsafePointer(buffer.base) + from, count: to - from, isEnd: to == text.count, previous: nil, rowsMax: rows, stop: Int.max))
    }
    let whole = frames(from: 0, to: text.count, rows: 100)
    #expect(whole.length.count == 5 && whole.end == text.count && whole.length.last == 3)
    for rows in [1, 2] {
      for size in [1, 7, 64, 400] {
        var (at, found): (Int, [UInt32]) = (0, [])
        while at < text.count {
          var (to, part) = (at, RecordFrames())
          while part.end == 0 {
            to = min(text.count, to + size)
            part = frames(from: at, to: to, rows: rows)
          }
          found += part.length
          at += part.end
        }
        #expect(found == whole.length)
      }
    }
    withExtendedLifetime(buffer) {}
    let decoded = Self.decode([[0x50, 1, 2], [UInt8(Self.record.count)] + Self.record], try Self.format(.delimited))
    #expect(decoded.valid == [false, true])
    #expect(decoded.rejections[0].rejection.reason.hasPrefix("the record is cut off: 2 of 80 bytes"))
  }

  @Test func aDescriptorWithMoreIsTheSamePlan() throws {
    let more = Wire.set(
      [
        Self.other,
        Wire.message(
          "R", Self.members + [Wire.field("new", 9, .bytes), Wire.field("far", 10, .message, type: ".p.Far")],
          more: Wire.bytes(8, Wire.text(1, "o"))), Wire.message("Far", []),
      ])
    let fields = Self.fields
    let (small, large) = (try Self.format().narrowed(to: fields), try Self.format(descriptor: more).narrowed(to: fields))
    #expect(FormatSpec(small) == FormatSpec(large))
    #expect(FormatSpec(small) != FormatSpec(try Self.format().narrowed(to: [fields[0]])))
    let decoded = small.decoder(DecoderRequest(fields: fields)).decode(RawBlock(records: [Self.record]))
    #expect(AvroTests.rows(decoded) == AvroTests.rows(Self.decode([Self.record], try Self.format())))
  }

  @Test func fieldsThatCannotBeReadAreRefused() throws {
    let format = try Self.format()
    let cases: [(Field, String)] = [
      (Field(name: "nam", type: .string), "the message p.R has no field nam; did you mean name?"),
      (Field(name: "name", type: .int64), "name is string there"),
      (Field(name: "tags", type: .string), "tags is a list of string there"), (Field(name: "id", type: .timestamp), "declare timestamp_ms"),
      (Field(name: "next", type: .int64), "next is the message p.R there"),
      (Field(name: "x", type: .int64, path: [.name("name"), .name("y")]), "nothing is below it"),
      (Field(name: "x", type: .string, path: [.name("tags"), .index(0)]), "elements of lists"),
    ]
    for (field, words) in cases { #expect(format.problem(with: field)?.contains(words) == true, "\(format.problem(with: field) ?? "")") }
    #expect(Self.fields.allSatisfy { format.problem(with: $0) == nil })
  }

  @Test func descriptorsThatAreNoneAreRefused() throws {
    for bytes in [[], Array("{\"a\": 1}".utf8), Array(Self.descriptor.dropLast(3)), Wire.set([], syntax: "editions")] {
      #expect(throws: ProtobufDescriptor.Fault.self) { try ProtobufDescriptor(bytes) }
    }
    let error = #expect(throws: ProtobufDescriptor.Fault.self) { try ProtobufDescriptor(Self.descriptor).schema(of: "p.Rr") }
    #expect(error?.suggestion == "p.R")
    let missing = Wire.set([Wire.message("R", [Wire.field("a", 1, .message, type: ".q.Gone")])])
    let gone = #expect(throws: ProtobufDescriptor.Fault.self) { try ProtobufDescriptor(missing).schema(of: "p.R") }
    #expect(gone?.isIncomplete == true && gone?.reason.hasSuffix("is not in it") == true)
  }
}
