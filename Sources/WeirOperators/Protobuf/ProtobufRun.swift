import WeirCore

/// Runs a program over one record, into the sinks of the fields.
struct ProtobufRun {
  private let program: ProtobufProgram
  private let fields: [Field]
  /// One a field. A pointer, since they are written for each value.
  let sinks: UnsafeMutablePointer<FieldSink>
  private let builder = NestedBuilder()
  /// Of each node, whether the record has its message.
  private var entered: [Bool]
  private var parts: ProtobufParts
  /// By field, what is wrong with a value that a later one may override.
  private var wrong: [Int: DecodeError] = [:]

  /// - Parameter read: see ``RecordDecoder/init(fields:read:)``.
  init(_ program: ProtobufProgram, fields: [Field], read: [Bool]?) {
    (self.program, self.fields) = (program, fields)
    sinks = .allocate(capacity: fields.count)
    for (i, field) in fields.enumerated() { (sinks + i).initialize(to: FieldSink(field, isRead: read?[i] ?? true)) }
    entered = [Bool](repeating: false, count: program.nodes.count)
    parts = ProtobufParts(program)
  }

  /// Frees what the sinks hold: of no use afterwards.
  func destroy() {
    for i in fields.indices { sinks[i].destroy() }
    sinks.deinitialize(count: fields.count)
    sinks.deallocate()
  }

  /// - Throws: what is wrong with the record; its row must be cleared then.
  mutating func record(_ body: StringRef, _ row: Int) throws(DecodeError) {
    for i in entered.indices { entered[i] = false }
    entered[0] = true
    parts.begin(chains: program.chains)
    if !wrong.isEmpty { wrong.removeAll() }
    var cursor = ProtobufCursor(body)
    try message(0, &cursor, row)
    try finish(row, cursor)
    for i in fields.indices where sinks[i].required && !sinks[i].isValid(row) {
      throw cursor.fail("required field \(fields[i].title) is missing or null")
    }
  }

  private mutating func message(_ number: Int, _ cursor: inout ProtobufCursor, _ row: Int) throws(DecodeError) {
    let node = program.nodes[number]
    while cursor.at < cursor.end {
      let (number, wire) = try cursor.tag()
      let place = node.place(number)
      guard place >= 0 else {
        try cursor.skip(number, wire)
        continue
      }
      let slot = node.slots.baseAddress! + place
      // Another wire type is another field, which is not known.
      guard slot.pointee.takes(wire) else {
        try cursor.skip(number, wire)
        continue
      }
      if slot.pointee.oneof >= 0 { endOthers(slot.pointee.oneof, but: place, node, row) }
      switch slot.pointee.target {
      case .field(let field):
        let start = cursor.at
        let value = try ProtobufValue(wire, &cursor)
        guard case .scalar(let kind, let conversion) = program.plans[slot.pointee.plan] else { preconditionFailure("a scalar") }
        do {
          try ProtobufScalar.put(value, kind, conversion, in: program, into: &sinks[field], row, at: start)
          if !wrong.isEmpty { wrong[field] = nil }
        } catch {
          sinks[field].clear(row)
          wrong[field] = error.located("field \(fields[field].title)")
        }
      case .message(let below):
        var inner = ProtobufCursor(try cursor.part())
        entered[below] = true
        try message(below, &inner, row)
      case .parts(let field, let chain):
        do { try parts.add(wire, try ProtobufValue(wire, &cursor), to: chain, at: cursor.at) } catch {
          throw error.located("field \(fields[field].title)")
        }
      case .none: try cursor.skip(number, wire)
      }
    }
  }

  /// The last member of a oneof counts.
  private mutating func endOthers(_ oneof: Int32, but place: Int, _ node: ProtobufProgram.Node, _ row: Int) {
    for other in node.slots.indices where other != place && node.slots[other].oneof == oneof { clear(node.slots[other], row) }
  }

  private mutating func clear(_ slot: ProtobufProgram.Slot, _ row: Int) {
    switch slot.target {
    case .none: break
    case .field(let field):
      sinks[field].clear(row)
      if !wrong.isEmpty { wrong[field] = nil }
    case .parts(_, let chain): parts.clear(chain)
    case .message(let node):
      guard entered[node] else { return }
      entered[node] = false
      for slot in program.nodes[node].slots { clear(slot, row) }
    }
  }

  /// Values that are not there, and those of several parts.
  private mutating func finish(_ row: Int, _ cursor: ProtobufCursor) throws(DecodeError) {
    if let first = wrong.min(by: { $0.value.at < $1.value.at }) { throw first.value }
    for late in program.defaults where entered[late.node] {
      let slot = program.nodes[late.node].slots[late.slot]
      guard case .field(let field) = slot.target, !sinks[field].isValid(row),
        case .scalar(let kind, let conversion) = program.plans[slot.plan]
      else { continue }
      // No time is an empty text.
      if case .textAsTimestamp = conversion { continue }
      do { try ProtobufScalar.put(.none, kind, conversion, in: program, into: &sinks[field], row, at: cursor.at) } catch {
        throw error.located("field \(fields[field].title)")
      }
    }
    for late in program.parts where entered[late.node] {
      let slot = program.nodes[late.node].slots[late.slot]
      guard case .parts(let field, let chain) = slot.target else { continue }
      do { try value(field, slot, chain, row) } catch {
        throw error.located("field \(fields[field].title)")
      }
    }
  }

  private mutating func value(_ field: Int, _ slot: ProtobufProgram.Slot, _ number: Int, _ row: Int) throws(DecodeError) {
    let chain = parts.chains[number]
    if chain.isEmpty, !slot.isRepeated { return }
    switch program.plans[slot.plan] {
    case .timestamp, .wrapper: try parts.scalar(slot.plan, chain, into: &sinks[field], row)
    default:
      do { try emit(slot, chain) } catch {
        // In a map a later entry may override the one that is wrong.
        guard error.isOfValue, parts.hasMaps else { throw located(error, field) }
        do { try emit(slot, chain, lastOfKeys: true) } catch { throw located(error, field) }
      }
      sinks[field].putNested(builder, row)
    }
  }

  private mutating func emit(_ slot: ProtobufProgram.Slot, _ chain: ProtobufParts.Chain, lastOfKeys: Bool = false) throws(DecodeError) {
    builder.begin()
    parts.beginValue(chains: program.chains, lastOfKeys: lastOfKeys)
    try parts.emit(slot, chain, builder)
  }

  private func located(_ error: DecodeError, _ field: Int) -> DecodeError {
    error.located("field \(fields[field].title)\(builder.path(in: fields[field].type))")
  }
}
