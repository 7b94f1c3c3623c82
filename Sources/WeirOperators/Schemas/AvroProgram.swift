import WeirCore

/// How records of one writer schema become the declared fields: made once a schema, run once a record.
///
/// Fields are found by their names, or by the path of names that they declare; what the writer has besides is skipped. A
/// declared field that the writer does not have is null, and if it is required the schema cannot be used: so producers may add
/// fields, and remove those that are not required.
struct AvroProgram {
  indirect enum Step {
    case skip(type: Int)
    /// Only in unions: the fields stay null.
    case none
    case read(field: Int, Conversion)
    case nested(field: Int, NestedStep)
    case record([Step])
    case union([Step])
    /// Only in unions: a branch that does not fit.
    case reject(String)
  }

  /// One value of a list, struct or map.
  indirect enum NestedStep {
    case null
    case scalar(Conversion)
    case list(NestedStep)
    case map(NestedStep)
    case structure([Member], members: Int)
    case union([NestedStep])
    /// Only in unions: a branch that does not fit.
    case reject(String)

    /// A field of the writer's record.
    enum Member {
      case skip(type: Int)
      case read(member: Int, NestedStep)
    }
  }

  /// From the record's type to the column's type.
  enum Conversion {
    case boolean
    /// int and long as they are.
    case integer(isLong: Bool)
    case floatAsDouble, double
    case integerAsDouble(isLong: Bool)
    /// To this number of digits, and this number of digits after the point.
    case integerAsDecimal(precision: Int, scale: Int, isLong: Bool)
    /// Big-endian two's complement of a scale; `fixed`: this number of bytes, else with a length.
    case decimal(fixed: Int?, from: Int, precision: Int, scale: Int)
    /// Multiplied by this number of microseconds, or divided if negative.
    case timestamp(Int64, isLong: Bool)
    case days
    case text
    case textAsTimestamp
    case symbol([String])
    case uuid
    case dateText
    /// `fixed`, or bytes with a length, that are text.
    case bytesAsText(fixed: Int?)
  }

  let schema: AvroSchema
  let step: Step

  /// Which fields are wanted below a place.
  private final class Wanted {
    var field: Int?
    var members: [String: Wanted] = [:]
    var isFound = false
  }

  /// - Throws: why no record of the schema can give the fields.
  init(_ registered: RegisteredSchema, fields: [Field]) throws(SchemaError) {
    guard registered.type == "AVRO" else {
      throw SchemaError("it is a schema of type \(SchemaError.shown(registered.type)), and the pipeline reads Avro")
    }
    schema = try AvroSchema(registered)
    let wanted = Wanted()
    var leaves: [Wanted] = []
    for (number, field) in fields.enumerated() {
      var place = wanted
      for step in field.steps {
        guard case .name(let name) = step else { throw SchemaError("\(field.title): elements of arrays cannot be read") }
        place.members[name] = place.members[name] ?? Wanted()
        place = place.members[name]!
      }
      place.field = number
      leaves.append(place)
    }
    var compiler = Compiler(schema: schema, fields: fields)
    let root = schema.root
    let compiled = Result { () throws(SchemaError) in try compiler.top(root, wanted) }
    // Whatever else is wrong: branches of unions keep their errors to themselves.
    guard compiler.steps <= Compiler.stepsMax else { throw Compiler.tooLarge }
    step = try compiled.get()
    for (field, leaf) in zip(fields, leaves) where field.required && !leaf.isFound {
      throw SchemaError("it has no field \(FieldPath.text(field.steps)), which is required")
    }
  }

  private struct Compiler {
    /// Types by name within types by name multiply: a schema of some kilobytes could be compiled to more than fits into memory.
    static let stepsMax = 20_000
    static let tooLarge = SchemaError("its types within types make more than \(stepsMax) steps for the declared fields")

    let schema: AvroSchema
    let fields: [Field]
    var steps = 0

    private mutating func count() throws(SchemaError) {
      steps += 1
      guard steps <= Compiler.stepsMax else { throw Compiler.tooLarge }
    }

    mutating func top(_ type: Int, _ wanted: Wanted) throws(SchemaError) -> Step {
      switch schema.nodes[type].kind {
      case .record, .union: return try members(type, wanted, "the record")
      default: throw SchemaError("a record is a \(schema.nodes[type].name) there, not a record")
      }
    }

    /// A record, or a union with records.
    private mutating func members(_ type: Int, _ wanted: Wanted, _ place: String) throws(SchemaError) -> Step {
      switch schema.nodes[type].kind {
      case .record(let fields):
        var steps: [Step] = []
        for field in fields {
          try count()
          guard let below = wanted.members[field.name] else {
            steps.append(.skip(type: field.type))
            continue
          }
          steps.append(try self.field(field.type, below, place == "the record" ? field.name : "\(place).\(field.name)"))
        }
        return .record(steps)
      case .union(let branches):
        return try union(branches, place) { compiler, type throws(SchemaError) in try compiler.members(type, wanted, place) }
      case .null: return .none
      default: throw SchemaError("\(place) is a \(schema.nodes[type].name) there, not a record")
      }
    }

    private mutating func field(_ type: Int, _ wanted: Wanted, _ place: String) throws(SchemaError) -> Step {
      wanted.isFound = true
      if let field = wanted.field {
        guard wanted.members.isEmpty else { throw SchemaError("\(place) is declared both as a field and as a parent of one") }
        return try leaf(type, field, place)
      }
      return try members(type, wanted, place)
    }

