import WeirCore
import WeirOperators

/// Types as a pipeline file writes them: `string!`, `timestamp_ms`, `decimal(12,2)`.
package enum FieldType {
  package static let names = [
    "bool", "int64", "double", "decimal(12,2)", "string", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_us", "timestamp_ns",
    "json",
    "list<string>", "struct<a:int64,b:string>", "map<string,double>",
  ]

  /// The names without parts.
  package static let scalars = names.filter { !$0.contains("(") && !$0.contains("<") }

  /// The name that is probably meant; nil: none is near.
  package static func suggestion(_ text: String) -> String? {
    let word = text.replacing("!", with: "")
    return TypeHabits.name(of: word) ?? nearestName(word, in: names)
  }

  package static func parse(_ name: String, _ text: String) -> Field? {
    let required = text.hasSuffix("!")
    if TypeText.isNested(text) {
      return (try? TypeText.parse(required ? text.dropLast() : text[...])).map { Field(name: name, type: $0, required: required) }
    }
    let word = (required ? String(text.dropLast()) : text).filter { $0 != " " }
    func make(_ type: ColumnType, _ encoding: FieldEncoding = .natural) -> Field {
      Field(name: name, type: type, encoding: encoding, required: required)
    }
    switch word {
    case "bool": return make(.bool)
    case "int64": return make(.int64)
    case "double": return make(.double)
    case "string": return make(.string)
    case "json": return make(.string, .json)
    case "timestamp": return make(.timestamp)
    case "timestamp_s": return make(.timestamp, .seconds)
    case "timestamp_ms": return make(.timestamp, .milliseconds)
    case "timestamp_us": return make(.timestamp, .microseconds)
    case "timestamp_ns": return make(.timestamp, .nanoseconds)
    default:
      guard word.hasPrefix("decimal("), word.hasSuffix(")") else { return nil }
      let parts = word.dropFirst(8).dropLast().split(separator: ",").map { Int($0) }
      guard parts.count == 2, let p = parts[0], let s = parts[1], (1...38).contains(p), (0...p).contains(s) else { return nil }
      return make(.decimal(precision: p, scale: s))
    }
  }
}
