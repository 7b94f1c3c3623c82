import WeirCore

/// Errors that are there only because of another one: a field with a wrong type is no column for the expressions that use it.
package enum FollowUps {
  /// Those that do not follow from another one.
  package static func removed(from all: [Diagnostic]) -> [Diagnostic] {
    let broken = Set(all.compactMap(declared))
    let tables = Set(all.filter { $0.severity == .error && $0.fault != .unknownPartition }.compactMap(table))
    func isOfBroken(_ diagnostic: Diagnostic) -> Bool {
      guard case .unknownColumn(let name)? = diagnostic.fault else { return false }
      return broken.contains(name) || broken.contains(String(name.prefix { $0 != "." }))
    }
    // Tables that lost a column by that, and perhaps the only one.
    let hit = Set(all.filter(isOfBroken).compactMap(table))
    return all.filter { diagnostic in
      switch diagnostic.fault {
      case .unknownColumn: !isOfBroken(diagnostic)
      case .noColumns: table(diagnostic).map(hit.contains) != true
      // The column may be the one whose expression is wrong.
      case .unknownPartition: table(diagnostic).map(tables.contains) != true
      case nil: true
      }
    }
  }

  /// The field or lookup that is declared there, and cannot be used.
  private static func declared(_ diagnostic: Diagnostic) -> String? {
    guard diagnostic.severity == .error, diagnostic.fault == nil, case .declaration(let name)? = diagnostic.part else { return nil }
    return name
  }

  private static func table(_ diagnostic: Diagnostic) -> String? {
    guard case .table(let name)? = diagnostic.part else { return nil }
    return name
  }
}
