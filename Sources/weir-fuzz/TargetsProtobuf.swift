import WeirCore
import WeirOperators

extension FuzzTarget {
  private static func varint(_ value: Int) -> [UInt8] { value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7) }
  private static func bytes(_ number: Int, _ value: [UInt8]) -> [UInt8] { varint(number << 3 | 2) + varint(value.count) + value }
  private static func text(_ number: Int, _ value: String) -> [UInt8] { bytes(number, Array(value.utf8)) }
  private static func int(_ number: Int, _ value: Int) -> [UInt8] { varint(number << 3) + varint(value) }
  private static func member(_ name: String, _ number: Int, _ kind: Int, label: Int = 1, type: String = "", oneof: Int? = nil) -> [UInt8] {
    bytes(
      2,
      text(1, name) + int(3, number) + int(4, label) + int(5, kind) + (type.isEmpty ? [] : text(6, type)) + (oneof.map { int(9, $0) } ?? [])
    )
  }

  /// A message with all that a descriptor can say.
  private static let descriptorBytes: [UInt8] = {
    let entry = bytes(3, text(1, "MEntry") + member("key", 1, 9) + member("value", 2, 11, type: ".p.R") + bytes(7, int(7, 1)))
    let symbols = bytes(4, text(1, "E") + bytes(2, text(1, "A") + int(2, 0)) + bytes(2, text(1, "B") + int(2, 1)))
    let message =
      text(1, "R") + member("id", 1, 9) + member("n", 2, 18) + member("l", 3, 5, label: 3)
      + member("m", 4, 11, label: 3, type: ".p.R.MEntry")
      + member("e", 5, 14, type: ".p.R.E") + member("x", 6, 1, oneof: 0) + member("o", 7, 11, type: ".p.R", oneof: 0)
      + member("r", 8, 11, label: 3, type: ".p.R") + member("t", 9, 11, type: ".google.protobuf.Timestamp") + entry + symbols
    let file = text(1, "f") + text(2, "p") + bytes(4, message) + text(12, "proto3")
    let google =
      text(1, "t") + text(2, "google.protobuf") + bytes(4, text(1, "Timestamp") + member("seconds", 1, 3) + member("nanos", 2, 5))
      + text(12, "proto3")
    return bytes(1, google) + bytes(1, file)
  }()

  private static let protobufRecord: [UInt8] =
    text(1, "ab") + int(2, 5) + bytes(3, [1, 2, 3]) + int(3, 4) + bytes(4, text(1, "k") + bytes(2, text(1, "c"))) + int(5, 1) + [
      0x31, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F,
    ]
    + bytes(7, text(1, "d")) + bytes(8, int(2, 3)) + bytes(8, []) + bytes(9, int(1, 1) + int(2, 1000)) + [0x9B, 0x06, 0x08, 1, 0x9C, 0x06]

  private static let protobufFields: [Field] = [
    Field(name: "id", type: .string), Field(name: "n", type: .int64), Field(name: "l", type: .list(element: .int64)),
    Field(name: "m", type: .map(value: .structure(members: [StructMember("id", .string), StructMember("l", .list(element: .int64))]))),
    Field(name: "e", type: .string),
    Field(name: "x", type: .double), Field(name: "o_id", type: .string, path: [.name("o"), .name("id")]),
    Field(
      name: "r",
      type: .list(
        element: .structure(members: [
          StructMember("n", .int64), StructMember("r", .list(element: .structure(members: [StructMember("id", .string)]))),
        ]))),
    Field(name: "t", type: .timestamp),
  ]

  private static func rows(_ block: DecodedBlock) -> [[Literal]] { (0..<block.count).map { row in block.columns.map { $0.literal(row) } } }

  /// A descriptor, and a record that is read with it and with a valid one: alone and together rows are the same.
  static let protobuf = FuzzTarget(
    "protobuf", words: ["p.R", ".p.R", "proto3", "proto2", "\u{0}", "\u{1}", "\u{8}", "\u{12}", "\u{1A}", "\u{7F}"],
    seeds: { [Parts.join(descriptorBytes, protobufRecord), Parts.join([], protobufRecord), Parts.join(descriptorBytes, [])] }
  ) { input in
    let parts = Parts.split(input, 2)
    for descriptor in [parts[0], descriptorBytes] {
      guard let known = try? ProtobufDescriptor(descriptor),
        let name = known.names.first(where: { $0.hasSuffix("R") }) ?? known.names.first,
        let schema = try? known.schema(of: name)
      else { continue }
      for framing in [nil, .delimited, .confluent] as [ProtobufFormat.Framing?] {
        let format = ProtobufFormat(message: name, framing: framing, schema: schema)
        let fields = protobufFields.filter { format.problem(with: $0) == nil }
        guard !fields.isEmpty, format.problem(with: fields) == nil else { continue }
        decode(format, fields, [parts[1], Array(parts[1].prefix(parts[1].count / 2)), protobufRecord])
      }
    }
  }

  private static func decode(_ format: ProtobufFormat, _ fields: [Field], _ records: [[UInt8]]) {
    func block(_ format: any RecordFormat, _ records: [[UInt8]]) -> DecodedBlock {
      format.decoder(DecoderRequest(fields: fields)).decode(RawBlock(records: records))
    }
    let whole = block(format, records)
    let parts = records.map { block(format, [$0]) }
    expect(whole.valid == parts.flatMap(\.valid), "records alone have other verdicts")
    expect(zip(rows(whole).joined(), parts.flatMap { rows($0).joined() }).allSatisfy(same), "records alone have other values")
    expect(whole.rejections.map(\.rejection) == parts.flatMap { $0.rejections.map(\.rejection) }, "records alone have other reasons")
    let narrow = block(format.narrowed(to: fields), records)
    expect(
      narrow.valid == whole.valid && zip(rows(narrow).joined(), rows(whole).joined()).allSatisfy(same), "what is not read changes values")
    expect(whole.rejections.allSatisfy { $0.rejection.reason.utf8.count < 2100 }, "a reason without a bound")
  }
}
