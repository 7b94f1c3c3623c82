import WeirCore

extension Expr {
  /// A comparison with null in it, which is null for every record, and what is probably meant instead.
  public var nullComparison: (text: String, instead: String)? {
    if case .compare(let comparison, let a, let b) = node, let value = a.isNullLiteral ? b : b.isNullLiteral ? a : nil {
      return (text, Build.isNull(value, isNot: comparison == .notEqual))
    }
    for child in node.children { if let found = child.nullComparison { return found } }
    return nil
  }

  private var isNullLiteral: Bool { if case .literal(.null) = node { true } else { false } }
}
