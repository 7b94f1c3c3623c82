/// A reply of a server.
package enum RedisReply: Sendable, Equatable {
  case simple(String)
  case error(String)
  case integer(Int64)
  /// nil: the null bulk string.
  case bulk([UInt8]?)
  /// nil: the null array.
  case array([RedisReply]?)

  package var bytes: [UInt8]? {
    switch self {
    case .simple(let text): Array(text.utf8)
    case .bulk(let bytes): bytes
    default: nil
    }
  }

  package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

  package var number: Int64? {
    if case .integer(let number) = self { return number }
    return text.flatMap { Int64($0) }
  }

  package var items: [RedisReply]? {
    if case .array(let items) = self { return items }
    return nil
  }
}

/// Bytes that are not a reply.
package struct MalformedReply: Error, Equatable {}

/// Reads replies of version 2 of the protocol, whatever parts the bytes come in
/// (https://redis.io/docs/latest/develop/reference/protocol-spec/). Pure.
package struct RESPParser {
  /// Of a line: a number, a simple string, an error.
  package static let lineBytesMax = 64 << 10
  /// Of a bulk string: Redis's own limit.
  package static let bulkBytesMax = 512 << 20
  package static let itemsMax = 1 << 20
  package static let levelsMax = 8
  /// Of one reply with everything in it.
  package static let replyBytesMax = 1 << 30

  private var buffer: [UInt8] = []
  private var at = 0
  /// The beginning of the current line was searched up to here.
  private var searched = 0
  /// Arrays that have not ended.
  private var open: [(left: Int, items: [RedisReply])] = []
  private var replyBytes = 0

  package init() {}

  package mutating func append(_ bytes: some Collection<UInt8>) { buffer.append(contentsOf: bytes) }

  /// Nothing of a next reply has come.
  package var isEmpty: Bool { at == buffer.count && open.isEmpty }

  /// - Returns: nil: more bytes are needed.
  package mutating func next() throws(MalformedReply) -> RedisReply? {
    while let value = try value() {
      guard replyBytes <= RESPParser.replyBytesMax else { throw MalformedReply() }
      var whole = value
      while true {
        guard var array = open.popLast() else {
          replyBytes = 0
          compact()
          return whole
        }
        array.items.append(whole)
        array.left -= 1
        guard array.left == 0 else {
          open.append(array)
          break
        }
        whole = .array(array.items)
      }
    }
    return nil
  }

  /// The next value that is not an array with items; such an array is opened.
  private mutating func value() throws(MalformedReply) -> RedisReply? {
    while true {
      let start = at
      guard let line = try line() else { return nil }
      guard let kind = buffer[line].first else { throw MalformedReply() }
      let rest = buffer[line].dropFirst()
      replyBytes += rest.count + 1
      switch kind {
      case UInt8(ascii: "+"): return .simple(String(decoding: rest, as: UTF8.self))
      case UInt8(ascii: "-"): return .error(String(decoding: rest, as: UTF8.self))
      case UInt8(ascii: ":"): return .integer(try RESPParser.number(rest))
      case UInt8(ascii: "$"):
        let count = try RESPParser.number(rest)
        if count == -1 { return .bulk(nil) }
        guard count >= 0, count <= RESPParser.bulkBytesMax else { throw MalformedReply() }
        guard let bytes = try bulk(Int(count)) else {
          // Read again with its length, when the rest is there.
          at = start
          replyBytes -= rest.count + 1
          return nil
        }
        return .bulk(bytes)
      case UInt8(ascii: "*"):
        let count = try RESPParser.number(rest)
        if count == -1 { return .array(nil) }
        if count == 0 { return .array([]) }
        guard count > 0, count <= RESPParser.itemsMax, open.count < RESPParser.levelsMax else { throw MalformedReply() }
        open.append((Int(count), []))
      default: throw MalformedReply()
      }
    }
  }

  /// - Returns: the line without its end; nil: it is not there yet.
  private mutating func line() throws(MalformedReply) -> Range<Int>? {
    var place = max(at, searched)
    while place < buffer.count {
      if buffer[place] == 0x0D {
        if place + 1 == buffer.count { break }
        guard buffer[place + 1] == 0x0A else { throw MalformedReply() }
        let line = at..<place
        (at, searched) = (place + 2, 0)
        return line
      }
      if buffer[place] == 0x0A { throw MalformedReply() }
      place += 1
    }
    searched = place
    guard buffer.count - at <= RESPParser.lineBytesMax else { throw MalformedReply() }
    return nil
  }

  private mutating func bulk(_ count: Int) throws(MalformedReply) -> [UInt8]? {
    guard buffer.count - at >= count + 2 else { return nil }
    let bytes = Array(buffer[at..<at + count])
    guard buffer[at + count] == 0x0D, buffer[at + count + 1] == 0x0A else { throw MalformedReply() }
    at += count + 2
    replyBytes += count
    return bytes
  }

  private static func number(_ digits: ArraySlice<UInt8>) throws(MalformedReply) -> Int64 {
    guard digits.count <= 20, let number = Int64(String(decoding: digits, as: UTF8.self)) else { throw MalformedReply() }
    return number
  }

  private mutating func compact() {
    if at == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 20)
    } else if at > 1 << 16 {
      buffer.removeSubrange(..<at)
    } else {
      return
    }
    (at, searched) = (0, 0)
  }
}
