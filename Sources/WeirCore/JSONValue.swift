/// A small ordered JSON document: ledger entries, Delta actions, reports. Not the hot path: records have their own decoder.
///
/// Objects keep the order of their members, and writing is deterministic: the same value gives the same bytes.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case int(Int64)
  /// A number that is no `Int64`, as its JSON text.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([Member])

  public struct Member: Sendable, Equatable {
    public var name: String
    public var value: JSONValue
    public init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  /// An object of the given members, in their order.
  public static func members(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
    .object(members.map { Member($0.key, $0.value) })
  }

  public subscript(_ name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name == name }?.value
  }

  public var string: String? { if case .string(let s) = self { s } else { nil } }
  public var int: Int64? { if case .int(let i) = self { i } else { nil } }
  public var bool: Bool? { if case .bool(let b) = self { b } else { nil } }
  public var array: [JSONValue]? { if case .array(let a) = self { a } else { nil } }
  public var members: [Member]? { if case .object(let m) = self { m } else { nil } }
  public var isNull: Bool { self == .null }
}

// MARK: - Writing

extension JSONValue {
  /// Compact UTF-8 text, no line ends.
  public var bytes: [UInt8] {
    var out: [UInt8] = []
    write(into: &out)
    return out
  }

  public var text: String { String(decoding: bytes, as: UTF8.self) }

  public func write(into out: inout [UInt8]) {
    switch self {
    case .null: out += "null".utf8
    case .bool(let b): out += (b ? "true" : "false").utf8
    case .int(let i): out += String(i).utf8
    case .number(let s): out += s.utf8
    case .string(let s): JSONValue.write(s, into: &out)
    case .array(let items):
      out.append(UInt8(ascii: "["))
      for (i, item) in items.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        item.write(into: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .object(let members):
      out.append(UInt8(ascii: "{"))
      for (i, member) in members.enumerated() {
        if i > 0 { out.append(UInt8(ascii: ",")) }
        JSONValue.write(member.name, into: &out)
        out.append(UInt8(ascii: ":"))
        member.value.write(into: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
  }

  /// A JSON string with its quotes; control characters, `"` and `\` escaped.
  public static func write(_ string: String, into out: inout [UInt8]) {
    var string = string
    out.append(UInt8(ascii: "\""))
    string.withUTF8 { bytes in
      // Runs that need no escape go as they are: nearly always the whole string.
      var from = 0
      for (i, byte) in bytes.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        out.append(contentsOf: bytes[from..<i])
        escape(byte, into: &out)
        from = i + 1
      }
      out.append(contentsOf: bytes[from...])
    }
    out.append(UInt8(ascii: "\""))
  }

  private static func escape(_ byte: UInt8, into out: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\""): out += "\\\"".utf8
    case UInt8(ascii: "\\"): out += "\\\\".utf8
    case 0x0A: out += "\\n".utf8
    case 0x0D: out += "\\r".utf8
    case 0x09: out += "\\t".utf8
    default:
      let hex = String(byte, radix: 16)
      out += ("\\u00" + (hex.utf8.count < 2 ? "0" : "") + hex).utf8
    }
  }
}

// MARK: - Reading

extension JSONValue {
  /// Why and where text is no JSON document.
  public struct ParseError: Error, Sendable, CustomStringConvertible {
    public var reason: String
    /// Byte offset in the text.
    public var offset: Int
    public var description: String { "\(reason) at byte \(offset)" }
  }

  /// Reads one JSON document (RFC 8259), nested at most 512 deep.
  public init(parsing bytes: some Collection<UInt8>) throws(ParseError) {
    var reader = Reader(bytes: Array(bytes))
    self = try reader.document()
  }

  private struct Reader {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    func fail(_ reason: String) -> ParseError { ParseError(reason: reason, offset: at) }

    mutating func document() throws(ParseError) -> JSONValue {
      let value = try value(depth: 0)
      space()
      guard at == bytes.count else { throw fail("text after the JSON value") }
      return value
    }

    mutating func space() {
      while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
    }

    func peek() throws(ParseError) -> UInt8 {
      guard at < bytes.count else { throw fail("unexpected end") }
      return bytes[at]
    }

    mutating func value(depth: Int) throws(ParseError) -> JSONValue {
      guard depth <= 512 else { throw fail("nested too deep") }
      space()
      switch try peek() {
      case UInt8(ascii: "{"): return try object(depth: depth)
      case UInt8(ascii: "["): return try array(depth: depth)
      case UInt8(ascii: "\""): return .string(try string())
      case UInt8(ascii: "t"): return try word("true", .bool(true))
      case UInt8(ascii: "f"): return try word("false", .bool(false))
      case UInt8(ascii: "n"): return try word("null", .null)
      default: return try number()
      }
    }

