import WeirCore

/// Decimals of different scales. Operands are not cast to one type first: that has no room near 38 digits, where the result has.
extension Evaluation {
  /// An operand at its own scale, with what brings it to the operator's.
  struct Scaled {
    var vector: Vector
    var factor: Int128

    /// Unscaled values at its own scale, an int64 with none.
    var decimals: Vector.Operand<Int128> {
      guard vector.type == .int64 else { return vector.decimals }
      return switch vector.ints {
      case .constant(let v): .constant(Int128(v))
      case .vector(let v): .vector(v.map { Int128($0) })
      }
    }
  }

  /// Evaluates an operand of a decimal type without the cast that the compiler put around it (one that its text does not have).
  func scaled(_ e: Expr) -> Scaled {
    guard case .cast(let inner, false) = e.node, e.text == inner.text, case .decimal(_, let to) = e.type else {
      return Scaled(vector: run(e), factor: 1)
    }
    switch inner.type {
    case .int64: return Scaled(vector: run(inner), factor: FieldValues.powers[to])
    case .decimal(_, let from) where from <= to: return Scaled(vector: run(inner), factor: FieldValues.powers[to - from])
    default: return Scaled(vector: run(e), factor: 1)
    }
  }

  /// - Precondition: one of the factors is 1, as the common scale is that of one side.
  func compare(_ op: Expr.Comparison, _ x: Scaled, _ y: Scaled) -> Vector {
    func values(_ s: Scaled) -> Vector.Operand<Int128> {
      guard s.factor != 1 else { return s.decimals }
      return switch s.decimals {
      case .constant(let v): .constant(Evaluation.saturated(v, s.factor))
      case .vector(let all): .vector(all.map { Evaluation.saturated($0, s.factor) })
      }
    }
    let valid = bothValid(x.vector.validity(count), y.vector.validity(count))
    return bools(compare(op, values(x), values(y)), valid, merge(x.vector, y.vector))
  }

  /// The product, or the nearest Int128, which is beyond any decimal of 38 digits.
  static func saturated(_ v: Int128, _ factor: Int128) -> Int128 {
    let (product, overflow) = v.multipliedReportingOverflow(by: factor)
    return overflow ? (v < 0 ? .min : .max) : product
  }

  /// Add, subtract, multiply and remainder, exact; more digits than the type has are an error where both sides have a value.
  func decimals(_ op: Expr.Arithmetic, _ x: Scaled, _ y: Scaled, _ e: Expr) -> Vector {
    guard case .decimal(let precision, _) = e.type else { preconditionFailure("no decimal: \(e.type.name)") }
    var marks = Marks(bothValid(x.vector.validity(count), y.vector.validity(count)), merge(x.vector, y.vector), count)
    var unknown: [Int] = []
    var row = 0
    let (f, g) = (x.factor, y.factor)
    let out = zipMap(x.decimals, y.decimals, count) { a, b -> Int128 in
      defer { row += 1 }
      if let value = Evaluation.exact(op, a, f, b, g) { return value }
      unknown.append(row)
      return 0
    }
    for row in unknown { marks.mark(row, op == .remainder ? nil : "overflow", e) }
    let bound = FieldValues.powers[precision]
    for i in 0..<count where out[i] >= bound || out[i] <= -bound { marks.mark(i, "more than \(precision) digits", e) }
    return vector(e.type, .decimal(out), marks.valid, marks.errors)
  }

  /// nil: beyond Int128, or a remainder by zero.
  @inline(__always)
  private static func exact(_ op: Expr.Arithmetic, _ a: Int128, _ f: Int128, _ b: Int128, _ g: Int128) -> Int128? {
    let (x, isXWide) = a.multipliedReportingOverflow(by: f)
    let (y, isYWide) = b.multipliedReportingOverflow(by: g)
    if isXWide || isYWide { return wide(op, a, f, b, g) }
    let (value, overflow): (Int128, Bool)
    switch op {
    case .add: (value, overflow) = x.addingReportingOverflow(y)
    case .subtract: (value, overflow) = x.subtractingReportingOverflow(y)
    case .multiply: (value, overflow) = x.multipliedReportingOverflow(by: y)
    case .divide, .remainder:
      guard y != 0 else { return nil }
      (value, overflow) = (y == -1 ? 0 : x % y, false)
    }
    return overflow ? nil : value
  }

