import WeirCore

/// The rules of types: what goes with what, and what comes out.
enum Typing {
  /// The type that both sides take in a comparison, `case`, `coalesce`, `in`; nil if they do not go together.
  static func common(_ a: ColumnType, _ b: ColumnType) -> ColumnType? {
    if a.isNested || b.isNested { return nil }
    if a == b { return a }
    switch (a, b) {
    case (.double, let other) where other.isNumeric, (let other, .double) where other.isNumeric: return .double
    case (.int64, .decimal(let p, let s)), (.decimal(let p, let s), .int64): return decimal(max(p - s, 19), s)
    case (.decimal(let p, let s), .decimal(let q, let t)): return decimal(max(p - s, q - t), max(s, t))
    case (.string, .binary), (.binary, .string): return .binary
    default: return nil
    }
  }

  private static func decimal(_ whole: Int, _ scale: Int) -> ColumnType { .decimal(precision: min(38, whole + scale), scale: scale) }

  /// Types of both operands and of the result; nil if the operator does not take them.
  static func arithmetic(_ op: Expr.Arithmetic, _ a: ColumnType, _ b: ColumnType) -> (ColumnType, ColumnType, ColumnType)? {
    guard a.isNumeric, b.isNumeric else { return nil }
    if a == .double || b == .double || op == .divide { return (.double, .double, .double) }
    if a == .int64, b == .int64 { return (.int64, .int64, .int64) }
    let left = asDecimal(a)
    let right = asDecimal(b)
    if op == .multiply {
      guard left.s + right.s <= 38 else { return nil }
      return (
        .decimal(precision: left.p, scale: left.s), .decimal(precision: right.p, scale: right.s),
        .decimal(precision: min(38, left.p + right.p), scale: left.s + right.s)
      )
    }
    guard let both = common(.decimal(precision: left.p, scale: left.s), .decimal(precision: right.p, scale: right.s)),
      case .decimal(let p, let s) = both
    else { return nil }
    return (both, both, op == .remainder ? both : .decimal(precision: min(38, p + 1), scale: s))
  }

  private static func asDecimal(_ t: ColumnType) -> (p: Int, s: Int) {
    if case .decimal(let p, let s) = t { return (p, s) }
    return (19, 0)
  }
}
