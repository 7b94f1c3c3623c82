import WeirCore

/// Errors that are there only because of another one: a field with a wrong type is no column for the expressions that use it.
package enum FollowUps {
  /// Those that stand for themselves.
  package static func removed(from all: [Diagnostic]) -> [Diagnostic] {
    let broken = Set(all.compactMap(declared))
    let tables = Set(all.filter { $0.severity == .error && $0.code != "unknown_column" }.compactMap { table($0.message) })
    func isOfBroken(_ diagnostic: Diagnostic) -> Bool {
      unknown(diagnostic).map { broken.contains($0) || broken.contains(String($0.prefix { $0 != "." })) } ?? false
    }
    // Tables that lost a column by that, and perhaps the only one.
    let hit = Set(all.filter(isOfBroken).compactMap { table($0.message) })
    return all.filter { diagnostic in
      if isOfBroken(diagnostic) { return false }
      if diagnostic.message.contains(".by must name at least one column"), table(diagnostic.message).map(hit.contains) == true {
        return false
      }
      // The column may be the one whose expression is wrong.
      let isAboutPartition = diagnostic.code == "unknown_column" && diagnostic.message.contains(".partition_by: ")
      return !(isAboutPartition && table(diagnostic.message).map(tables.contains) == true)
    }
  }

  /// The field or lookup that is declared there, and cannot be used.
  private static func declared(_ diagnostic: Diagnostic) -> String? {
    guard diagnostic.severity == .error, diagnostic.code != "unknown_column" else { return nil }
    for prefix in ["field ", "lookups."] where diagnostic.message.hasPrefix(prefix) {
      return String(diagnostic.message.dropFirst(prefix.count).prefix { $0 != ":" && $0 != "." && $0 != " " })
    }
    return nil
  }

  /// The column or field that is not found.
  private static func unknown(_ diagnostic: Diagnostic) -> String? {
    for words in ["unknown column ", "there is no field "] {
      guard let range = diagnostic.message.range(of: words) else { continue }
      return String(diagnostic.message[range.upperBound...].prefix { $0 != " " && $0 != ":" && $0 != "," && $0 != ";" })
    }
    return nil
  }

  /// `silver` of `silver.columns: …`, `gold.views` of `gold.views.by: …`.
  private static func table(_ message: String) -> String? {
    let parts = message.prefix { $0 != ":" && $0 != " " }.split(separator: ".")
    switch parts.first {
    case "silver", "bronze": return String(parts[0])
    case "gold", "state": return parts.count > 1 ? parts.prefix(2).joined(separator: ".") : nil
    default: return nil
    }
  }
}