  /// With 256 bits.
  private static func wide(_ op: Expr.Arithmetic, _ a: Int128, _ f: Int128, _ b: Int128, _ g: Int128) -> Int128? {
    switch op {
    case .add, .subtract:
      let x = a.multipliedFullWidth(by: f)
      let y = (op == .add ? b : -b).multipliedFullWidth(by: g)
      let (low, carry) = x.low.addingReportingOverflow(y.low)
      let high = x.high &+ y.high &+ (carry ? 1 : 0)
      let value = Int128(truncatingIfNeeded: low)
      return high == value >> 127 ? value : nil
    case .multiply: return nil
    case .divide, .remainder: return wideRemainder(a, f, b, g)
    }
  }

  /// `a·f` modulo `b·g`, with the sign of `a`; one of the factors is 1.
  private static func wideRemainder(_ a: Int128, _ f: Int128, _ b: Int128, _ g: Int128) -> Int128? {
    guard b != 0 else { return nil }
    // The divisor alone is beyond 128 bits, so it is larger.
    if g != 1 { return a }
    let divisor = b.magnitude
    let product = (a.magnitude % divisor).multipliedFullWidth(by: f.magnitude)
    let rest = Int128(divisor.dividingFullWidth((product.high, product.low)).remainder)
    return a < 0 ? -rest : rest
  }

  // MARK: Lists

  /// `x in (…)`: true if one is equal, else null if the list holds a null, else false.
  func inList(_ e: Expr, _ list: LiteralList) -> Vector {
    var x: Vector
    let values: [Bool]
    if case .decimal = e.type {
      let operand = scaled(e)
      x = operand.vector
      let own: Vector.Operand<Int128> =
        switch operand.decimals {
        case .constant(let v): .constant(Evaluation.saturated(v, operand.factor))
        case .vector(let all): .vector(all.map { Evaluation.saturated($0, operand.factor) })
        }
      let items =
        if case .decimals(let sorted) = list.index { sorted } else {
          list.values.compactMap { if case .decimal(let v, _, _) = $0 { v } else { nil } }.sorted()
        }
      values = zipMap(own, .constant(0), count) { v, _ in Evaluation.contains(items, v) }
    } else {
      x = run(e)
      values = hits(x, list)
    }
    var valid = x.validity(count)
    if list.hasNull {
      let before = valid ?? [Bool](repeating: true, count: count)
      valid = (0..<count).map { before[$0] && values[$0] }
    }
    return bools(values, valid, x.errors)
  }

  private func hits(_ x: Vector, _ list: LiteralList) -> [Bool] {
    switch list.index {
    case .ints(let items): return zipMap(x.ints, .constant(0), count) { v, _ in Evaluation.contains(items, v) }
    case .doubles(let items): return zipMap(x.doubles, .constant(0), count) { v, _ in Evaluation.contains(items, v) }
    case .strings(let bytes, let ends):
      return bytes.withUnsafeBufferPointer { bytes in
        zipMap(x.strings(scratch()), .constant(0), count) { v, _ in Evaluation.contains(bytes, ends, v) }
      }
    case .few, .decimals: break
    }
    var values = [Bool](repeating: false, count: count)
    for item in list.values where item != .null {
      let one = compare(.equal, x, Vector(type: x.type, .constant(item)))
      guard case .column(let column) = one.values, case .bool(let hits) = column.values else { continue }
      for i in 0..<count where hits[i] { values[i] = true }
    }
    return values
  }

  private static func contains<T: Comparable>(_ items: [T], _ value: T) -> Bool {
    var (low, high) = (0, items.count)
    while low < high {
      let middle = (low + high) / 2
      if items[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low < items.count && items[low] == value
  }

  private static func contains(_ bytes: UnsafeBufferPointer<UInt8>, _ ends: [Int], _ value: StringRef) -> Bool {
    func item(_ i: Int) -> StringRef {
      let start = i == 0 ? 0 : ends[i - 1]
      guard let base = bytes.baseAddress, ends[i] > start else { return .empty }
      return StringRef(start: base + start, count: ends[i] - start)
    }
    var (low, high) = (0, ends.count)
    while low < high {
      let middle = (low + high) / 2
      if item(middle) < value { low = middle + 1 } else { high = middle }
    }
    return low < ends.count && item(low) == value
  }
}
