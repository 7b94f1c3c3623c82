/// The `by` values of a row as bytes whose order is the order of the values: null first, then column by column.
///
/// One tag byte a column (0 null, 1 value), but none before a first column that is a string with a value: its bytes stand
/// first as they are, so that a prefix of the text is a prefix of the key. Strings and binaries: bytes with 0x00 written
/// as 0x00 0xFF, then 0x00 0x01. Numbers: big-endian with the sign flipped. A null first column is 0x00 0x00.
public enum StateKey {
  /// Bytes of a key by which every state table orders its rows. The order of longer keys that are equal so far is the table's own.
  public static let indexedBytes = 256

  public static func encode(_ values: [Literal]) -> [UInt8] {
    var out: [UInt8] = []
    for (i, value) in values.enumerated() {
      switch value {
      case .null: out += i == 0 ? [0x00, 0x00] : [0]
      case .string(let s): text(s.utf8, first: i == 0, &out)
      case .binary(let b): text(b, first: i == 0, &out)
      case .bool(let b): out += [1, b ? 1 : 0]
      case .int64(let v), .timestamp(let v):
        out.append(1)
        big(UInt64(bitPattern: v) ^ 1 << 63, &out)
      case .double(let v):
        out.append(1)
        let bits = (v == 0 ? 0 : v).bitPattern
        big(bits >> 63 == 1 ? ~bits : bits ^ 1 << 63, &out)
      case .decimal(let v, _, _):
        out.append(1)
        let bits = UInt128(bitPattern: v) ^ 1 << 127
        big(UInt64(truncatingIfNeeded: bits >> 64), &out)
        big(UInt64(truncatingIfNeeded: bits), &out)
      }
    }
    return out
  }

  private static func text(_ bytes: some Sequence<UInt8>, first: Bool, _ out: inout [UInt8]) {
    if !first { out.append(1) }
    for byte in bytes {
      out.append(byte)
      if byte == 0 { out.append(0xFF) }
    }
    out += [0x00, 0x01]
  }

  private static func big(_ v: UInt64, _ out: inout [UInt8]) {
    withUnsafeBytes(of: v.bigEndian) { out.append(contentsOf: $0) }
  }

  /// The beginning of the keys whose first column, a string, begins with `prefix`.
  public static func prefix(_ prefix: String) -> [UInt8] { prefix.utf8.flatMap { $0 == 0 ? [0, 0xFF] : [$0] } }

  /// A key for a message: as text where it is one, in quotes and without the end marks of its columns; else in hexadecimal digits.
  /// - Parameter bytesMax: of the key that are shown; then its length follows.
  public static func shown(_ key: [UInt8], bytesMax: Int = 64) -> String {
    let more = key.count > bytesMax ? "… (\(key.count) bytes)" : ""
    var text: [UInt8] = []
    var at = 0
    while at < min(key.count, bytesMax) {
      let isMark = key[at] == 0 && at + 1 < key.count && (key[at + 1] == 1 || key[at + 1] == 0xFF)
      if isMark, key[at + 1] == 0xFF {
        text.append(0)
      } else if isMark {
        // The tag of the next column, if there is one.
        if at + 2 < key.count { text += [UInt8(ascii: "|")] }
      } else {
        text.append(key[at])
      }
      at += isMark ? (key[at + 1] == 1 && at + 2 < key.count ? 3 : 2) : 1
    }
    // A character may be cut at the end.
    for cut in 0..<(more.isEmpty ? 1 : 4) where cut <= text.count {
      guard let whole = String(validating: text.dropLast(cut), as: UTF8.self) else { continue }
      let isText = whole.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F || $0 == "\n" || $0 == "\t" || $0 == "\r" }
      if isText { return "\"\(Printable.text(whole, bytesMax: 4 * bytesMax))\"\(more)" }
    }
    return "0x\(RecordHeaders.hex(key.prefix(bytesMax)))\(more)"
  }

  /// Reads what ``encode(_:)`` wrote for columns of these types.
  public static func decode(_ key: [UInt8], types: [ColumnType]) throws(WeirError) -> [Literal] {
    var values: [Literal] = []
    values.reserveCapacity(types.count)
    try decode(key[...], types: types) { values.append($1) }
    return values
  }

  /// The same, column by column: `body` gets the column's number and its value.
  public static func decode(_ key: ArraySlice<UInt8>, types: [ColumnType], _ body: (Int, Literal) -> Void) throws(WeirError) {
    let (start, end) = (key.startIndex, key.endIndex)
    var at = start
    func broken() -> WeirError {
      WeirError(
        .corrupt, "a state key does not fit its table's columns",
        advice: "The state table is damaged: \(.rebuildState) recreates it.")
    }
    func take(_ n: Int) throws(WeirError) -> ArraySlice<UInt8> {
      guard at + n <= end else { throw broken() }
      defer { at += n }
      return key[at..<at + n]
    }
    func number(_ n: Int) throws(WeirError) -> UInt128 { try take(n).reduce(0) { $0 << 8 | UInt128($1) } }
    func text() throws(WeirError) -> ArraySlice<UInt8> {
      let first = at
      while at < end, key[at] != 0 { at += 1 }
      // Nearly always: no zero byte in the text, which is then the key's own bytes.
      if at + 1 < end, key[at + 1] == 1 {
        defer { at += 2 }
        return key[first..<at]
      }
      var out = key[first..<at]
      while true {
        let byte = try take(1).first!
        if byte != 0 { out.append(byte); continue }
        let next = try take(1).first!
        if next == 1 { return out }
        guard next == 0xFF else { throw broken() }
        out.append(0)
      }
    }
    for (i, type) in types.enumerated() {
      if i == 0 {
        if key.count >= 2, key[start] == 0, key[start + 1] == 0 {
          at += 2
          body(i, .null)
          continue
        }
        if type != .string, type != .binary, try take(1).first! != 1 { throw broken() }
      } else {
        let tag = try take(1).first!
        if tag == 0 { body(i, .null); continue }
        guard tag == 1 else { throw broken() }
      }
      switch type {
      case .string: body(i, .string(String(decoding: try text(), as: UTF8.self)))
      case .binary: body(i, .binary(Array(try text())))
      case .bool: body(i, .bool(try take(1).first! == 1))
      case .int64: body(i, .int64(Int64(bitPattern: UInt64(try number(8)) ^ 1 << 63)))
      case .timestamp: body(i, .timestamp(Int64(bitPattern: UInt64(try number(8)) ^ 1 << 63)))
      case .double:
        let bits = UInt64(try number(8))
        body(i, .double(Double(bitPattern: bits >> 63 == 1 ? bits ^ 1 << 63 : ~bits)))
      case .decimal(let precision, let scale):
        body(i, .decimal(Int128(bitPattern: try number(16) ^ 1 << 127), precision: precision, scale: scale))
      case .list, .structure, .map: throw broken()
      }
    }
    guard at == end else { throw broken() }
  }
}

