import CWeirScan
import WeirCore

/// Why text is no JSON, or no value of a field's type: reason and byte offset in the record.
struct DecodeError: Error, @unchecked Sendable {
  // Unchecked: thrown and caught on one thread, while the text is held.
  var reason: String
  var at: UnsafePointer<UInt8>
  /// Of a value, whose place is not in the reason yet.
  var isOfValue = false

  /// The value of a field is wrong, which a later one may override. Not so: the record is not JSON, or has no value where one is required.
  var isOfField: Bool { reason.utf8.starts(with: DecodeError.field.utf8) || reason == DecodeError.loneSurrogate }

  /// How reasons of the values of fields begin.
  private static let field = "field "
  static let loneSurrogate = "lone surrogate in a string"

  /// With the place of the value that it is of.
  func located(_ place: @autoclosure () -> String) -> DecodeError {
    isOfValue ? DecodeError(reason: "\(place()): \(reason)", at: at) : self
  }
}

/// The grammar of JSON (RFC 8259) over bytes in memory: the part that the record decoder and ``JSONGrammar`` share.
///
/// `at` is the place of reading and `end` the end of the text. 16 bytes after `end` must be readable (``TextBuffer/slack``).
struct JSONScanner {
  typealias Bytes = UnsafePointer<UInt8>

  /// Deeper nesting is refused: of a value in a record, so a record may be one deeper.
  static let depthMax = 1024
  static let unendedString = "a string does not end"

  var at: Bytes
  let end: Bytes

  @inline(__always)
  mutating func space() {
    while at < end, at.pointee <= 0x20, at.pointee == 0x20 || at.pointee == 0x0A || at.pointee == 0x0D || at.pointee == 0x09 {
      at += 1
    }
  }

  /// Steps over a byte order mark; false if there is none here.
  mutating func byteOrderMark() -> Bool {
    guard end - at >= 3, at[0] == 0xEF, at[1] == 0xBB, at[2] == 0xBF else { return false }
    at += 3
    return true
  }

  func fail(_ reason: String) -> DecodeError { DecodeError(reason: reason, at: at) }

  // MARK: Strings

  struct Text {
    /// Between the quotes.
    var start: Bytes
    var count: Int
    var hasEscapes: Bool
  }

  /// Reads a string from its opening quote to after its closing one.
  @inline(__always)
  mutating func string() throws(DecodeError) -> Text {
    let start = at + 1
    let stop = weir_scan_string(start, end)!
    if stop < end, stop.pointee == 0x22 {
      at = stop + 1
      return Text(start: start, count: stop - start, hasEscapes: false)
    }
    return try longString(start, from: stop)
  }

  /// A string with escapes or beyond ASCII, or none at all.
  private mutating func longString(_ start: Bytes, from: Bytes) throws(DecodeError) -> Text {
    var p = from
    var hasEscapes = false
    var isASCII = true
    while true {
      guard p < end else { throw DecodeError(reason: JSONScanner.unendedString, at: start - 1) }
      let c = p.pointee
      if c == 0x22 { break }
      if c == 0x5C {
        hasEscapes = true
        p = try escape(p)
      } else if c < 0x20 {
        throw DecodeError(reason: "control character in a string", at: p)
      } else {
        if c >= 0x80 { isASCII = false }
        p += 1
        p = c >= 0x80 ? p : weir_scan_string(p, end)!
      }
    }
    if !isASCII, let bad = UTF8Check.firstError(start, p) { throw DecodeError(reason: "ill-formed UTF-8", at: bad) }
    at = p + 1
    return Text(start: start, count: p - start, hasEscapes: hasEscapes)
  }

  /// Behind the escape that begins at `p`.
  private func escape(_ p: Bytes) throws(DecodeError) -> Bytes {
    guard p + 1 < end else { throw DecodeError(reason: "an escape does not end", at: p) }
    switch p[1] {
    case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: return p + 2
    case 0x75:
      guard p + 6 <= end, JSONScanner.hex4(p + 2) != nil else { throw DecodeError(reason: "\\u needs four hex digits", at: p) }
      return p + 6
    default: throw DecodeError(reason: "unknown escape", at: p)
    }
  }

  static func hex4(_ p: Bytes) -> UInt32? {
    var value: UInt32 = 0
    for i in 0..<4 {
      let c = p[i]
      let digit: UInt8
      switch c {
      case 0x30...0x39: digit = c - 0x30
      case 0x41...0x46: digit = c - 0x37
      case 0x61...0x66: digit = c - 0x57
      default: return nil
      }
      value = value << 4 | UInt32(digit)
    }
    return value
  }

