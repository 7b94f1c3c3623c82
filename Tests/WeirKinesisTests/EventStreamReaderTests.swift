import Testing

@testable import WeirKinesis

/// The messages were written byte by byte with Python's struct and zlib.crc32, and read by botocore's parser.
struct EventStreamReaderTests {
  private static let empty = "000000100000000005c248eb7d98c8ff"
  private static let number = "0000002b0000000e348bec7b086576656e742d6964040000a00c7b27666f6f273a27626172277dd3890285"
  private static let everyType =
    "0000006200000050edbbaab00174000166010162027f0173030102016c050000000000000000017906000200010b3a6576656e742d747970650700014502"
    + "7473080000000000000000017509000000000000000000000000000000007879db5b2761"

  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex)
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
  }

  private func all(_ reader: inout EventStreamReader) throws -> [EventMessage] {
    var messages: [EventMessage] = []
    while let message = try reader.next() { messages.append(message) }
    return messages
  }

  private var whole: [UInt8] {
    [EventStreamReaderTests.empty, EventStreamReaderTests.number, EventStreamReaderTests.everyType].flatMap(bytes)
  }

  private static let wanted = [
    EventMessage(), EventMessage(payload: Array("{'foo':'bar'}".utf8)),
    EventMessage(headers: [":event-type": "E"], payload: Array("xy".utf8)),
  ]

  @Test(arguments: [1, 2, 7, 43, 1000]) func `messages come out as they went in, wherever the bytes are cut`(_ part: Int) throws {
    var reader = EventStreamReader()
    var found: [EventMessage] = []
    for start in stride(from: 0, to: whole.count, by: part) {
      reader.append(Array(whole[start..<min(whole.count, start + part)]))
      found += try all(&reader)
    }
    #expect(found == EventStreamReaderTests.wanted)
  }

  @Test func `no byte of a message may differ`() {
    let message = bytes(EventStreamReaderTests.everyType)
    for at in message.indices {
      var damaged = message
      damaged[at] ^= 0x10
      var reader = EventStreamReader()
      reader.append(damaged)
      #expect(throws: EventStreamReader.Damaged.self, "byte \(at)") { try reader.next() }
    }
  }

  @Test func `a length beyond the bound is refused before its bytes come`() {
    // 2 GiB, with a right checksum of the prelude (Python's zlib.crc32).
    var reader = EventStreamReader()
    reader.append(bytes("800000000000000036195ab3"))
    #expect(throws: EventStreamReader.Damaged.self) { try reader.next() }
  }
}
