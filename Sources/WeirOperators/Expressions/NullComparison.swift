import WeirCore

extension Expr {
  /// A comparison with null in it, which is null for every record, and what is probably meant instead; nil: nothing evident.
  package var nullComparison: (text: String, instead: String?)? {
    // Of two nulls nothing else is meant.
    if case .compare(let comparison, let a, let b) = node, a.isNullLiteral != b.isNullLiteral {
      let other = a.isNullLiteral ? b : a
      if case .literal = other.node { return (text, nil) }
      return (text, Build.isNull(other, isNot: comparison == .notEqual))
    }
    if isNullIf { return nil }
    for child in node.children { if let found = child.nullComparison { return found } }
    return nil
  }

  /// `nullif(x, null)`: it compares, and means x.
  private var isNullIf: Bool {
    guard case .when(let branches, let otherwise) = node, branches.count == 1, branches[0].value.isNullLiteral else { return false }
    guard case .compare(.equal, let a, _) = branches[0].condition.node else { return false }
    return otherwise == a
  }

  private var isNullLiteral: Bool { if case .literal(.null) = node { true } else { false } }
}
