import WeirCore

/// Makes the parts of a ``ProtobufProgram`` of a schema and the declared fields.
struct ProtobufCompiler {
  typealias Slot = ProtobufProgram.Slot
  typealias Conversion = ProtobufProgram.Conversion
  typealias Fault = ProtobufProgram.Fault

  /// Steps of all fields together: types within types multiply.
  static let stepsMax = 60_000

  private let schema: ProtobufSchema
  private let fields: [Field]
  private(set) var nodes: [[Slot]] = []
  private(set) var plans: [ProtobufProgram.Plan] = []
  private(set) var defaults: [ProtobufProgram.Late] = []
  private(set) var parts: [ProtobufProgram.Late] = []

  init(_ schema: ProtobufSchema, _ fields: [Field]) { (self.schema, self.fields) = (schema, fields) }

  /// Which fields are wanted below a place.
  private final class Wanted {
    var field: Int?
    var members: [(name: String, wanted: Wanted)] = []
    var byName: [String: Wanted] = [:]
  }

  mutating func compile() throws(Fault) {
    let root = Wanted()
    for (number, field) in fields.enumerated() {
      var place = root
      for step in field.steps {
        guard case .name(let name) = step else { throw Fault(reason: "elements of lists cannot be read with format protobuf") }
        if place.byName[name] == nil {
          let below = Wanted()
          place.byName[name] = below
          place.members.append((name, below))
        }
        place = place.byName[name]!
      }
      place.field = number
    }
    _ = try message(0, root)
  }

  private func count() throws(Fault) {
    guard nodes.count + plans.count < ProtobufCompiler.stepsMax else {
      throw Fault(reason: "the fields need more than \(ProtobufCompiler.stepsMax) steps (protobuf_steps)")
    }
  }

  // MARK: Messages with fields in them

  private mutating func message(_ message: Int, _ wanted: Wanted) throws(Fault) -> Int {
    try count()
    let number = nodes.count
    nodes.append([])
    var slots: [Slot] = []
    for (name, below) in wanted.members {
      let member = try self.member(name, of: message)
      var slot = Slot(member)
      if let field = below.field {
        slot.plan = try value(member, fields[field].type, encoding: fields[field].encoding)
        if case .scalar = plans[slot.plan] {
          slot.target = .field(field)
          if !slot.hasPresence { defaults.append(.init(node: number, slot: slots.count)) }
        } else {
          slot.target = .parts(field: field, chain: parts.count)
          parts.append(.init(node: number, slot: slots.count))
        }
      } else {
        guard member.kind == .message, member.isRepeated != true, let type = member.type else {
          throw Fault(reason: "\(name) is \(described(member)), and nothing is below it")
        }
        slot.target = .message(node: try self.message(type, below))
      }
      slots.append(slot)
    }
    nodes[number] = withSiblings(slots, message)
    return number
  }

  /// And the other members of their oneofs.
  private func withSiblings(_ slots: [Slot], _ message: Int) -> [Slot] {
    let oneofs = Set(slots.map(\.oneof).filter { $0 >= 0 })
    let known = Set(slots.map(\.number))
    return slots
      + schema.messages[message].members.lazy.filter { $0.oneof.map { oneofs.contains(Int32($0)) } == true && !known.contains($0.number) }
      .map { Slot($0) }
  }

  private func member(_ name: String, of message: Int) throws(Fault) -> ProtobufSchema.Member {
    guard let found = schema.member(name, of: message) else {
      let names = schema.messages[message].members.map(\.name)
      let near = nearestName(name, in: names).map { "; did you mean \($0)?" } ?? ""
      throw Fault(
        reason: "the message \(schema.messages[message].name.shortened(toBytes: 200)) has no field \(name.shortened(toBytes: 200))\(near)")
    }
    return found
  }

  private func described(_ member: ProtobufSchema.Member) -> String {
    var text = member.kind.name
    if let type = member.type {
      text = member.kind == .symbol ? "the enum \(schema.symbols[type].name)" : "the message \(schema.messages[type].name)"
      if schema.messages.indices.contains(type), member.kind == .message, schema.messages[type].isEntry == true { return "a map" }
    }
    return (member.isRepeated == true ? "a list of \(text)" : text).shortened(toBytes: 300)
  }

  // MARK: Values

  private mutating func add(_ plan: ProtobufProgram.Plan) throws(Fault) -> Int {
    try count()
    plans.append(plan)
    return plans.count - 1
  }

