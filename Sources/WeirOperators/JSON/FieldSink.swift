import WeirCore

/// Collects the values of one field over a block, at fixed places: row `r` is written to place `r`.
///
/// It writes through pointers into memory of its own, which serves block after block; a column gets a copy. An array's element
/// would cost a look at its reference count and bounds for each of some ten values a record.
///
/// Nor may it hold a reference, of which the compiler makes copies: what is needed seldom is behind an unmanaged one.
struct FieldSink {
  /// What only errors, escapes and nested types need.
  private final class Rest {
    let name: String
    let type: ColumnType
    /// Of the block: strings that had escapes, nested values.
    var arena: Arena?
    /// Of a nested type.
    let nested: NestedJSON?
    /// Of a field whose values may be texts.
    let text: TextValue?

    init(_ field: Field) {
      (name, type) = (field.name, field.type)
      nested = field.type.isNested ? NestedJSON(field) : nil
      text = field.isCoerced ? TextValue(field) : nil
    }
  }

  /// The column's type without references.
  private enum Kind {
    case bool, int64, double, string, timestamp, nested
    /// Any value's text as it is written.
    case json
    /// Read from text, whatever the type.
    case coerced
    case decimal(scale: Int)

    init(_ type: ColumnType) {
      switch type {
      case .bool: self = .bool
      case .int64: self = .int64
      case .double: self = .double
      case .string, .binary: self = .string
      case .timestamp: self = .timestamp
      case .decimal(_, let scale): self = .decimal(scale: scale)
      case .list, .structure, .map: self = .nested
      }
    }
  }

  let required: Bool
  /// False: values are checked, and no column is made of them.
  private let isRead: Bool
  private let rest: Unmanaged<Rest>
  private let kind: Kind
  /// The form of the column, which ``kind`` does not have for a field that is read from text.
  private let stored: Kind
  private let unit: Int64
  /// Unscaled decimals are below this.
  private let limit: UInt128
  /// Room for `capacity` values of the type, and whether each is one.
  private var values: UnsafeMutableRawPointer
  private var valid: UnsafeMutablePointer<Bool>
  private var capacity = 0
  private var validCount = 0

  init(_ field: Field, isRead: Bool = true) {
    self.isRead = isRead
    rest = .passRetained(Rest(field))
    required = field.required
    stored = Kind(field.type)
    kind = field.isCoerced ? .coerced : field.encoding == .json ? .json : stored
    switch field.encoding {
    case .natural, .json, .rescued: unit = 0
    case .seconds: unit = 1_000_000
    case .milliseconds: unit = 1000
    case .microseconds, .nanoseconds: unit = 1
    }
    if case .decimal(let precision, _) = field.type { limit = FieldValues.powers[precision].magnitude } else { limit = 0 }
    values = UnsafeMutableRawPointer(UnsafeMutablePointer<UInt8>.allocate(capacity: 1))
    valid = .allocate(capacity: 1)
  }

  /// Frees all that it holds: it is of no use afterwards.
  func destroy() {
    free()
    rest.release()
  }

  private func free() {
    values.deallocate()
    valid.deallocate()
  }

  private var valueBytes: Int {
    switch stored {
    case .bool: 1
    case .int64, .timestamp, .double: 8
    case .decimal: MemoryLayout<Int128>.size
    case .string, .nested, .coerced, .json: MemoryLayout<StringRef>.stride
    }
  }

  mutating func begin(rows: Int) {
    if rows > capacity {
      free()
      values = .allocate(byteCount: rows * valueBytes, alignment: 16)
      valid = .allocate(capacity: rows)
      capacity = rows
    }
    valid.initialize(repeating: false, count: rows)
    validCount = 0
    rest._withUnsafeGuaranteedRef { $0.arena = nil }
  }

  @inline(__always) func isValid(_ row: Int) -> Bool { valid[row] }

  @inline(__always)
  private func set<T>(_ value: T, _ row: Int) { values.assumingMemoryBound(to: T.self)[row] = value }

  /// Makes the row null again: its record was rejected after this field.
  mutating func clear(_ row: Int) {
    guard valid[row] else { return }
    valid[row] = false
    validCount -= 1
  }

