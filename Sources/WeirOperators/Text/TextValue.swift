import WeirCore

extension Field {
  /// Texts are values of it in every format.
  var isCoerced: Bool { coerce != nil && !type.isNested || encoding == .nanoseconds }
}

/// From text to values of one field: what CSV, lines of text, and JSON with `coerce` share.
///
/// White space around is left out of all types but `string`. Serves one block at a time.
final class TextValue {
  private let name: String
  private let type: ColumnType
  private let encoding: FieldEncoding
  /// Unscaled decimals are below this.
  private let limit: UInt128
  /// Between whole and fraction of a number.
  private let point: UInt8
  private let formats: [TimeFormat]
  private let zone: ZoneClock?
  /// Why no time can be read, whatever its text.
  private let problem: String?

  /// - Parameters:
  ///   - formats: of times, where the field has none of its own.
  ///   - point: between whole and fraction of a number.
  init(_ field: Field, formats: [String]? = nil, point: UInt8 = 0x2E) {
    (name, type, encoding) = (field.name, field.type, field.encoding)
    self.point = point
    if case .decimal(let precision, _) = field.type { limit = FieldValues.powers[precision].magnitude } else { limit = 0 }
    let wanted = field.coerce?.formats ?? formats ?? []
    self.formats = wanted.compactMap { try? TimeFormat($0) }
    let rules = field.coerce?.zone.map { ZoneRules.named($0) }
    zone = rules.flatMap { $0 }.map(ZoneClock.init)
    let isUnknown = rules.map { $0 == nil } ?? false
    problem = isUnknown ? "the time zone database of this machine has no zone \(field.coerce?.zone ?? "")" : nil
  }

  /// - Parameter text: well-formed UTF-8 that lives as long as the block.
  @inline(__always)
  func read(_ text: StringRef, into sink: inout FieldSink, _ row: Int) throws(DecodeError) {
    if case .string = type { return sink.put(text, row) }
    let text = TextValue.trimmed(text)
    switch type {
    case .int64:
      let number = try number(text)
      guard let value = FieldValues.int64(number) else { throw fail(text, "not an int64") }
      sink.put(value, row)
    case .double:
      guard let value = TextNumber.double(try number(text), point: point) else { throw fail(text, "beyond the largest double") }
      sink.put(value, row)
    case .decimal(_, let scale):
      guard let value = FieldValues.exact(try number(text), scale: scale), value.magnitude < limit else {
        throw fail(text, "not exact as \(type.name)")
      }
      sink.put(value, row)
    case .timestamp: sink.put(try timestamp(text), row)
    case .bool:
      guard let value = TextValue.bool(text) else { throw fail(text, "neither true nor false") }
      sink.put(value, row)
    default: throw fail(text, "text, which is not read as \(type.name)")
    }
  }

  @inline(__always)
  static func trimmed(_ text: StringRef) -> StringRef {
    func isSpace(_ c: UInt8) -> Bool { c == 0x20 || c == 0x09 || c == 0x0D || c == 0x0A }
    var (start, count) = (text.start, text.count)
    while count > 0, isSpace(start.pointee) { (start, count) = (start + 1, count - 1) }
    while count > 0, isSpace(start[count - 1]) { count -= 1 }
    return StringRef(start: start, count: count)
  }

  private static func bool(_ text: StringRef) -> Bool? {
    func equals(_ word: StaticString) -> Bool {
      guard text.count == word.utf8CodeUnitCount else { return false }
      for i in 0..<text.count where text.start[i] | 0x20 != word.utf8Start[i] { return false }
      return true
    }
    return equals("true") ? true : equals("false") ? false : nil
  }

  @inline(__always)
  private func number(_ text: StringRef) throws(DecodeError) -> JSONScanner.Number {
    guard let number = TextNumber.scan(text.start, text.count, point: point) else { throw fail(text, "not a number") }
    return number
  }

  // MARK: Times

  private func timestamp(_ text: StringRef) throws(DecodeError) -> Int64 {
    let unit: Int64? =
      switch encoding {
      case .natural, .json, .rescued: nil
      case .seconds: 1_000_000
      case .milliseconds: 1000
      case .microseconds, .nanoseconds: 1
      }
    guard let unit else { return try civil(text) }
    guard var number = TextNumber.scan(text.start, text.count, point: point) else {
      throw fail(text, "not a number of \(encoding.rawValue) since 1970")
    }
    if encoding == .nanoseconds { number.exponent -= 3 }
    guard let value = FieldValues.timestamp(number, unit: unit) else { throw fail(text, "not in the years 1 to 9999") }
    return value
  }

  private func civil(_ text: StringRef) throws(DecodeError) -> Int64 {
    if let problem { throw DecodeError(reason: "field \(name): \(problem)", at: text.start) }
    if formats.isEmpty { return try iso(text) }
    var isWithoutZone = false
    for format in formats {
      guard let time = format.parse(text) else { continue }
      if let offset = time.offset { return try inRange(time.micros - offset * 1_000_000, text) }
      if let zone { return try inRange(zone.utc(time.micros), text) }
      isWithoutZone = true
    }
    if isWithoutZone { throw fail(text, "a time without a zone: set zone") }
    throw fail(text, formats.count == 1 ? "not a time of the form \(formats[0].text)" : "not a time of the \(formats.count) forms")
  }

  private func inRange(_ micros: Int64, _ text: StringRef) throws(DecodeError) -> Int64 {
    guard TimestampText.range.contains(micros) else { throw fail(text, "not in the years 1 to 9999") }
    return micros
  }

  /// Longer texts are no times without a zone.
  private static let localBytesMax = 40

  private func iso(_ text: StringRef) throws(DecodeError) -> Int64 {
    if let zone, text.count <= TextValue.localBytesMax, !TextValue.namesZone(text) {
      let local = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: TextValue.localBytesMax + 8) { copy in
        let at = copy.baseAddress!
        at.update(from: text.start, count: text.count)
        // A date alone is its midnight.
        let tail: StaticString = text.count == 10 ? "T00:00Z" : "Z"
        (at + text.count).update(from: tail.utf8Start, count: tail.utf8CodeUnitCount)
        return FieldValues.timestamp(UnsafePointer(at), text.count + tail.utf8CodeUnitCount)
      }
      guard let value = local.value else { throw reject(local.reason, text) }
      return try inRange(zone.utc(value), text)
    }
    let (value, reason) = FieldValues.timestamp(text.start, text.count)
    guard let value else { throw reject(reason, text) }
    return value
  }

  /// Whether something that can be a zone comes after the time of day.
  private static func namesZone(_ text: StringRef) -> Bool {
    guard text.count > 10 else { return false }
    for i in 11..<text.count {
      let c = text.start[i]
      if c == 0x2B || c == 0x2D || c | 0x20 == 0x7A { return true }
    }
    return false
  }

  // MARK: Errors

  private func fail(_ text: StringRef, _ why: String) -> DecodeError { reject("'\(shown(text))' is \(why)", text) }

  private func reject(_ reason: String, _ text: StringRef) -> DecodeError {
    DecodeError(reason: "field \(name): \(reason)", at: text.start)
  }

  private func shown(_ text: StringRef) -> String {
    StringRef(start: text.start, count: min(text.count, 100)).description.shortened(toBytes: 40)
  }
}
