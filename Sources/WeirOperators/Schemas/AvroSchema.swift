import WeirCore

/// Why a schema cannot be used.
struct SchemaError: Error {
  /// Bytes of one name, or another text, that a schema gives to a reason.
  static let nameBytesMax = 200
  /// Bytes of a reason, whatever it names.
  static let reasonBytesMax = 1000

  let reason: String
  init(_ reason: String) { self.reason = reason.shortened(toBytes: SchemaError.reasonBytesMax) }

  /// A text of a schema, as a reason shows it.
  static func shown(_ text: String) -> String { text.shortened(toBytes: nameBytesMax) }
}

/// An Avro schema, parsed: types as a table, so that a type may hold itself.
///
/// Source: https://avro.apache.org/docs/1.12.0/specification/ (schema declaration, names, logical types). A logical type that does
/// not fit its type, or that is unknown, is ignored, as the specification says.
struct AvroSchema {
  indirect enum Kind {
    case null, boolean, int, long, float, double, bytes, string
    case fixed(Int)
    case symbols([String])
    case array(Int)
    case map(Int)
    case union([Int])
    case record([(name: String, type: Int)])
  }

  enum Logical: Equatable {
    case date
    /// Divided by this, the value is in seconds.
    case time(unitsPerSecond: Int64)
    /// The local ones have no zone and are taken as UTC.
    case timestamp(unitsPerSecond: Int64)
    case decimal(scale: Int)
    case uuid
  }

  struct Node {
    var kind: Kind
    var logical: Logical?
    /// For messages: `long (timestamp-millis)`, `record Order`; bounded.
    var name: String
    /// Its values take no bytes. A small schema may hold such types within types without end: two records of two records of … of nulls.
    var isEmpty = false

    var isLong: Bool { if case .long = kind { true } else { false } }
  }

  private(set) var nodes: [Node] = []
  private(set) var root = 0
  private var named: [String: Int] = [:]

  /// Types of one schema, its references included.
  private static let nodesMax = 10_000
  private static let depthMax = 64

  init(_ registered: RegisteredSchema) throws(SchemaError) {
    for reference in registered.references { _ = try parse(text: reference.schema) }
    root = try parse(text: registered.schema)
    markEmpty()
  }

