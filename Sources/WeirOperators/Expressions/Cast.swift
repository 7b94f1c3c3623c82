import WeirCore

/// Casts, explicit and inserted. A value that has no counterpart is an error of its row, or null for `try_cast`.
struct Cast {
  let count: Int

  func run(_ x: Vector, to type: ColumnType, orNull: Bool) -> Vector {
    if x.type == type { return x }
    let source = x.column(count)
    var errors = x.errors
    var valid = [Bool](repeating: true, count: count)
    let arena = Arena()
    func each<T>(_ zero: T, _ convert: (Int) -> T?) -> [T] {
      (0..<count).map { row in
        guard source.isValid(row) else {
          valid[row] = false
          return zero
        }
        if let value = convert(row) { return value }
        valid[row] = false
        if !orNull { errors[row] = "cannot cast \(Cast.show(source.literal(row))) to \(type.name)" }
        return zero
      }
    }
    let values: Column.Values
    switch type {
    case .bool: values = .bool(each(false) { Cast.bool(source.literal($0)) })
    case .int64: values = .int64(each(0) { Cast.int64(source.literal($0)) })
    case .timestamp: values = .int64(each(0) { Cast.timestamp(source.literal($0)) })
    case .double: values = .double(each(0) { Cast.double(source.literal($0)) })
    case .decimal(let p, let s): values = .decimal(each(0) { Cast.decimal(source.literal($0), p, s) })
    case .string, .binary:
      if case .string(let strings) = source.values {
        values = .string(strings)
      } else {
        values = .string(each(.empty) { arena.copy(Cast.text(source.literal($0))) })
      }
    case .list, .structure, .map: preconditionFailure("a cast to \(type.name): the plan's compiler refuses it")
    }
    let isView = x.type == .string || x.type == .binary
    return Evaluation(inputs: [], count: count).vector(
      type, values, isView && (type == .string || type == .binary) ? source.validity : valid.allSatisfy { $0 } ? nil : valid, errors,
      owners: source.owners + [arena])
  }

  private static func show(_ v: Literal) -> String { "'\(text(v).prefix(40))'" }

  static func text(_ v: Literal) -> String {
    switch v {
    case .null: ""
    case .bool(let b): b ? "true" : "false"
    case .int64(let i): String(i)
    case .double(let d): "\(d)"
    case .decimal(let d, _, let s): DecimalText.text(d, scale: s)
    case .string(let s): s
    case .binary(let b): String(decoding: b, as: UTF8.self)
    case .timestamp(let t): CivilTime.text(ofMicroseconds: t)
    }
  }

  private static func bool(_ v: Literal) -> Bool? {
    switch v {
    case .bool(let b): return b
    case .int64(let i): return i != 0
    case .string(let s):
      switch s.lowercased() {
      case "true": return true
      case "false": return false
      default: return nil
      }
    default: return nil
    }
  }

  /// A number in text, exactly, if the whole text is one: JSON's grammar, and what SQL allows besides, which is spaces around
  /// it, a plus sign, zeros before it.
  private static func number<T>(_ s: String, _ use: (JSONScanner.Number) -> T?) -> T? {
    var text = s.utf8[...]
    let isSpace = { (c: UInt8) in c == 0x20 || (0x09...0x0D).contains(c) }
    while let c = text.first, isSpace(c) { text.removeFirst() }
    while let c = text.last, isSpace(c) { text.removeLast() }
    let isNegative = text.first == 0x2D
    if isNegative || text.first == 0x2B { text.removeFirst() }
    while text.first == 0x30, let next = text.dropFirst().first, (0x30...0x39).contains(next) { text.removeFirst() }
    let count = text.count + (isNegative ? 1 : 0)
    let bytes = (isNegative ? [0x2D] : []) + Array(text) + [UInt8](repeating: 0, count: 16)
    return bytes.withUnsafeBufferPointer { buffer in
      var scanner = JSONScanner(at: buffer.baseAddress!, end: buffer.baseAddress! + count)
      guard !text.isEmpty, text.first != 0x2D, let number = try? scanner.number(), number.count == count else { return nil }
      return use(number)
    }
  }

  private static func int64(_ v: Literal) -> Int64? {
    switch v {
    case .int64(let i): return i
    case .bool(let b): return b ? 1 : 0
    case .double(let d): return Int64(exactly: d.rounded(.toNearestOrEven))
    case .decimal(let d, _, let s): return Int64(exactly: round(d, down: s))
    case .string(let s): return number(s, FieldValues.int64)
    default: return nil
    }
  }

  private static func timestamp(_ v: Literal) -> Int64? {
    guard case .string(let s) = v else { return nil }
    return TimestampText.parse(s).microseconds
  }

  private static func double(_ v: Literal) -> Double? {
    switch v {
    case .double(let d): return d
    case .int64(let i): return Double(i)
    case .decimal(let d, _, let s): return Double(DecimalText.text(d, scale: s))
    case .string(let s): return number(s, FieldValues.double)
    default: return nil
    }
  }

  private static func decimal(_ v: Literal, _ precision: Int, _ scale: Int) -> Int128? {
    let value: Int128?
    switch v {
    case .int64(let i): value = scaled(Int128(i), from: 0, to: scale)
    case .decimal(let d, _, let s): value = scaled(d, from: s, to: scale)
    case .double(let d):
      let x = (d * Double(FieldValues.powers[scale])).rounded(.toNearestOrAwayFromZero)
      value = x.magnitude < 1e38 ? Int128(exactly: x) : nil
    case .string(let s): value = number(s) { FieldValues.exact($0, scale: scale) }
    default: value = nil
    }
    guard let value, value.magnitude < FieldValues.powers[precision].magnitude else { return nil }
    return value
  }

  private static func scaled(_ d: Int128, from: Int, to: Int) -> Int128? {
    if to < from { return round(d, down: from - to) }
    let (value, overflow) = d.multipliedReportingOverflow(by: FieldValues.powers[to - from])
    return overflow ? nil : value
  }

  /// Drops digits, half away from zero.
  private static func round(_ d: Int128, down digits: Int) -> Int128 {
    guard digits > 0 else { return d }
    let unit = FieldValues.powers[digits]
    let (q, r) = d.quotientAndRemainder(dividingBy: unit)
    guard r.magnitude * 2 >= unit.magnitude else { return q }
    return d < 0 ? q - 1 : q + 1
  }
}
