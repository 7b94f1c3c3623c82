import WeirCore

/// Collects the values of one field over a block, at fixed places: row `r` is written to place `r`.
struct FieldSink {
  let required: Bool
  private let field: Field
  private let unit: Int64
  private var bools: [Bool] = []
  private var ints: [Int64] = []
  private var doubles: [Double] = []
  private var decimals: [Int128] = []
  private var strings: [StringRef] = []
  private var valid: [Bool] = []
  private var validCount = 0
  private var arena: Arena?

  init(_ field: Field) {
    self.field = field
    required = field.required
    switch field.encoding {
    case .natural: unit = 0
    case .seconds: unit = 1_000_000
    case .milliseconds: unit = 1000
    case .microseconds: unit = 1
    }
  }

  mutating func begin(rows: Int) {
    valid = [Bool](repeating: false, count: rows)
    validCount = 0
    arena = nil
    switch field.type {
    case .bool: bools = [Bool](repeating: false, count: rows)
    case .int64, .timestamp: ints = [Int64](repeating: 0, count: rows)
    case .double: doubles = [Double](repeating: 0, count: rows)
    case .decimal: decimals = [Int128](repeating: 0, count: rows)
    case .string, .binary: strings = [StringRef](repeating: .empty, count: rows)
    }
  }

  @inline(__always) func isValid(_ row: Int) -> Bool { valid[row] }

  /// Makes the row null again: its record was rejected behind this field.
  mutating func clear(_ row: Int) {
    guard valid[row] else { return }
    valid[row] = false
    validCount -= 1
    switch field.type {
    case .bool: bools[row] = false
    case .int64, .timestamp: ints[row] = 0
    case .double: doubles[row] = 0
    case .decimal: decimals[row] = 0
    case .string, .binary: strings[row] = .empty
    }
  }

  mutating func finish(rows: Int, text: TextBuffer) -> Column {
    let values: Column.Values =
      switch field.type {
      case .bool: .bool(bools)
      case .int64, .timestamp: .int64(ints)
      case .double: .double(doubles)
      case .decimal: .decimal(decimals)
      case .string, .binary: .string(strings)
      }
    var owners: [any AnyObject & Sendable] = []
    if field.type == .string { owners = arena.map { [text, $0] } ?? [text] }
    defer { (bools, ints, doubles, decimals, strings) = ([], [], [], [], []) }
    return Column(type: field.type, values: values, validity: validCount == rows ? nil : valid, owners: owners)
  }

  // MARK: Values

  /// Reads the value that begins at `scanner.at`. A repeated key overwrites: the last one counts.
  @inline(__always)
  mutating func read(_ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) {
    let c = scanner.at.pointee
    if c == 0x6E {
      try scanner.null()
      clear(row)
      return
    }
    switch field.type {
    case .string, .binary:
      guard c == 0x22 else { throw mismatch(&scanner) }
      let text = try scanner.string()
      strings[row] = text.hasEscapes ? try unescape(text) : StringRef(start: text.start, count: text.count)
    case .timestamp where unit == 0:
      guard c == 0x22 else { throw mismatch(&scanner) }
      ints[row] = try timestamp(&scanner)
    case .bool: try bool(&scanner, c, row)
    default:
      guard c == 0x2D || c &- 0x30 < 10 else { throw mismatch(&scanner) }
      try number(&scanner, row)
    }
    if !valid[row] {
      valid[row] = true
      validCount += 1
    }
  }

  private mutating func bool(_ scanner: inout JSONScanner, _ c: UInt8, _ row: Int) throws(DecodeError) {
    if c == 0x74 {
      try scanner.true()
      bools[row] = true
    } else if c == 0x66 {
      try scanner.false()
      bools[row] = false
    } else {
      throw mismatch(&scanner)
    }
  }

  @inline(__always)
  private mutating func number(_ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) {
    let start = scanner.at
    let number = try scanner.number()
    switch field.type {
    case .int64:
      guard let value = FieldValues.int64(number) else { throw inexact(number, "no int64", start) }
      ints[row] = value
    case .timestamp:
      guard let value = FieldValues.timestamp(number, unit: unit) else { throw inexact(number, "no time of the years 1 to 9999", start) }
      ints[row] = value
    case .double:
      guard let value = FieldValues.double(number) else { throw inexact(number, "beyond the largest double", start) }
      doubles[row] = value
    case .decimal(let precision, let scale):
      guard let value = FieldValues.exact(number, scale: scale), value.magnitude < FieldValues.powers[precision].magnitude else {
        throw inexact(number, "not exact as \(field.type.name)", start)
      }
      decimals[row] = value
    default: throw mismatch(&scanner)
    }
  }

  private mutating func unescape(_ text: JSONScanner.Text) throws(DecodeError) -> StringRef {
    if arena == nil { arena = Arena() }
    return try JSONScanner.unescape(text, into: arena!)
  }

  private mutating func timestamp(_ scanner: inout JSONScanner) throws(DecodeError) -> Int64 {
    let start = scanner.at
    let text = try scanner.string()
    let bytes = text.hasEscapes ? try unescape(text) : StringRef(start: text.start, count: text.count)
    let (value, reason) = FieldValues.timestamp(bytes.start, bytes.count)
    guard let value else { throw DecodeError(reason: "field \(field.name): \(reason)", at: start) }
    return value
  }

  // MARK: Errors

  private func inexact(_ number: JSONScanner.Number, _ why: String, _ at: UnsafePointer<UInt8>) -> DecodeError {
    let text = String(decoding: UnsafeBufferPointer(start: number.start, count: min(number.count, 40)), as: UTF8.self)
    return DecodeError(reason: "field \(field.name): \(text) is \(why)", at: at)
  }

  /// The grammar is looked at first: broken JSON is told as such.
  private func mismatch(_ scanner: inout JSONScanner) -> DecodeError {
    let start = scanner.at
    do { try scanner.skipValue() } catch { return error }
    return DecodeError(
      reason: "field \(field.name): expected \(expected), found \(FieldSink.kind(start.pointee))", at: start)
  }

  private var expected: String {
    switch field.type {
    case .timestamp: unit == 0 ? "a timestamp string" : "a timestamp number"
    default: field.type.name
    }
  }

  static func kind(_ first: UInt8) -> String {
    switch first {
    case 0x22: "a string"
    case 0x7B: "an object"
    case 0x5B: "an array"
    case 0x74, 0x66: "a bool"
    case 0x6E: "null"
    default: "a number"
    }
  }
}