  /// Until nothing changes: mostly twice, since what a record holds comes after it.
  private mutating func markEmpty() {
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for i in nodes.indices.reversed() where !nodes[i].isEmpty {
        let isEmpty =
          switch nodes[i].kind {
          case .null, .fixed(0): true
          case .record(let fields): fields.allSatisfy { nodes[$0.type].isEmpty }
          default: false
          }
        guard isEmpty else { continue }
        nodes[i].isEmpty = true
        hasChanged = true
      }
    }
  }

  private mutating func parse(text: String) throws(SchemaError) -> Int {
    let value: JSONValue
    do { value = try JSONValue(parsing: text.utf8) } catch {
      // A primitive type may be written without quotes as the whole schema.
      guard AvroSchema.isName(text) else { throw SchemaError("the schema is not valid JSON: \(error.description)") }
      value = .string(text)
    }
    return try type(value, namespace: "", depth: 0)
  }

  /// Names with dots between, as the specification has them.
  private static func isName(_ text: String) -> Bool {
    text.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A) || $0 == 0x5F || $0 == 0x2E }
  }

  private mutating func add(_ kind: Kind, _ name: String, _ logical: Logical? = nil) throws(SchemaError) -> Int {
    guard nodes.count < AvroSchema.nodesMax else { throw SchemaError("the schema has more than \(AvroSchema.nodesMax) types") }
    nodes.append(Node(kind: kind, logical: logical, name: SchemaError.shown(name)))
    return nodes.count - 1
  }

  private mutating func type(_ value: JSONValue, namespace: String, depth: Int) throws(SchemaError) -> Int {
    guard depth < AvroSchema.depthMax else { throw SchemaError("the schema is nested too deep") }
    switch value {
    case .string(let name): return try reference(name, namespace)
    case .array(let branches):
      var types: [Int] = []
      for branch in branches { types.append(try type(branch, namespace: namespace, depth: depth + 1)) }
      return try add(.union(types), "union")
    case .object: return try complex(value, namespace: namespace, depth: depth)
    default: throw SchemaError("a type is neither a name, a list nor an object")
    }
  }

  private static func primitive(_ name: String) -> Kind? {
    switch name {
    case "null": .null
    case "boolean": .boolean
    case "int": .int
    case "long": .long
    case "float": .float
    case "double": .double
    case "bytes": .bytes
    case "string": .string
    default: nil
    }
  }

  private mutating func reference(_ name: String, _ namespace: String) throws(SchemaError) -> Int {
    if let primitive = AvroSchema.primitive(name) { return try add(primitive, name) }
    if let known = named[AvroSchema.fullName(name, namespace)] ?? named[name] { return known }
    throw SchemaError("the schema has no type \(SchemaError.shown(name))")
  }

  private static func fullName(_ name: String, _ namespace: String) -> String {
    name.contains(".") || namespace.isEmpty ? name : namespace + "." + name
  }

  private mutating func complex(_ value: JSONValue, namespace: String, depth: Int) throws(SchemaError) -> Int {
    guard let kind = value["type"] else { throw SchemaError("a type without \"type\"") }
    guard let word = kind.string else { return try type(kind, namespace: namespace, depth: depth + 1) }
    switch word {
    case "array":
      guard let items = value["items"] else { throw SchemaError("an array without items") }
      return try add(.array(try type(items, namespace: namespace, depth: depth + 1)), "array")
    case "map":
      guard let values = value["values"] else { throw SchemaError("a map without values") }
      return try add(.map(try type(values, namespace: namespace, depth: depth + 1)), "map")
    case "record", "error", "enum", "fixed": return try namedType(word, value, namespace: namespace, depth: depth)
    default:
      guard let primitive = AvroSchema.primitive(word) else { return try reference(word, namespace) }
      let logical = AvroSchema.logical(value, primitive)
      return try add(primitive, logical == nil ? word : "\(word) (\(value["logicalType"]?.string ?? ""))", logical)
    }
  }

  private mutating func namedType(_ word: String, _ value: JSONValue, namespace: String, depth: Int) throws(SchemaError) -> Int {
    guard let name = value["name"]?.string else { throw SchemaError("a \(word) without a name") }
    let full = AvroSchema.fullName(name, value["namespace"]?.string ?? namespace)
    guard named[full] == nil else { throw SchemaError("the type \(SchemaError.shown(full)) is defined twice") }
    let inner = full.lastIndex(of: ".").map { String(full[..<$0]) } ?? ""
    switch word {
    case "enum":
      let symbols = value["symbols"]?.array?.compactMap(\.string) ?? []
      named[full] = try add(.symbols(symbols), "enum \(name)")
    case "fixed":
      guard let size = value["size"]?.int, size >= 0, size <= 1 << 30 else {
        throw SchemaError("the fixed \(SchemaError.shown(full)) has no size")
      }
      let kind = Kind.fixed(Int(size))
      named[full] = try add(kind, "fixed \(name)", AvroSchema.logical(value, kind))
    default:
      // Known before its fields: they may hold it.
      let at = try add(.record([]), "record \(name)")
      named[full] = at
      var fields: [(name: String, type: Int)] = []
      for field in value["fields"]?.array ?? [] {
        guard let name = field["name"]?.string, let type = field["type"] else {
          throw SchemaError("a field of \(SchemaError.shown(full)) without name or type")
        }
        fields.append((name, try self.type(type, namespace: inner, depth: depth + 1)))
      }
      nodes[at].kind = .record(fields)
    }
    return named[full]!
  }

  private static func logical(_ value: JSONValue, _ kind: Kind) -> Logical? {
    switch (value["logicalType"]?.string, kind) {
    case ("date", .int): return .date
    case ("time-millis", .int): return .time(unitsPerSecond: 1000)
    case ("time-micros", .long): return .time(unitsPerSecond: 1_000_000)
    case ("timestamp-millis", .long), ("local-timestamp-millis", .long): return .timestamp(unitsPerSecond: 1000)
    case ("timestamp-micros", .long), ("local-timestamp-micros", .long): return .timestamp(unitsPerSecond: 1_000_000)
    case ("timestamp-nanos", .long), ("local-timestamp-nanos", .long): return .timestamp(unitsPerSecond: 1_000_000_000)
    case ("uuid", .string), ("uuid", .fixed(16)): return .uuid
    case ("decimal", .bytes), ("decimal", .fixed):
      let scale = value["scale"]?.int ?? 0
      guard let precision = value["precision"]?.int, precision > 0, scale >= 0, scale <= precision, scale <= 1000 else { return nil }
      return .decimal(scale: Int(scale))
    default: return nil
    }
  }
}
