import WeirCore
import WeirOperators

/// A key from the command line.
package enum KeyArgument {
  /// - Parameters:
  ///   - keys: a text for each `by` column that is not among `nulls`, in their order.
  ///   - nulls: names of `by` columns whose value is null.
  package static func values(_ keys: [String], nulls: [String], _ by: [ColumnSchema], table: String) throws(WeirError) -> [Literal] {
    let names = by.map(\.name)
    for name in nulls where !names.contains(name) {
      throw WeirError(
        .config, "--null \(name): no column of the key of \(table) has this name",
        advice: "Its columns: \(names.joined(separator: ", ")).")
    }
    let given = by.filter { !nulls.contains($0.name) }
    guard keys.count == given.count else {
      let count = given.count == 1 ? "1 value is" : "\(given.count) values are"
      throw WeirError(
        .config, "the key of \(table) has the columns \(names.joined(separator: ", ")): \(count) needed, not \(keys.count)",
        advice: "Give one value per column, in this order; name a column whose key is null with --null COLUMN instead.")
    }
    var rest = keys[...]
    return try by.map { column throws(WeirError) -> Literal in
      guard !nulls.contains(column.name), let text = rest.popFirst() else { return .null }
      guard let value = literal(text, column.type) else {
        throw WeirError(
          .config, "the key column \(column.name) of \(table) is \(column.type.name), and '\(text)' is not",
          advice:
            "Write it in the form that a cast from text accepts, such as \(example(column.type)); for null give --null \(column.name) instead."
        )
      }
      return value
    }
  }

  private static func example(_ type: ColumnType) -> String {
    switch type {
    case .bool: "true"
    case .int64: "42"
    case .double: "4.5"
    case .decimal(_, let scale): scale == 0 ? "42" : "4." + String(repeating: "5", count: scale)
    case .string, .binary, .list, .structure, .map: "abc"
    case .timestamp: "2026-01-31T23:59:59Z"
    }
  }

  /// A `by` value; nil if the text is none of the type. The empty text is null where the type has no empty value.
  static func literal(_ text: String, _ type: ColumnType) -> Literal? {
    if type == .string { return .string(text) }
    if text.isEmpty { return .null }
    let inner = Expr(node: .literal(.string(text)), type: .string, text: "")
    let result = ExprEvaluator(Expr(node: .cast(inner, orNull: true), type: type, text: "")).evaluate([], count: 1)
    let value = result.column.literal(0)
    return value == .null ? nil : value
  }
}
