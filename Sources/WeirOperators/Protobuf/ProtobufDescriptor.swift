import WeirCore

/// Reads a `FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` and `buf build` write it, or one `FileDescriptorProto`'s
/// set. The bytes are not trusted.
///
/// Source: https://github.com/protocolbuffers/protobuf/blob/main/src/google/protobuf/descriptor.proto
package struct ProtobufDescriptor {
  /// Bytes of a descriptor file.
  package static let bytesMax = 16 << 20
  /// Messages and enums of a descriptor, and members of all its messages.
  package static let typesMax = 20_000
  package static let membersMax = 200_000

  /// What is wrong with a descriptor, in words that follow its path.
  package struct Fault: Error {
    package var reason: String
    /// Another name that may be meant.
    package var suggestion: String?
    /// Types that it should have are not in it.
    package var isIncomplete = false
  }

  private struct RawMember {
    var name = ""
    var number: UInt64 = 0
    var label: UInt64 = 1
    var kind: UInt64 = 0
    var typeName = ""
    var oneof: UInt64?
    var isOptional = false
  }

  private struct RawMessage {
    var name = ""
    var members: [RawMember] = []
    var isEntry = false
    /// A member that is not there has no presence where its file says so.
    var isProto3 = false
    var indexes: [Int] = []
  }

  private var messages: [RawMessage] = []
  private var byName: [String: Int] = [:]
  private var symbols: [ProtobufSchema.Symbols] = []
  private var symbolsByName: [String: Int] = [:]
  private var memberCount = 0

  /// Full names of all messages that are records, in the order of the files.
  package var names: [String] { messages.lazy.filter { !$0.isEntry }.map(\.name) }

  package init(_ bytes: [UInt8]) throws(Fault) {
    let arena = Arena(chunkBytes: max(1, bytes.count))
    let text = bytes.withUnsafeBufferPointer { arena.copy($0) }
    do throws(DecodeError) {
      defer { withExtendedLifetime(arena) {} }
      var files = 0
      try forEach(text) { (descriptor: inout ProtobufDescriptor, number, part, _) throws(DecodeError) in
        guard number == 1, let part else { return }
        files += 1
        try descriptor.file(part)
      }
      guard files > 0 else { throw DecodeError(reason: "it holds no files", at: text.start) }
    } catch {
      throw Fault(reason: "it is not a FileDescriptorSet: \(error.reason)", isIncomplete: true)
    }
  }

  private typealias Body = (inout ProtobufDescriptor, UInt32, StringRef?, UInt64) throws(DecodeError) -> Void

  /// Hands out the fields of a message: bytes, or a number.
  private mutating func forEach(_ text: StringRef, _ body: Body) throws(DecodeError) {
    var cursor = ProtobufCursor(text)
    while cursor.left > 0 {
      let (number, wire) = try cursor.tag()
      switch wire {
      case .bytes: try body(&self, number, try cursor.part(), 0)
      case .varint: try body(&self, number, nil, try cursor.varint())
      default: try cursor.skip(number, wire)
      }
    }
  }

  private mutating func file(_ text: StringRef) throws(DecodeError) {
    var (package, syntax) = ("", "")
    try forEach(text) { _, number, part, _ throws(DecodeError) in
      if number == 2, let part { package = part.description }
      if number == 12, let part { syntax = part.description }
    }
    guard syntax != "editions" else {
      throw DecodeError(reason: "a file of it has an edition: only proto2 and proto3 can be read", at: text.start)
    }
    var place = 0
    let scope = package
    try forEach(text) { descriptor, number, part, _ throws(DecodeError) in
      guard let part else { return }
      if number == 4 {
        try descriptor.message(part, scope: scope, isProto3: syntax == "proto3", indexes: [place], depth: 0)
        place += 1
      } else if number == 5 {
        try descriptor.symbols(part, scope: scope)
      }
    }
  }

  private func bound(_ text: StringRef) throws(DecodeError) {
    guard messages.count + symbols.count < ProtobufDescriptor.typesMax else {
      throw DecodeError(reason: "more than \(ProtobufDescriptor.typesMax) messages and enums (protobuf_types)", at: text.start)
    }
    guard memberCount <= ProtobufDescriptor.membersMax else {
      throw DecodeError(reason: "more than \(ProtobufDescriptor.membersMax) fields (protobuf_fields)", at: text.start)
    }
  }

  private mutating func message(
    _ text: StringRef, scope: String, isProto3: Bool, indexes: [Int], depth: Int
  ) throws(DecodeError) {
    guard depth < 64 else { throw DecodeError(reason: "messages nested more than 64 deep", at: text.start) }
    var made = RawMessage()
    (made.isProto3, made.indexes) = (isProto3, indexes)
    var nested: [(part: StringRef, isMessage: Bool)] = []
    try forEach(text) { descriptor, number, part, _ throws(DecodeError) in
      guard let part else { return }
      switch number {
      case 1: made.name = scope.isEmpty ? part.description : "\(scope).\(part.description)"
      case 2: made.members.append(try descriptor.member(part))
      case 3: nested.append((part, true))
      case 4: nested.append((part, false))
      case 7: try descriptor.forEach(part) { _, number, _, value in if number == 7 { made.isEntry = value != 0 } }
      default: break
      }
    }
    memberCount += made.members.count
    try bound(text)
    guard Set(made.members.map(\.number)).count == made.members.count, Set(made.members.map(\.name)).count == made.members.count else {
      throw DecodeError(reason: "two fields of \(made.name.shortened(toBytes: 200)) have one number or name", at: text.start)
    }
    byName[made.name] = messages.count
    messages.append(made)
    var place = 0
    for (part, isMessage) in nested {
      if isMessage {
        try message(part, scope: made.name, isProto3: isProto3, indexes: indexes + [place], depth: depth + 1)
        place += 1
      } else {
        try symbols(part, scope: made.name)
      }
    }
  }

  private mutating func member(_ text: StringRef) throws(DecodeError) -> RawMember {
    var made = RawMember()
    try forEach(text) { _, number, part, value in
      switch number {
      case 1: made.name = part?.description ?? ""
      case 3: made.number = value
      case 4: made.label = value
      case 5: made.kind = value
      case 6: made.typeName = part?.description ?? ""
      case 9: made.oneof = value
      case 17: made.isOptional = value != 0
      default: break
      }
    }
    guard made.number >= 1, made.number < 1 << 29, made.kind <= 18, made.oneof ?? 0 < 1 << 20 else {
      throw DecodeError(reason: "the field \(made.name.shortened(toBytes: 100)) has no valid number or type", at: text.start)
    }
    return made
  }

  private mutating func symbols(_ text: StringRef, scope: String) throws(DecodeError) {
    var name = ""
    var known: [Int32: String] = [:]
    try forEach(text) { descriptor, number, part, _ throws(DecodeError) in
      guard let part else { return }
      if number == 1 { name = scope.isEmpty ? part.description : "\(scope).\(part.description)" }
      guard number == 2 else { return }
      var (symbol, value): (String, Int32) = ("", 0)
      try descriptor.forEach(part) { _, number, part, bits in
        if number == 1 { symbol = part?.description ?? "" }
        if number == 2 { value = Int32(truncatingIfNeeded: bits) }
      }
      if known[value] == nil { known[value] = symbol }
    }
    memberCount += known.count
    try bound(text)
    let numbers = known.keys.sorted()
    symbolsByName[name] = symbols.count
    symbols.append(.init(name: name, numbers: numbers, names: numbers.map { known[$0] ?? "" }))
  }

  // MARK: One message and what it holds

  /// The types that a message needs.
  package func schema(of name: String) throws(Fault) -> ProtobufSchema {
    let wanted = name.hasPrefix(".") ? String(name.dropFirst()) : name
    guard let root = byName[wanted], !messages[root].isEntry else {
      let near = names.first { $0.hasSuffix(".\(wanted)") } ?? nearestName(wanted, in: names)
      throw Fault(
        reason:
          "it has no message \(wanted.shortened(toBytes: 200)); it has \(Printable.text(names.prefix(10).joined(separator: ", "), bytesMax: 400))\(names.count > 10 ? " and others" : "")",
        suggestion: near)
    }
    var places = [root: 0]
    var order = [root]
    var symbolPlaces: [Int: Int] = [:]
    var schema = ProtobufSchema()
    schema.indexes = messages[root].indexes
    var next = 0
    while next < order.count {
      let raw = messages[order[next]]
      next += 1
      var made = ProtobufSchema.Message(name: raw.name, members: [], isEntry: raw.isEntry ? true : nil)
      for member in raw.members {
        var type: Int?
        switch member.kind {
        case 11:
          let target = try resolve(member, raw, byName)
          if places[target] == nil {
            places[target] = order.count
            order.append(target)
          }
          type = places[target]
        case 14:
          let target = try resolve(member, raw, symbolsByName)
          if symbolPlaces[target] == nil {
            symbolPlaces[target] = schema.symbols.count
            schema.symbols.append(symbols[target])
          }
          type = symbolPlaces[target]
        default: break
        }
        made.members.append(try self.member(member, raw, type))
      }
      schema.messages.append(made)
    }
    return schema
  }

  private func member(_ raw: RawMember, _ message: RawMessage, _ type: Int?) throws(Fault) -> ProtobufSchema.Member {
    guard let kind = ProtobufSchema.Kind(rawValue: UInt8(raw.kind)) else {
      throw Fault(reason: "the field \(raw.name.shortened(toBytes: 100)) of \(message.name) has no type")
    }
    let isRepeated = raw.label == 3
    let hasPresence = !isRepeated && (!message.isProto3 || raw.isOptional || raw.oneof != nil || kind == .message)
    return .init(
      name: raw.name, number: UInt32(raw.number), kind: kind, isRepeated: isRepeated ? true : nil,
      // An entry without its key or value has the default.
      hasPresence: hasPresence && !message.isEntry ? true : nil, oneof: raw.isOptional ? nil : raw.oneof.map { Int($0) }, type: type)
  }

  private func resolve(_ member: RawMember, _ message: RawMessage, _ known: [String: Int]) throws(Fault) -> Int {
    let name = member.typeName.hasPrefix(".") ? String(member.typeName.dropFirst()) : member.typeName
    guard let found = known[name] else {
      let place = "\(message.name.shortened(toBytes: 200)).\(member.name.shortened(toBytes: 100))"
      throw Fault(reason: "the type \(name.shortened(toBytes: 200)) of \(place) is not in it", isIncomplete: true)
    }
    return found
  }
}