  /// - Parameters:
  ///   - text: holds what strings without escapes refer to.
  ///   - valid: the records that are; no other has a value left here.
  mutating func finish(rows: Int, text: [any AnyObject & Sendable], valid records: [Bool]) -> Column {
    let type = type
    guard isRead else { return Column(type: type, values: .none(of: type)) }
    let isWhole = validCount == rows
    func array<T>(_ none: T) -> [T] {
      let all = values.assumingMemoryBound(to: T.self)
      if !isWhole { for row in 0..<rows where !valid[row] { all[row] = none } }
      return Array(UnsafeBufferPointer(start: all, count: rows))
    }
    let column: Column.Values =
      switch stored {
      case .bool: .bool(array(false))
      case .int64, .timestamp: .int64(array(0))
      case .double: .double(array(0))
      case .decimal: .decimal(array(0))
      case .string, .nested, .coerced, .json: .string(array(.empty))
      }
    var owners: [any AnyObject & Sendable] = []
    switch stored {
    case .string: owners = rest.takeUnretainedValue().arena.map { text + [$0] } ?? text
    case .nested: owners = rest.takeUnretainedValue().arena.map { [$0] } ?? []
    default: break
    }
    // A required field has a value in each valid record.
    let validity = isWhole ? nil : required ? records : Array(UnsafeBufferPointer(start: valid, count: rows))
    return Column(type: type, values: column, validity: validity, owners: owners)
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
    switch kind {
    case .string:
      guard c == 0x22 else { throw mismatch(&scanner) }
      let text = try scanner.string()
      set(text.hasEscapes ? try unescape(text) : StringRef(start: text.start, count: text.count), row)
    case .timestamp where unit == 0:
      guard c == 0x22 else { throw mismatch(&scanner) }
      set(try timestamp(&scanner), row)
    case .bool: try bool(&scanner, c, row)
    case .nested: set(try nested(&scanner), row)
    case .coerced: try coerced(&scanner, c, row)
    case .json:
      let start = scanner.at
      try scanner.skipValue()
      set(StringRef(start: start, count: scanner.at - start), row)
    default:
      if c == 0x2D || c &- 0x30 < 10 {
        try number(&scanner, row)
      } else if c == 0x22, case .timestamp = kind {
        set(try epochText(&scanner), row)
      } else {
        throw mismatch(&scanner)
      }
    }
    if !valid[row] {
      valid[row] = true
      validCount += 1
    }
  }

  private mutating func bool(_ scanner: inout JSONScanner, _ c: UInt8, _ row: Int) throws(DecodeError) {
    if c == 0x74 {
      try scanner.true()
      set(true, row)
    } else if c == 0x66 {
      try scanner.false()
      set(false, row)
    } else {
      throw mismatch(&scanner)
    }
  }

  @inline(__always)
  private mutating func number(_ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) {
    let start = scanner.at
    let number = try scanner.number()
    switch kind {
    case .int64:
      guard let value = FieldValues.int64(number) else { throw inexact(number, "not an int64", start) }
      set(value, row)
    case .timestamp:
      guard let value = FieldValues.timestamp(number, unit: unit) else { throw inexact(number, "not in the years 1 to 9999", start) }
      set(value, row)
    case .double:
      guard let value = FieldValues.double(number) else { throw inexact(number, "beyond the largest double", start) }
      set(value, row)
    case .decimal(let scale):
      guard let value = FieldValues.exact(number, scale: scale), value.magnitude < limit else {
        throw inexact(number, "not exact as \(type.name)", start)
      }
      set(value, row)
    default: throw mismatch(&scanner)
    }
  }

  /// A string, or a number or bool as it is written.
  private mutating func coerced(_ scanner: inout JSONScanner, _ c: UInt8, _ row: Int) throws(DecodeError) {
    let start = scanner.at
    var text: StringRef
    switch c {
    case 0x22:
      let string = try scanner.string()
      text = string.hasEscapes ? try unescape(string) : StringRef(start: string.start, count: string.count)
    case 0x7B, 0x5B: throw mismatch(&scanner)
    default:
      try scanner.skipValue()
      text = StringRef(start: start, count: scanner.at - start)
    }
    guard let reader = rest.takeUnretainedValue().text else { preconditionFailure("a field that is read from text has its reader") }
    do { try reader.read(text, into: &self, row) } catch { throw DecodeError(reason: error.reason, at: start) }
  }

