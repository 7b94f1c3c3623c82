import WeirCore
import WeirPlan

/// A JSON schema (draft 2020-12) of the pipeline language, from the loader's own tables of keys: for editors, and for checkers of files.
///
/// It knows the form of a file. `weir check` knows its meaning, too: columns, types of expressions, names that differ.
package struct PipelineSchema {
  private var definitions: [JSONValue.Member] = []

  /// - Parameter sections: the sources, sinks, formats and tables that a file may name.
  package static func json(_ sections: PlanSections) -> JSONValue {
    var schema = PipelineSchema()
    guard case .object(let root) = schema.mapping(.pipeline(sections)) else { return .null }
    let head = [
      JSONValue.Member("$schema", .string("https://json-schema.org/draft/2020-12/schema")),
      JSONValue.Member("title", .string("Weir pipeline")),
    ]
    let definitions = schema.definitions.sorted { $0.name < $1.name }
    return .object(head + root + [JSONValue.Member("$defs", .object(definitions))])
  }

  /// ``json(_:)`` with a line for each member: what `weir schema` prints.
  package static func text(_ sections: PlanSections) -> String { json(sections).lines() + "\n" }

  // MARK: Mappings

  private mutating func reference(_ table: KeyTable) -> JSONValue {
    if !definitions.contains(where: { $0.name == table.name }) {
      let schema = mapping(table)
      definitions.append(JSONValue.Member(table.name, schema))
    }
    return .members(["$ref": .string("#/$defs/\(table.name)")])
  }

  private mutating func mapping(_ table: KeyTable) -> JSONValue {
    var members = [
      JSONValue.Member("description", .string(table.about)), JSONValue.Member("type", .string("object")),
      JSONValue.Member("properties", .object(table.keys.map { JSONValue.Member($0.name, value(of: $0)) })),
      JSONValue.Member("additionalProperties", .bool(false)),
    ]
    let required = table.keys.filter(\.isRequired).map { JSONValue.string($0.name) }
    if !required.isEmpty { members.append(JSONValue.Member("required", .array(required))) }
    if !table.needs.isEmpty {
      let needs = table.needs.map { JSONValue.Member($0.key, .array($0.value.map { .string($0) })) }
      members.append(JSONValue.Member("dependentRequired", .object(needs)))
    }
    let rules = PipelineSchema.rules(table)
    if !rules.isEmpty { members.append(JSONValue.Member("allOf", .array(rules))) }
    return .object(members)
  }

  private static func rules(_ table: KeyTable) -> [JSONValue] {
    func required(_ keys: [String]) -> JSONValue { .members(["required": .array(keys.map { .string($0) })]) }
    return table.exactlyOne.map { .members(["oneOf": .array($0.map { required([$0]) })]) }
      + table.notTogether.map { .members(["not": required($0)]) }
  }

  private mutating func value(of key: Key) -> JSONValue {
    guard case .object(let members) = schema(key.value) else { return .null }
    let bounds = PipelineSchema.bounds(key.value).map { " From \($0.least) to \($0.most)." } ?? ""
    let about = JSONValue.Member("description", .string(key.about + bounds))
    return .object([about] + members + (key.byDefault.map { [JSONValue.Member("default", PipelineSchema.given($0, key.value))] } ?? []))
  }

  private static func given(_ text: String, _ shape: ValueShape) -> JSONValue {
    if case .truth = shape { return .bool(text == "true") }
    return .string(text)
  }

  private static func bounds(_ shape: ValueShape) -> LiveBounds.Bounds? {
    switch shape {
    case .duration(let bounds), .size(let bounds): bounds
    default: nil
    }
  }

  // MARK: Values

  private mutating func schema(_ shape: ValueShape) -> JSONValue {
    switch shape {
    case .any: .object([])
    case .text: PipelineSchema.scalar
    case .texts(let least): .members(["anyOf": .array([PipelineSchema.scalar, PipelineSchema.list(PipelineSchema.scalar, least)])])
    case .tableName(let dots): PipelineSchema.matching(PipelineSchema.tableName(dots))
    case .fieldType: PipelineSchema.fieldType
    case .choice(let words): PipelineSchema.choice(words)
    case .truth: .members(["enum": .array([.bool(true), .bool(false), .string("true"), .string("false")])])
    case .duration: PipelineSchema.matching("^[0-9.]+\\s*(\(QuantityText.durationUnits.map { $0.name }.joined(separator: "|")))$", "string")
    case .size:
      PipelineSchema.matching("^[0-9.]+\\s*(\(QuantityText.sizeUnits.map { $0.name }.joined(separator: "|")))$", "string", "number")
    case .percent: PipelineSchema.matching("^[0-9.eE+-]+%$", "string")
    case .variable: .members(["anyOf": .array([PipelineSchema.scalar, reference(.variable)])])
    case .secret: reference(.secret)
    case .table(let table): reference(table)
    case .optional(let table): .members(["anyOf": .array([.members(["type": .string("null")]), reference(table)])])
    case .named(let value, let least): named(value, names: nil, least)
    case .tables(let value, let least): named(value, names: PipelineSchema.tableName(false), least)
    case .list(let value): PipelineSchema.list(schema(value))
    case .either(let shapes): .members(["anyOf": .array(shapes.map { schema($0) })])
    }
  }

  private static func list(_ items: JSONValue, _ least: Int = 0) -> JSONValue {
    var members = [JSONValue.Member("type", .string("array")), JSONValue.Member("items", items)]
    if least > 0 { members.append(JSONValue.Member("minItems", .int(Int64(least)))) }
    return .object(members + [JSONValue.Member("maxItems", .int(Int64(PipelineBounds.entriesMax)))])
  }

  private static func named(_ value: JSONValue, _ names: String?, _ least: Int) -> JSONValue {
    var members = [
      JSONValue.Member("type", .string("object")), JSONValue.Member("additionalProperties", value),
      JSONValue.Member("maxProperties", .int(Int64(PipelineBounds.entriesMax))),
    ]
    if least > 0 { members.append(JSONValue.Member("minProperties", .int(Int64(least)))) }
    if let names { members.append(JSONValue.Member("propertyNames", .members(["pattern": .string(names)]))) }
    return .object(members)
  }

  private mutating func named(_ value: ValueShape, names: String?, _ least: Int) -> JSONValue {
    PipelineSchema.named(schema(value), names, least)
  }

  private static let scalar = JSONValue.members(["type": .array(["string", "number", "boolean"].map { .string($0) })])

  private static func tableName(_ dots: Bool) -> String { "^[A-Za-z0-9-][A-Za-z0-9_\(dots ? "." : "")-]{0,199}$" }

  private static func matching(_ pattern: String, _ types: String...) -> JSONValue {
    let names = types.isEmpty ? ["string", "number", "boolean"] : types
    let type = names.count == 1 ? JSONValue.string(names[0]) : .array(names.map { .string($0) })
    return .members(["type": type, "pattern": .string(pattern)])
  }

  /// YAML reads `false` as a truth value.
  private static func choice(_ words: [String]) -> JSONValue {
    .members(["enum": .array(words.map { .string($0) } + (words.contains("false") ? [.bool(false)] : []))])
  }

  private static let fieldType: JSONValue = {
    let words = FieldType.scalars
    let any = "^ *(\(words.joined(separator: "|"))|decimal *\\( *[0-9]+ *, *[0-9]+ *\\)) *!? *$"
    let forms: [JSONValue] = [
      .members(["enum": .array(words.flatMap { [.string($0), .string("\($0)!")] })]), .members(["pattern": .string(any)]),
      .members(["pattern": .string("^\\s*(list|struct|map)\\s*<")]),
    ]
    return .members([
      "type": .string("string"), "anyOf": .array(forms), "examples": .array(FieldType.names.map { .string($0) }),
    ])
  }()
}

extension JSONValue {
  /// With a line for each member and element; deterministic, as ``text``.
  fileprivate func lines(_ indent: String = "") -> String {
    let inner = indent + "  "
    switch self {
    case .object(let members) where !members.isEmpty:
      let lines = members.map { "\(inner)\(JSONValue.string($0.name).text): \($0.value.lines(inner))" }
      return "{\n\(lines.joined(separator: ",\n"))\n\(indent)}"
    case .array(let items) where items.contains { $0.members != nil || $0.array != nil }:
      return "[\n\(items.map { inner + $0.lines(inner) }.joined(separator: ",\n"))\n\(indent)]"
    case .array(let items): return "[\(items.map(\.text).joined(separator: ", "))]"
    default: return text
    }
  }
}