    mutating func word(_ word: String, _ value: JSONValue) throws(ParseError) -> JSONValue {
      guard bytes[at...].starts(with: word.utf8) else { throw fail("unexpected character") }
      at += word.utf8.count
      return value
    }

    mutating func object(depth: Int) throws(ParseError) -> JSONValue {
      var members: [Member] = []
      at += 1
      space()
      if try peek() == UInt8(ascii: "}") { at += 1; return .object([]) }
      while true {
        space()
        guard try peek() == UInt8(ascii: "\"") else { throw fail("expected a member name") }
        let name = try string()
        space()
        guard try peek() == UInt8(ascii: ":") else { throw fail("expected ':'") }
        at += 1
        members.append(Member(name, try value(depth: depth + 1)))
        space()
        let next = try peek()
        at += 1
        if next == UInt8(ascii: "}") { return .object(members) }
        guard next == UInt8(ascii: ",") else { throw fail("expected ',' or '}'") }
      }
    }

    mutating func array(depth: Int) throws(ParseError) -> JSONValue {
      var items: [JSONValue] = []
      at += 1
      space()
      if try peek() == UInt8(ascii: "]") { at += 1; return .array([]) }
      while true {
        items.append(try value(depth: depth + 1))
        space()
        let next = try peek()
        at += 1
        if next == UInt8(ascii: "]") { return .array(items) }
        guard next == UInt8(ascii: ",") else { throw fail("expected ',' or ']'") }
      }
    }

    mutating func number() throws(ParseError) -> JSONValue {
      let start = at
      func digit() -> Bool { at < bytes.count && bytes[at] >= 0x30 && bytes[at] <= 0x39 }
      if at < bytes.count, bytes[at] == UInt8(ascii: "-") { at += 1 }
      guard digit() else { throw fail("unexpected character") }
      if bytes[at] == 0x30 { at += 1 } else { while digit() { at += 1 } }
      var integer = true
      if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
        integer = false
        at += 1
        guard digit() else { throw fail("expected a digit") }
        while digit() { at += 1 }
      }
      if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
        integer = false
        at += 1
        if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
        guard digit() else { throw fail("expected a digit") }
        while digit() { at += 1 }
      }
      let text = String(decoding: bytes[start..<at], as: UTF8.self)
      if integer, let i = Int64(text) { return .int(i) }
      return .number(text)
    }

    mutating func string() throws(ParseError) -> String {
      at += 1
      let start = at
      // Without an escape, which is nearly always so, the text is the bytes as they are.
      while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
      if try peek() == UInt8(ascii: "\"") {
        defer { at += 1 }
        return try text(bytes[start..<at])
      }
      var out = Array(bytes[start..<at])
      while true {
        let byte = try peek()
        at += 1
        switch byte {
        case UInt8(ascii: "\""): return try text(out[...])
        case UInt8(ascii: "\\"): try escape(into: &out)
        case 0..<0x20:
          at -= 1
          throw fail("control character in a string")
        default: out.append(byte)
        }
      }
    }

    func text(_ bytes: ArraySlice<UInt8>) throws(ParseError) -> String {
      guard let text = String(validating: bytes, as: UTF8.self) else { throw fail("ill-formed UTF-8 in a string") }
      return text
    }

    mutating func escape(into out: inout [UInt8]) throws(ParseError) {
      let c = try peek()
      at += 1
      switch c {
      case UInt8(ascii: "n"): out.append(0x0A)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "r"): out.append(0x0D)
      case UInt8(ascii: "b"): out.append(0x08)
      case UInt8(ascii: "f"): out.append(0x0C)
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(c)
      case UInt8(ascii: "u"):
        var unit = try hex4()
        if unit & 0xFC00 == 0xD800 {
          guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
            throw fail("lone surrogate")
          }
          at += 2
          let low = try hex4()
          guard low & 0xFC00 == 0xDC00 else { throw fail("lone surrogate") }
          unit = 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(unit) else { throw fail("lone surrogate") }
        out += String(Character(scalar)).utf8
      default: throw fail("unknown escape")
      }
    }

    mutating func hex4() throws(ParseError) -> UInt32 {
      guard at + 4 <= bytes.count, let unit = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16),
        bytes[at] != UInt8(ascii: "+"), bytes[at] != UInt8(ascii: "-")
      else { throw fail("expected four hex digits") }
      at += 4
      return unit
    }
  }
}
