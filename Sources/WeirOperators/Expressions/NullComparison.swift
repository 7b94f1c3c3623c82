import WeirCore

extension Expr {
  /// A comparison with null in it, which is null for every record, and what is probably meant instead.
  public var nullComparison: (text: String, instead: String)? {
    // Of two nulls nothing else is meant.
    if case .compare(let comparison, let a, let b) = node, a.isNullLiteral != b.isNullLiteral {
      return (text, Build.isNull(a.isNullLiteral ? b : a, isNot: comparison == .notEqual))
    }
    for child in node.children { if let found = child.nullComparison { return found } }
    return nil
  }

  private var isNullLiteral: Bool { if case .literal(.null) = node { true } else { false } }
}
