import WeirCore

/// Operands that stand more than once in an expression: `between` is two comparisons of one value, `case x when` has a comparison for each
/// branch, and `nullif` compares a value and then is it. They are found by their texts, which are the same where the meaning is.
enum Shared {
  /// Of `x >= low and x <= high`; nil: it is something else, or costs nothing.
  static func ofBetween(_ a: Expr, _ b: Expr) -> Expr? {
    guard case .compare(.greaterOrEqual, let x, _) = a.node, case .compare(.lessOrEqual, let y, _) = b.node else { return nil }
    return worthwhile(x, y)
  }

  /// Of `case x when …`, and of `nullif`, which is `case when x = y then null else x end`.
  static func ofCase(_ branches: [Expr.When], _ otherwise: Expr?) -> Expr? {
    guard case .compare(.equal, let x, _)? = branches.first?.condition.node else { return nil }
    if branches.count == 1 { return otherwise.flatMap { worthwhile(x, $0) } }
    guard case .compare(.equal, let y, _) = branches[1].condition.node else { return nil }
    return worthwhile(x, y)
  }

  /// Both without the casts that the compiler put around them, if they are one.
  private static func worthwhile(_ a: Expr, _ b: Expr) -> Expr? {
    let (x, y) = (plain(a), plain(b))
    switch x.node {
    case .column, .literal: return nil
    default: return x.type == y.type && x.text == y.text ? x : nil
    }
  }

  private static func plain(_ e: Expr) -> Expr {
    guard case .cast(let inner, false) = e.node, e.text == inner.text else { return e }
    return plain(inner)
  }
}

extension Evaluation {
  func nullIf(_ a: Expr, _ b: Expr) -> Vector {
    let same = Expr(node: .compare(.equal, Build.coerce(a, b.type), b), type: .bool, text: "")
    let none = Expr(node: .literal(.null), type: a.type, text: "null")
    return sharing(a) { caseWhen([Expr.When(condition: same, value: none)], a, a.type) }
  }
}

extension ExprEvaluator {
  /// How many nodes are computed for a block: what an expression costs.
  package func steps(_ inputs: [Column?], count: Int) -> Int {
    let evaluation = Evaluation(inputs: inputs, count: count)
    return withExtendedLifetime(evaluation.run(expr)) { evaluation.steps }
  }
}
