import WeirOperators

/// A message of `application/vnd.amazon.eventstream`.
struct EventMessage: Sendable, Equatable {
  /// Those that are texts: `:message-type`, `:event-type`, `:exception-type`, `:error-code`, ...
  var headers: [String: String] = [:]
  var payload: [UInt8] = []
}

/// Takes messages out of bytes as they come:
///
/// ```
/// total length u32 | headers' length u32 | CRC-32 of these 8 bytes u32 | headers | payload | CRC-32 of all before u32
/// header: length of the name u8 | name | type u8 | value
/// ```
/// Numbers are big-endian. Source: Amazon Transcribe Developer Guide, "Event stream encoding"; botocore, eventstream.py.
struct EventStreamReader {
  /// Why bytes are no messages: after it nothing can be read.
  struct Damaged: Error, Equatable {
    var reason: String
  }

  /// A record of 10 MiB in base64, with its key, is smaller.
  static let messageBytesMax = 24 << 20
  private static let headerBytesMax = 128 << 10
  private static let preludeBytes = 12
  private static let frameBytes = 16

  private var bytes: [UInt8] = []
  private var at = 0

  mutating func append(_ more: [UInt8]) {
    // A large message leaves no large buffer.
    if at == bytes.count { bytes = [] } else if at > 0 { bytes.removeFirst(at) }
    at = 0
    bytes += more
  }

  /// The next message that is there as a whole; nil: none is.
  mutating func next() throws(Damaged) -> EventMessage? {
    guard bytes.count - at >= EventStreamReader.preludeBytes else { return nil }
    let (total, headerBytes) = (Int(number(at)), Int(number(at + 4)))
    guard checksum(at..<at + 8) == number(at + 8) else { throw Damaged(reason: "a message's length has a wrong checksum") }
    guard (EventStreamReader.frameBytes...EventStreamReader.messageBytesMax).contains(total),
      headerBytes <= min(EventStreamReader.headerBytesMax, total - EventStreamReader.frameBytes)
    else { throw Damaged(reason: "a message has \(total) bytes, \(headerBytes) of them headers") }
    guard bytes.count - at >= total else { return nil }
    guard checksum(at..<at + total - 4) == number(at + total - 4) else { throw Damaged(reason: "a message has a wrong checksum") }
    let start = at + EventStreamReader.preludeBytes
    let message = EventMessage(
      headers: try headers(start..<start + headerBytes), payload: Array(bytes[start + headerBytes..<at + total - 4]))
    at += total
    return message
  }

  private func number(_ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }

  private func checksum(_ range: Range<Int>) -> UInt32 {
    bytes.withUnsafeBufferPointer { CRC32.checksum(UnsafeBufferPointer(rebasing: $0[range])) }
  }

  private func headers(_ range: Range<Int>) throws(Damaged) -> [String: String] {
    var headers: [String: String] = [:]
    var at = range.lowerBound
    func take(_ count: Int) throws(Damaged) -> Range<Int> {
      guard count <= range.upperBound - at else { throw Damaged(reason: "a header is longer than the headers") }
      defer { at += count }
      return at..<at + count
    }
    while at < range.upperBound {
      let name = String(decoding: bytes[try take(Int(bytes[try take(1).lowerBound]))], as: UTF8.self)
      switch bytes[try take(1).lowerBound] {
      // true, false
      case 0, 1: continue
      case 2: _ = try take(1)
      case 3: _ = try take(2)
      case 4: _ = try take(4)
      // A number, a time
      case 5, 8: _ = try take(8)
      case 9: _ = try take(16)
      case let type where type == 6 || type == 7:
        let length = try take(2)
        let value = try take(Int(bytes[length.lowerBound]) << 8 | Int(bytes[length.lowerBound + 1]))
        if type == 7 { headers[name] = String(decoding: bytes[value], as: UTF8.self) }
      case let type: throw Damaged(reason: "a header has the unknown type \(type)")
      }
    }
    return headers
  }
}
