import WeirCore

/// The parts of a record that make values together: elements of lists lie anywhere in a message, and a message may come in several parts,
/// which are merged. So parts are collected first, in chains, and values are made of them at the end.
struct ProtobufParts {
  /// Parts of one record.
  static let partsMax = NestedBuilder.valuesMax

  /// Parts in their order, by their places in a list of all; -1: none.
  struct Chain {
    var first: Int32 = -1
    var last: Int32 = -1

    var isEmpty: Bool { first < 0 }
  }

  private struct Part {
    var value: ProtobufValue
    var wire: ProtobufWire
    var next: Int32 = -1
  }

  private let program: ProtobufProgram
  private var parts: [Part] = []
  /// Of the record's fields, then of messages that are being made.
  private(set) var chains: [Chain] = []
  /// Of entries with one key only the last is made a value.
  private var lastOfKeys = false
  let hasMaps: Bool

  init(_ program: ProtobufProgram) {
    self.program = program
    hasMaps = program.plans.contains { if case .map = $0 { true } else { false } }
  }

  mutating func begin(chains count: Int) {
    guard count > 0 else { return }
    parts.removeAll(keepingCapacity: true)
    chains.removeAll(keepingCapacity: true)
    chains.append(contentsOf: repeatElement(Chain(), count: count))
  }

  /// Before a value is made, perhaps once more.
  mutating func beginValue(chains count: Int, lastOfKeys: Bool) {
    chains.removeLast(chains.count - count)
    self.lastOfKeys = lastOfKeys
  }

  mutating func clear(_ chain: Int) { chains[chain] = Chain() }

  mutating func add(_ wire: ProtobufWire, _ value: ProtobufValue, to chain: Int, at: UnsafePointer<UInt8>) throws(DecodeError) {
    guard parts.count < ProtobufParts.partsMax else { throw tooMany(at) }
    let place = Int32(parts.count)
    parts.append(Part(value: value, wire: wire))
    if chains[chain].isEmpty { chains[chain].first = place } else { parts[Int(chains[chain].last)].next = place }
    chains[chain].last = place
  }

  private func tooMany(_ at: UnsafePointer<UInt8>) -> DecodeError {
    DecodeError(reason: "more than \(ProtobufParts.partsMax) values in a record (nested_values)", at: at, isOfValue: true)
  }

  /// Adds what a message has to the chains of its node, which begin at `base`.
  private mutating func collect(_ message: StringRef, _ node: ProtobufProgram.Node, _ base: Int) throws(DecodeError) {
    var cursor = ProtobufCursor(message)
    while cursor.at < cursor.end {
      let (number, wire) = try cursor.tag()
      let place = node.place(number)
      guard place >= 0, node.slots[place].takes(wire) else {
        try cursor.skip(number, wire)
        continue
      }
      let oneof = node.slots[place].oneof
      if oneof >= 0 {
        for other in node.slots.indices where other != place && node.slots[other].oneof == oneof { clear(base + other) }
      }
      guard node.slots[place].plan >= 0 else {
        try cursor.skip(number, wire)
        continue
      }
      let start = cursor.at
      try add(wire, try ProtobufValue(wire, &cursor), to: base + place, at: start)
    }
  }

  /// Calls `body` with a node's chains, which begin at a place of ``chains``.
  private mutating func with(
    _ number: Int, _ messages: Chain, _ body: (inout ProtobufParts, ProtobufProgram.Node, Int) throws(DecodeError) -> Void
  ) throws(DecodeError) {
    let node = program.nodes[number]
    let base = chains.count
    chains.append(contentsOf: repeatElement(Chain(), count: node.slots.count))
    var next = messages.first
    while next >= 0 {
      try collect(parts[Int(next)].value.part, node, base)
      next = next == messages.last ? -1 : parts[Int(next)].next
    }
    try body(&self, node, base)
    chains.removeLast(node.slots.count)
  }

  // MARK: Values

  /// A value that a message is, for a column or in a nested value.
  mutating func scalar<Target: AvroTarget>(_ plan: Int, _ messages: Chain, into target: inout Target, _ row: Int) throws(DecodeError) {
    var at = StringRef.empty.start
    var (first, second) = (ProtobufValue.none, ProtobufValue.none)
    var kind: ProtobufSchema.Kind?
    if case .wrapper(let inner, _) = program.plans[plan] { kind = inner }
    var next = messages.first
    while next >= 0 {
      let part = parts[Int(next)].value.part
      at = part.start
      var cursor = ProtobufCursor(part)
      while cursor.left > 0 {
        let (number, wire) = try cursor.tag()
        if number == 1, wire == kind?.wire ?? .varint {
          first = try ProtobufValue(wire, &cursor)
        } else if number == 2, wire == .varint, kind == nil {
          second = try ProtobufValue(wire, &cursor)
        } else {
          try cursor.skip(number, wire)
        }
      }
      next = next == messages.last ? -1 : parts[Int(next)].next
    }
    if case .wrapper(let kind, let conversion) = program.plans[plan] {
      try ProtobufScalar.put(first, kind, conversion, in: program, into: &target, row, at: at)
    } else {
      let nanos = Int64(Int32(truncatingIfNeeded: second.bits))
      target.put(try ProtobufScalar.timestamp(seconds: Int64(bitPattern: first.bits), nanos: nanos, at), row)
    }
  }

