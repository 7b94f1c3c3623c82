import WeirCore
import WeirOperators

/// Messages of `application/vnd.amazon.eventstream`:
///
/// ```
/// total length u32 | headers' length u32 | CRC-32 of these 8 bytes u32 | headers | payload | CRC-32 of all before u32
/// header: length of the name u8 | name | type u8 (7: a string) | length u16 | text
/// ```
/// Numbers are big-endian. Source: Amazon Transcribe Developer Guide, "Event stream encoding"; botocore, eventstream.py.
enum EventStreamWriter {
  private static let stringType: UInt8 = 7

  static func message(_ headers: KeyValuePairs<String, String>, _ payload: [UInt8]) -> [UInt8] {
    var head: [UInt8] = []
    for (name, value) in headers {
      head.append(UInt8(truncatingIfNeeded: name.utf8.count))
      head += name.utf8
      head.append(stringType)
      append(UInt16(truncatingIfNeeded: value.utf8.count), to: &head)
      head += value.utf8
    }
    var out: [UInt8] = []
    out.reserveCapacity(16 + head.count + payload.count)
    append(UInt32(truncatingIfNeeded: 16 + head.count + payload.count), to: &out)
    append(UInt32(truncatingIfNeeded: head.count), to: &out)
    append(checksum(out), to: &out)
    out += head
    out += payload
    append(checksum(out), to: &out)
    return out
  }

  private static func append(_ number: some FixedWidthInteger, to out: inout [UInt8]) {
    withUnsafeBytes(of: number.bigEndian) { out.append(contentsOf: $0) }
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBufferPointer { CRC32.checksum($0) } }

  static func event(_ type: String, _ payload: [UInt8]) -> [UInt8] {
    message([":event-type": type, ":content-type": "application/x-amz-json-1.1", ":message-type": "event"], payload)
  }

  static func exception(_ refusal: MockRefusal) -> [UInt8] {
    message(
      [":exception-type": refusal.code, ":content-type": "application/x-amz-json-1.1", ":message-type": "exception"],
      JSONValue.members(["message": .string(refusal.message)]).bytes)
  }
}