  private func nested(_ scanner: inout JSONScanner) throws(DecodeError) -> StringRef {
    let rest = rest.takeUnretainedValue()
    guard let nested = rest.nested else { preconditionFailure("a nested type has its reader") }
    let arena = rest.arena ?? Arena()
    rest.arena = arena
    return try nested.read(&scanner, into: arena)
  }

  private func unescape(_ text: JSONScanner.Text) throws(DecodeError) -> StringRef {
    let rest = rest.takeUnretainedValue()
    let arena = rest.arena ?? Arena()
    rest.arena = arena
    return try JSONScanner.unescape(text, into: arena)
  }

  private func timestamp(_ scanner: inout JSONScanner) throws(DecodeError) -> Int64 {
    let start = scanner.at
    let text = try scanner.string()
    let bytes = text.hasEscapes ? try unescape(text) : StringRef(start: text.start, count: text.count)
    let (value, reason) = FieldValues.timestamp(bytes.start, bytes.count)
    guard let value else { throw DecodeError(reason: "field \(name): \(reason)", at: start) }
    return value
  }

  /// A number since 1970 in a string.
  private func epochText(_ scanner: inout JSONScanner) throws(DecodeError) -> Int64 {
    let start = scanner.at
    let text = try scanner.string()
    let bytes = text.hasEscapes ? try unescape(text) : StringRef(start: text.start, count: text.count)
    var inner = JSONScanner(at: bytes.start, end: bytes.start + bytes.count)
    let first = bytes.count > 0 ? bytes.start.pointee : 0
    guard first == 0x2D || first &- 0x30 < 10, let number = try? inner.number(), number.count == bytes.count else {
      let shown = bytes.description.shortened(toBytes: 40)
      throw DecodeError(
        reason: "field \(name): '\(shown)' is not a number of \(unitName) since 1970; a date as text is a timestamp", at: start)
    }
    guard let value = FieldValues.timestamp(number, unit: unit) else { throw inexact(number, "not in the years 1 to 9999", start) }
    return value
  }

  private var unitName: String { unit == 1 ? "microseconds" : unit == 1000 ? "milliseconds" : "seconds" }

  // MARK: Values of other codecs

  /// A value of the type's physical form (see ``ColumnType``). Strings are bytes of the block's text, well-formed UTF-8.
  @inline(__always)
  mutating func put<T>(_ value: T, _ row: Int) {
    set(value, row)
    guard !valid[row] else { return }
    valid[row] = true
    validCount += 1
  }

  /// The nested value that was built.
  mutating func putNested(_ value: NestedBuilder, _ row: Int) {
    let rest = rest.takeUnretainedValue()
    let arena = rest.arena ?? Arena()
    rest.arena = arena
    put(value.finish(into: arena), row)
  }

  /// A string that is not in the text.
  mutating func put(text: String, _ row: Int) {
    let rest = rest.takeUnretainedValue()
    let arena = rest.arena ?? Arena()
    rest.arena = arena
    put(arena.copy(text), row)
  }

  /// A string that is somewhere else.
  mutating func put(copyOf bytes: UnsafeBufferPointer<UInt8>, _ row: Int) {
    let rest = rest.takeUnretainedValue()
    let arena = rest.arena ?? Arena()
    rest.arena = arena
    put(arena.copy(bytes), row)
  }

  // MARK: Errors

  private var name: String { rest.takeUnretainedValue().name }

  private func inexact(_ number: JSONScanner.Number, _ why: String, _ at: UnsafePointer<UInt8>) -> DecodeError {
    let text = String(decoding: UnsafeBufferPointer(start: number.start, count: min(number.count, 40)), as: UTF8.self)
    return DecodeError(reason: "field \(name): \(text) is \(why)", at: at)
  }

  /// The grammar is checked first: broken JSON is reported as such.
  private func mismatch(_ scanner: inout JSONScanner) -> DecodeError {
    let start = scanner.at
    do { try scanner.skipValue() } catch { return error }
    let kind = FieldSink.kind(start.pointee)
    let hint = type == .timestamp && unit == 0 && kind == "a number" ? " (numbers are timestamp_s, timestamp_ms or timestamp_us)" : ""
    return DecodeError(reason: "field \(name): expected \(expected), found \(kind)\(hint)", at: start)
  }

  private var type: ColumnType { rest.takeUnretainedValue().type }

  private var expected: String {
    switch type {
    case .timestamp: unit == 0 ? "a timestamp string" : "a timestamp number"
    default: type.name
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