  /// All that a member of a message has.
  mutating func emit(_ slot: ProtobufProgram.Slot, _ chain: Chain, _ out: NestedBuilder) throws(DecodeError) {
    switch program.plans[slot.plan] {
    case .list(let element):
      out.beginList()
      var next = chain.first
      while next >= 0 {
        try elements(slot, element, next, out)
        next = next == chain.last ? -1 : parts[Int(next)].next
      }
      out.endList()
    case .map(let node):
      out.beginMap()
      if lastOfKeys {
        for place in try lastEntries(node, chain) { try entry(node, Chain(first: place, last: place), out) }
      } else {
        var next = chain.first
        while next >= 0 {
          try entry(node, Chain(first: next, last: next), out)
          next = next == chain.last ? -1 : parts[Int(next)].next
        }
      }
      out.endMap()
    default:
      if chain.isEmpty, slot.hasPresence { out.null() } else { try one(slot.plan, chain, out) }
    }
  }

  /// Of one part: an element, or several that are packed.
  private mutating func elements(_ slot: ProtobufProgram.Slot, _ plan: Int, _ place: Int32, _ out: NestedBuilder) throws(DecodeError) {
    guard slot.kind.canBePacked, parts[Int(place)].wire == .bytes, case .scalar(let kind, let conversion) = program.plans[plan] else {
      out.element()
      return try one(plan, Chain(first: place, last: place), out)
    }
    var cursor = ProtobufCursor(parts[Int(place)].value.part)
    var target = out
    while cursor.left > 0 {
      guard !out.isFull else { throw tooMany(cursor.at) }
      out.element()
      let start = cursor.at
      let value = try ProtobufValue(slot.wire, &cursor)
      try ProtobufScalar.put(value, kind, conversion, in: program, into: &target, 0, at: start)
    }
  }

  private mutating func entry(_ node: Int, _ part: Chain, _ out: NestedBuilder) throws(DecodeError) {
    try with(node, part) { parts, node, base throws(DecodeError) in
      let key = parts.last(parts.chains[base])
      if node.slots[0].kind == .string {
        if UTF8Check.firstError(key.part.start, key.part.start + key.part.count) != nil {
          throw DecodeError(reason: "ill-formed UTF-8 in a key", at: key.part.start, isOfValue: true)
        }
        out.key(key.part)
      } else {
        var text = ProtobufScalar.key(key, node.slots[0].kind)
        text.withUTF8 { bytes in out.key(bytes.baseAddress.map { StringRef(start: $0, count: bytes.count) } ?? .empty) }
      }
      try parts.one(node.slots[1].plan, parts.chains[base + 1], out)
    }
  }

  /// The last entry of each key, in the order of the keys' first ones.
  private mutating func lastEntries(_ number: Int, _ chain: Chain) throws(DecodeError) -> [Int32] {
    var (places, found): ([Int32], [String: Int]) = ([], [:])
    var next = chain.first
    while next >= 0 {
      let place = next
      try with(number, Chain(first: place, last: place)) { parts, node, base throws(DecodeError) in
        let key = parts.last(parts.chains[base])
        let text = node.slots[0].kind == .string ? key.part.description : ProtobufScalar.key(key, node.slots[0].kind)
        if let known = found[text] {
          places[known] = place
        } else {
          found[text] = places.count
          places.append(place)
        }
      }
      next = next == chain.last ? -1 : parts[Int(next)].next
    }
    return places
  }

  private func last(_ chain: Chain) -> ProtobufValue { chain.isEmpty ? .none : parts[Int(chain.last)].value }

  /// One value; without parts the default.
  private mutating func one(_ plan: Int, _ chain: Chain, _ out: NestedBuilder) throws(DecodeError) {
    guard !out.isFull else { throw tooMany(last(chain).part.start) }
    var target = out
    switch program.plans[plan] {
    case .scalar(let kind, let conversion):
      if chain.isEmpty, case .textAsTimestamp = conversion { return out.null() }
      let value = last(chain)
      try ProtobufScalar.put(value, kind, conversion, in: program, into: &target, 0, at: value.part.start)
    case .timestamp, .wrapper: try scalar(plan, chain, into: &target, 0)
    case .structure(let node, let members):
      try with(node, chain) { parts, node, base throws(DecodeError) in
        out.beginStruct(members: members)
        for place in node.slots.indices where node.slots[place].member >= 0 {
          out.member(node.slots[place].member)
          try parts.emit(node.slots[place], parts.chains[base + place], out)
        }
        out.endStruct(members: members)
      }
    case .list, .map: preconditionFailure("a list in a list")
    }
  }
}