    private mutating func leaf(_ type: Int, _ field: Int, _ place: String) throws(SchemaError) -> Step {
      switch schema.nodes[type].kind {
      case .null: return .none
      case .union(let branches):
        return try union(branches, place) { compiler, type throws(SchemaError) in try compiler.leaf(type, field, place) }
      default:
        if fields[field].type.isNested { return .nested(field: field, try nested(type, fields[field].type, place)) }
        return .read(field: field, try scalar(type, fields[field], place))
      }
    }

    private func scalar(_ type: Int, _ declared: Field, _ place: String) throws(SchemaError) -> Conversion {
      if let conversion = conversion(schema.nodes[type], declared) { return conversion }
      let hint = declared.type == .timestamp && declared.encoding == .natural ? "; declare timestamp_ms or the like for a plain number" : ""
      throw SchemaError(
        "\(place) is \(schema.nodes[type].name) there, which cannot be read as \(declared.type.name.shortened(toBytes: 200))\(hint)")
    }

    /// A value of a nested type, or one in it.
    private mutating func nested(_ type: Int, _ wanted: ColumnType, _ place: String) throws(SchemaError) -> NestedStep {
      try count()
      switch (schema.nodes[type].kind, wanted) {
      case (.null, _): return .null
      case (.union(let branches), _):
        return .union(
          try self.branches(
            branches, { compiler, type throws(SchemaError) in try compiler.nested(type, wanted, place) }, reject: { .reject($0) }))
      case (.array(let items), .list(let element)): return .list(try nested(items, element, place + "[]"))
      case (.map(let values), .map(let value)): return .map(try nested(values, value, place + "[]"))
      case (.record(let fields), .structure(let members)):
        var steps: [NestedStep.Member] = []
        for field in fields {
          if let member = members.firstIndex(where: { $0.name == field.name }) {
            steps.append(.read(member: member, try nested(field.type, members[member].type, "\(place).\(field.name)")))
          } else {
            try count()
            steps.append(.skip(type: field.type))
          }
        }
        return .structure(steps, members: members.count)
      default: return .scalar(try scalar(type, Field(name: place, type: wanted), place))
      }
    }

    private mutating func union(
      _ branches: [Int], _ place: String, _ branch: (inout Compiler, Int) throws(SchemaError) -> Step
    ) throws(SchemaError) -> Step {
      .union(try self.branches(branches, branch, reject: { .reject($0) }))
    }

    /// Branches that do not fit are found out by the records that take them, unless none fits.
    private mutating func branches<T>(
      _ branches: [Int], _ branch: (inout Compiler, Int) throws(SchemaError) -> T, reject: (String) -> T
    ) throws(SchemaError) -> [T] {
      var steps: [T] = []
      var first: SchemaError?
      var fits = false
      for type in branches {
        do {
          try count()
          steps.append(try branch(&self, type))
          if case .null = schema.nodes[type].kind {} else { fits = true }
        } catch {
          first = first ?? error
          steps.append(reject(error.reason))
        }
      }
      if !fits, let first { throw first }
      return steps
    }

    private func conversion(_ node: AvroSchema.Node, _ field: Field) -> Conversion? {
      switch (field.type, node.kind) {
      case (.bool, .boolean): return .boolean
      case (.int64, .int), (.int64, .long): return .integer(isLong: node.isLong)
      case (.double, .float): return .floatAsDouble
      case (.double, .double): return .double
      case (.double, .int), (.double, .long): return .integerAsDouble(isLong: node.isLong)
      case (.decimal(let precision, let scale), .int), (.decimal(let precision, let scale), .long):
        return .integerAsDecimal(precision: precision, scale: scale, isLong: node.isLong)
      case (.decimal(let precision, let scale), .bytes), (.decimal(let precision, let scale), .fixed):
        guard case .decimal(let from)? = node.logical else { return nil }
        return .decimal(fixed: AvroProgram.size(node), from: from, precision: precision, scale: scale)
      case (.timestamp, .int), (.timestamp, .long): return timestamp(node, field)
      case (.timestamp, .string): return field.encoding == .natural ? .textAsTimestamp : nil
      case (.string, .string): return .text
      case (.string, .symbols(let symbols)): return .symbol(symbols)
      case (.string, .int): return node.logical == .date ? .dateText : nil
      case (.string, .fixed), (.string, .bytes):
        if node.logical == .uuid { return .uuid }
        return node.logical == nil ? .bytesAsText(fixed: AvroProgram.size(node)) : nil
      default: return nil
      }
    }

    private func timestamp(_ node: AvroSchema.Node, _ field: Field) -> Conversion? {
      switch (node.logical, field.encoding) {
      case (.date?, _): .days
      case (.timestamp(let unitsPerSecond)?, _):
        .timestamp(unitsPerSecond > 1_000_000 ? -(unitsPerSecond / 1_000_000) : 1_000_000 / unitsPerSecond, isLong: node.isLong)
      case (nil, .seconds): .timestamp(1_000_000, isLong: node.isLong)
      case (nil, .milliseconds): .timestamp(1000, isLong: node.isLong)
      case (nil, .microseconds): .timestamp(1, isLong: node.isLong)
      case (nil, .nanoseconds): .timestamp(-1000, isLong: node.isLong)
      default: nil
      }
    }
  }

  private static func size(_ node: AvroSchema.Node) -> Int? {
    if case .fixed(let size) = node.kind { size } else { nil }
  }
}