  /// Undoes escapes (whose grammar was checked) into `arena`.
  static func unescape(_ text: Text, into arena: Arena) throws(DecodeError) -> StringRef {
    let target = arena.allocate(text.count)
    var out = target
    var p = text.start
    let end = text.start + text.count
    while p < end {
      guard p.pointee == 0x5C else {
        out.pointee = p.pointee
        out += 1
        p += 1
        continue
      }
      let c = p[1]
      p += 2
      switch c {
      case 0x62: out.pointee = 0x08
      case 0x66: out.pointee = 0x0C
      case 0x6E: out.pointee = 0x0A
      case 0x72: out.pointee = 0x0D
      case 0x74: out.pointee = 0x09
      case 0x75:
        var unit = hex4(p) ?? 0
        p += 4
        if unit & 0xFC00 == 0xD800 {
          guard p + 6 <= end, p[0] == 0x5C, p[1] == 0x75, let low = hex4(p + 2), low & 0xFC00 == 0xDC00 else {
            throw DecodeError(reason: DecodeError.loneSurrogate, at: p - 6)
          }
          unit = 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF)
          p += 6
        } else if unit & 0xFC00 == 0xDC00 {
          throw DecodeError(reason: DecodeError.loneSurrogate, at: p - 6)
        }
        out = encode(unit, out)
        continue
      default: out.pointee = c
      }
      out += 1
    }
    return StringRef(start: Bytes(target), count: out - target)
  }

  private static func encode(_ scalar: UInt32, _ out: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
    func tail(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(scalar >> shift & 0x3F) }
    switch scalar {
    case 0..<0x80:
      out[0] = UInt8(scalar)
      return out + 1
    case 0..<0x800:
      (out[0], out[1]) = (0xC0 | UInt8(scalar >> 6), tail(0))
      return out + 2
    case 0..<0x10000:
      (out[0], out[1], out[2]) = (0xE0 | UInt8(scalar >> 12), tail(6), tail(0))
      return out + 3
    default:
      (out[0], out[1], out[2], out[3]) = (0xF0 | UInt8(scalar >> 18), tail(12), tail(6), tail(0))
      return out + 4
    }
  }

  // MARK: Numbers

  struct Number {
    var start: Bytes
    var count: Int
    var isNegative: Bool
    /// Digits without point and leading zeros, as a number; meaningless if `isLong`.
    var mantissa: UInt64
    /// Value = mantissa × 10^exponent.
    var exponent: Int
    /// More than 19 significant digits.
    var isLong: Bool
  }

  @inline(__always)
  mutating func number() throws(DecodeError) -> Number {
    let start = at
    var isNegative = false
    if at.pointee == 0x2D {
      isNegative = true
      at += 1
    }
    var mantissa: UInt64 = 0
    var digits = 0
    guard at < end, at.pointee &- 0x30 < 10 else { throw fail("not a JSON value") }
    if at.pointee == 0x30 {
      at += 1
      if at < end, at.pointee &- 0x30 < 10 { throw fail("a number begins with 0") }
    } else {
      while end - at >= 8, let eight = JSONScanner.digits8(at) {
        mantissa = mantissa &* 100_000_000 &+ eight
        digits += 8
        at += 8
      }
      while at < end, at.pointee &- 0x30 < 10 {
        mantissa = mantissa &* 10 &+ UInt64(at.pointee &- 0x30)
        digits += 1
        at += 1
      }
    }
    var exponent = 0
    if at < end, at.pointee == 0x2E {
      at += 1
      let fraction = at
      while at < end, at.pointee &- 0x30 < 10 {
        mantissa = mantissa &* 10 &+ UInt64(at.pointee &- 0x30)
        if mantissa != 0 || digits > 0 { digits += 1 }
        at += 1
      }
      exponent = fraction - at
      guard at > fraction else { throw fail("a digit must follow the point of a number") }
    }
    if at < end, at.pointee | 0x20 == 0x65 { exponent += try power() }
    return Number(
      start: start, count: at - start, isNegative: isNegative, mantissa: mantissa, exponent: exponent, isLong: digits > 19)
  }

  /// The number that eight digits make; nil if one of the bytes is none. All at once in a register: neighbours become pairs,
  /// pairs fours, fours the number (Lemire, "Quickly parsing eight digits", 2018).
  @inline(__always)
  private static func digits8(_ at: Bytes) -> UInt64? {
    let bytes = UInt64(littleEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
    let high: UInt64 = 0xF0F0_F0F0_F0F0_F0F0
    guard bytes & high | ((bytes &+ 0x0606_0606_0606_0606) & high) >> 4 == 0x3333_3333_3333_3333 else { return nil }
    let pairs = ((bytes & 0x0F0F_0F0F_0F0F_0F0F) &* 2561) >> 8
    let fours = ((pairs & 0x00FF_00FF_00FF_00FF) &* 6_553_601) >> 16
    return ((fours & 0x0000_FFFF_0000_FFFF) &* 42_949_672_960_001) >> 32
  }

  private mutating func power() throws(DecodeError) -> Int {
    at += 1
    var isNegative = false
    if at < end, at.pointee == 0x2B || at.pointee == 0x2D {
      isNegative = at.pointee == 0x2D
      at += 1
    }
    guard at < end, at.pointee &- 0x30 < 10 else { throw fail("a digit must follow the exponent sign of a number") }
    var value = 0
    while at < end, at.pointee &- 0x30 < 10 {
      if value < 1_000_000 { value = value * 10 + Int(at.pointee &- 0x30) }
      at += 1
    }
    return isNegative ? -value : value
  }

  // MARK: Any value

  @inline(__always)
  mutating func word(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8? = nil) throws(DecodeError) {
    let count = e == nil ? 4 : 5
    guard end - at >= count, at[0] == a, at[1] == b, at[2] == c, at[3] == d, e == nil || at[4] == e else {
      throw fail("not a JSON value")
    }
    at += count
  }

  mutating func null() throws(DecodeError) { try word(0x6E, 0x75, 0x6C, 0x6C) }
  mutating func `true`() throws(DecodeError) { try word(0x74, 0x72, 0x75, 0x65) }
  mutating func `false`() throws(DecodeError) { try word(0x66, 0x61, 0x6C, 0x73, 0x65) }

  /// Reads a value of any kind and depth without keeping it; no recursion.
  mutating func skipValue() throws(DecodeError) { try skipValue(depthMax: JSONScanner.depthMax) }

  /// The same for a whole record, which the record decoder reads later: what it accepts must not depend on how the record was found.
  mutating func skipRecord() throws(DecodeError) { try skipValue(depthMax: JSONScanner.depthMax + 1) }

  private mutating func skipValue(depthMax: Int) throws(DecodeError) {
    guard at < end else { throw fail("a value is missing") }
    if at.pointee == 0x22 {
      _ = try string()
    } else if at.pointee == 0x7B || at.pointee == 0x5B {
      try skipNested(depthMax: depthMax)
    } else {
      try skipScalar()
    }
  }

  private mutating func skipScalar() throws(DecodeError) {
    guard at < end else { throw fail("a value is missing") }
    switch at.pointee {
    case 0x22: _ = try string()
    case 0x74: try self.true()
    case 0x66: try self.false()
    case 0x6E: try null()
    default: _ = try number()
    }
  }

  private mutating func skipNested(depthMax: Int) throws(DecodeError) {
    // One entry a level: true for an object.
    var stack: [Bool] = []
    while true {
      // A value begins here.
      space()
      guard at < end else { throw fail("the text is cut off within a value") }
      if at.pointee == 0x7B || at.pointee == 0x5B {
        let isObject = at.pointee == 0x7B
        guard stack.count < depthMax else { throw fail("nested more than \(JSONScanner.depthMax) deep") }
        at += 1
        space()
        guard at < end else { throw fail("the text is cut off within a value") }
        if at.pointee == (isObject ? 0x7D : 0x5D) {
          at += 1
        } else {
          stack.append(isObject)
          if isObject { try memberName() }
          continue
        }
      } else {
        try skipScalar()
      }
      // A value ended here.
      while let isObject = stack.last {
        space()
        guard at < end else { throw fail("the text is cut off within a value") }
        if at.pointee == 0x2C {
          at += 1
          space()
          if isObject { try memberName() }
          break
        }
        guard at.pointee == (isObject ? 0x7D : 0x5D) else { throw fail(isObject ? "',' or '}' expected" : "',' or ']' expected") }
        at += 1
        stack.removeLast()
      }
      if stack.isEmpty { return }
    }
  }

  private mutating func memberName() throws(DecodeError) {
    guard at < end, at.pointee == 0x22 else { throw fail("a member name expected") }
    _ = try string()
    space()
    guard at < end, at.pointee == 0x3A else { throw fail("':' expected") }
    at += 1
  }
}

/// Whether text is JSON.
package enum JSONGrammar {
  /// nil if the bytes are one JSON value (RFC 8259), else why not and where. 16 bytes after them must be readable.
  package static func validate(_ bytes: UnsafeRawBufferPointer) -> (reason: String, offset: Int)? {
    guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return ("there is no value", 0) }
    var scanner = JSONScanner(at: base, end: base + bytes.count)
    do {
      scanner.space()
      try scanner.skipValue()
      scanner.space()
      if scanner.at < scanner.end { return ("unexpected text after the value", scanner.at - base) }
      return nil
    } catch {
      return (error.reason, error.at - base)
    }
  }
}