/// The measures of a state row as bytes: a version byte, then each value with a tag.
public enum StateValue {
  private static let version: UInt8 = 1

  public static func encode(_ values: [Literal]) -> [UInt8] {
    var out = ByteWriter()
    begin(&out)
    for value in values { append(value, to: &out) }
    return out.bytes
  }

  /// A row is what ``append(_:to:)`` writes after this.
  public static func begin(_ out: inout ByteWriter) { out.write(version) }

  public static func append(_ value: Literal, to out: inout ByteWriter) {
    switch value {
    case .null: out.write(UInt8(0))
    case .bool(let v):
      out.write(UInt8(1))
      out.write(UInt8(v ? 1 : 0))
    case .int64(let v):
      out.write(UInt8(2))
      out.write(v)
    case .double(let v):
      out.write(UInt8(3))
      out.write(v.bitPattern)
    case .decimal(let v, let precision, let scale):
      out.write(UInt8(4))
      out.write(UInt8(precision))
      out.write(UInt8(scale))
      out.write(v)
    case .string(let v):
      out.write(UInt8(5))
      out.write(v)
    case .binary(let v):
      out.write(UInt8(6))
      out.write(counted: v)
    case .timestamp(let v):
      out.write(UInt8(7))
      out.write(v)
    }
  }

  public static func decode(_ bytes: [UInt8]) throws(WeirError) -> [Literal] {
    var reader = ByteReader(bytes[...], what: "a state row")
    guard try reader.read(UInt8.self) == version else { throw reader.corrupt("unknown version") }
    var values: [Literal] = []
    while !reader.isAtEnd {
      switch try reader.read(UInt8.self) {
      case 0: values.append(.null)
      case 1: values.append(.bool(try reader.read(UInt8.self) != 0))
      case 2: values.append(.int64(try reader.read(Int64.self)))
      case 3: values.append(.double(Double(bitPattern: try reader.read(UInt64.self))))
      case 4:
        let precision = Int(try reader.read(UInt8.self))
        let scale = Int(try reader.read(UInt8.self))
        values.append(.decimal(try reader.read(Int128.self), precision: precision, scale: scale))
      case 5: values.append(.string(try reader.readString()))
      case 6: values.append(.binary(Array(try reader.readCounted())))
      case 7: values.append(.timestamp(try reader.read(Int64.self)))
      default: throw reader.corrupt("unknown kind of value")
      }
    }
    return values
  }
}
