import WeirCore
import WeirOperators
import WeirProtocol

/// The columns of a state table, kept next to its rows so that any process can read them.
package enum StateSchema {
  package static func encode(_ spec: StateSpec) -> [UInt8] {
    func columns(_ all: [(String, ColumnType)]) -> JSONValue {
      .array(all.map { .members(["name": .string($0.0), "type": .string($0.1.name)]) })
    }
    return JSONValue.members([
      "by": columns(spec.by.map { ($0.name, $0.expr.type) }), "measure": columns(spec.measures.map { ($0.name, $0.type) }),
    ]).bytes
  }

  /// Names and types of the `by` columns and names of the measures.
  package static func decode(_ bytes: [UInt8], type: (String) -> ColumnType?) -> (by: [ColumnSchema], measures: [String])? {
    guard let value = try? JSONValue(parsing: bytes), let by = value["by"]?.array, let measures = value["measure"]?.array
    else { return nil }
    let columns = by.compactMap { item -> ColumnSchema? in
      guard let name = item["name"]?.string, let type = item["type"]?.string.flatMap(type) else { return nil }
      return ColumnSchema(name, type)
    }
    guard columns.count == by.count else { return nil }
    return (columns, measures.compactMap { $0["name"]?.string })
  }
}