  /// All that a field of a message has.
  private mutating func value(
    _ member: ProtobufSchema.Member, _ type: ColumnType, encoding: FieldEncoding = .natural
  ) throws(Fault) -> Int {
    guard member.isRepeated == true else { return try one(member, type, encoding: encoding) }
    if member.kind == .message, let entry = member.type, schema.messages[entry].isEntry == true {
      guard case .map(let below) = type else { throw mismatch(member, type) }
      return try map(entry, below)
    }
    guard case .list(let element) = type else { throw mismatch(member, type) }
    return try add(.list(try one(member, element)))
  }

  private mutating func map(_ entry: Int, _ type: ColumnType) throws(Fault) -> Int {
    let members = schema.messages[entry].members
    guard let key = members.first(where: { $0.number == 1 }), let value = members.first(where: { $0.number == 2 }) else {
      throw Fault(reason: "a map's entry has no key or no value")
    }
    var slots = [Slot(key), Slot(value)]
    // Of the text that a key becomes.
    slots[0].plan = try add(.scalar(key.kind, .text))
    slots[1].plan = try one(value, type)
    (slots[0].member, slots[1].member) = (0, 1)
    nodes.append(slots)
    return try add(.map(node: nodes.count - 1))
  }

  /// One value, or one element of a list.
  private mutating func one(
    _ member: ProtobufSchema.Member, _ type: ColumnType, encoding: FieldEncoding = .natural
  ) throws(Fault) -> Int {
    guard member.kind == .message, let message = member.type else {
      guard let conversion = conversion(member, type, encoding) else { throw mismatch(member, type, encoding) }
      return try add(.scalar(member.kind, conversion))
    }
    let name = schema.messages[message].name
    if case .structure(let members) = type { return try structure(message, members) }
    if name == ProtobufSchema.timestamp, type == .timestamp, encoding == .natural { return try add(.timestamp) }
    if ProtobufSchema.wrappers.contains(name), let inner = schema.messages[message].members.first(where: { $0.number == 1 }),
      let conversion = conversion(inner, type, encoding)
    {
      return try add(.wrapper(inner.kind, conversion))
    }
    throw mismatch(member, type, encoding)
  }

  private mutating func structure(_ message: Int, _ members: [StructMember]) throws(Fault) -> Int {
    var slots: [Slot] = []
    for (number, wanted) in members.enumerated() {
      let member = try self.member(wanted.name, of: message)
      var slot = Slot(member)
      slot.plan = try value(member, wanted.type)
      slot.member = number
      slots.append(slot)
    }
    nodes.append(withSiblings(slots, message))
    return try add(.structure(node: nodes.count - 1, members: members.count))
  }

  private func mismatch(_ member: ProtobufSchema.Member, _ type: ColumnType, _ encoding: FieldEncoding = .natural) -> Fault {
    let hint: String =
      if type == .timestamp, encoding == .natural, member.kind.isInteger {
        ": declare timestamp_ms or the like for a number"
      } else if case .message = member.kind, !type.isNested {
        ": read what is in it with a path, or the whole as struct<…>"
      } else if member.kind == .group {
        ": groups are not read"
      } else {
        ""
      }
    return Fault(
      reason:
        "\(member.name.shortened(toBytes: 200)) is \(described(member)) there, which cannot be read as \(type.name.shortened(toBytes: 200))\(hint)"
    )
  }

  private func conversion(_ member: ProtobufSchema.Member, _ type: ColumnType, _ encoding: FieldEncoding) -> Conversion? {
    guard encoding != .json, encoding != .rescued else { return nil }
    switch (type, member.kind) {
    case (.bool, .bool): return .boolean
    case (.double, .double), (.double, .float): return .real
    case (.string, .string), (.string, .bytes): return .text
    case (.string, .symbol): return member.type.map { .symbol($0) }
    case (.int64, .symbol): return .integer
    case (.timestamp, .string): return encoding == .natural ? .textAsTimestamp : nil
    case (.int64, let kind) where kind.isInteger: return .integer
    case (.double, let kind) where kind.isInteger: return .real
    case (.decimal(let precision, let scale), let kind) where kind.isInteger: return .decimal(precision: precision, scale: scale)
    case (.timestamp, let kind) where kind.isInteger:
      switch encoding {
      case .seconds: return .timestamp(1_000_000)
      case .milliseconds: return .timestamp(1000)
      case .microseconds: return .timestamp(1)
      case .nanoseconds: return .timestamp(-1000)
      case .natural, .json, .rescued: return nil
      }
    default: return nil
    }
  }
}

extension ProtobufProgram.Slot {
  init(_ member: ProtobufSchema.Member) {
    (number, kind, wire) = (member.number, member.kind, member.kind.wire)
    (isRepeated, hasPresence) = (member.isRepeated == true, member.hasPresence == true)
    oneof = member.oneof.map { Int32($0) } ?? -1
  }
}
