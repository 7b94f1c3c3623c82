import WeirCore

/// A command with its arguments as RESP sends them: an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/).
package struct RedisCommand: Sendable {
  /// `$COUNT\r\nBYTES\r\n` of each argument.
  private var encoded: [UInt8] = []
  package private(set) var count = 0

  package init() {}

  package init(_ words: String...) { for word in words { append(word) } }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    begin(bytes.count)
    encoded.append(contentsOf: bytes)
    end()
  }

  package mutating func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

  package mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  package mutating func append(_ number: some BinaryInteger) { append(String(number)) }

  /// An argument of two parts.
  mutating func append(_ first: [UInt8], _ second: UnsafeRawBufferPointer?) {
    begin(first.count + (second?.count ?? 0))
    encoded.append(contentsOf: first)
    if let second { encoded.append(contentsOf: second) }
    end()
  }

  /// All arguments of another one.
  mutating func append(all other: RedisCommand) {
    encoded.append(contentsOf: other.encoded)
    count += other.count
  }

  private mutating func begin(_ count: Int) {
    encoded.append(UInt8(ascii: "$"))
    encoded.append(contentsOf: String(count).utf8)
    encoded.append(contentsOf: [0x0D, 0x0A])
  }

  private mutating func end() {
    encoded.append(contentsOf: [0x0D, 0x0A])
    count += 1
  }

  /// Bytes of all arguments, with what RESP adds to them.
  package var byteCount: Int { encoded.count }

  /// Writes the command as it is sent.
  package func write(to out: inout [UInt8]) {
    out.append(UInt8(ascii: "*"))
    out.append(contentsOf: String(count).utf8)
    out.append(contentsOf: [0x0D, 0x0A])
    out.append(contentsOf: encoded)
  }

  /// The arguments one by one, for servers in memory.
  package var arguments: [[UInt8]] {
    var found: [[UInt8]] = []
    var at = 0
    while at < encoded.count {
      guard let end = encoded[at...].firstIndex(of: 0x0D), let length = Int(String(decoding: encoded[(at + 1)..<end], as: UTF8.self)) else {
        return found
      }
      found.append(Array(encoded[(end + 2)..<(end + 2 + length)]))
      at = end + 2 + length + 2
    }
    return found
  }
}
