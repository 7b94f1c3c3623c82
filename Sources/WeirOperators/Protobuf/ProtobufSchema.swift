import WeirCore

/// The types of messages that a pipeline reads: of a descriptor what its fields need, so that a descriptor with more is the same plan.
///
/// Ledgers keep it: only added, and optional.
package struct ProtobufSchema: Hashable, Sendable, Codable {
  /// Types of values, with the numbers of `FieldDescriptorProto.Type`.
  package enum Kind: UInt8, Hashable, Sendable, Codable {
    case double = 1, float, int64, uint64, int32, fixed64, fixed32, bool, string, group, message, bytes, uint32, symbol, sfixed32, sfixed64
    case sint32, sint64

    /// As `.proto` files write it.
    var name: String {
      switch self {
      case .symbol: "enum"
      default: "\(self)"
      }
    }

    var wire: ProtobufWire {
      switch self {
      case .double, .fixed64, .sfixed64: .fixed64
      case .float, .fixed32, .sfixed32: .fixed32
      case .string, .message, .bytes: .bytes
      case .group: .groupStart
      default: .varint
      }
    }

    /// Several in one part of bytes.
    var canBePacked: Bool { wire != .bytes && wire != .groupStart }

    var isInteger: Bool {
      switch self {
      case .int64, .uint64, .int32, .fixed64, .fixed32, .uint32, .sfixed32, .sfixed64, .sint32, .sint64: true
      default: false
      }
    }
  }

  package struct Member: Hashable, Sendable, Codable {
    package var name: String
    package var number: UInt32
    package var kind: Kind
    /// true: a list or a map.
    package var isRepeated: Bool?
    /// true: a value that is not there is null; else it is 0, false or empty.
    package var hasPresence: Bool?
    /// The oneof that it is in.
    package var oneof: Int?
    /// Of ``messages`` or ``symbols``, by its kind.
    package var type: Int?
  }

  package struct Message: Hashable, Sendable, Codable {
    /// With its package.
    package var name: String
    package var members: [Member]
    /// true: an entry of a map.
    package var isEntry: Bool?
  }

  package struct Symbols: Hashable, Sendable, Codable {
    package var name: String
    /// Ascending, without repetition.
    package var numbers: [Int32]
    /// Of each number the first name.
    package var names: [String]
  }

  /// The first is the record's.
  package var messages: [Message] = []
  package var symbols: [Symbols] = []
  /// Where the record's message is in its file: as Confluent's framing writes it.
  package var indexes: [Int] = []

  package init() {}

  /// `Timestamp` of protobuf's own types.
  static let timestamp = "google.protobuf.Timestamp"
  /// Messages that hold one value, which may be null by them.
  static let wrappers: Set<String> = Set(
    ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].map { "google.protobuf.\($0)Value" })

  func member(_ name: String, of message: Int) -> Member? { messages[message].members.first { $0.name == name } }

  // MARK: What fields need

  /// The same without what the fields do not read. Members of a oneof stay where one of them is read: each ends the value of the others.
  package func narrowed(to fields: [Field]) -> ProtobufSchema {
    var needed = [Set<UInt32>](repeating: [], count: messages.count)
    var reached: Set<Int> = [0]
    func take(_ member: Member, of message: Int) {
      reached.insert(message)
      needed[message].insert(member.number)
      if member.kind == .message, let type = member.type { reached.insert(type) }
    }
    func take(_ type: ColumnType, _ member: Member) {
      guard member.kind == .message, let below = member.type else { return }
      if messages[below].isEntry == true {
        for part in messages[below].members {
          take(part, of: below)
          if part.number == 2, case .map(let value) = type { take(value, part) }
        }
        return
      }
      switch type {
      case .list(let element): take(element, member)
      case .structure(let members):
        for wanted in members {
          guard let part = self.member(wanted.name, of: below) else { continue }
          take(part, of: below)
          take(wanted.type, part)
        }
      // Values that messages are.
      default: for part in messages[below].members { take(part, of: below) }
      }
    }
    for field in fields {
      var message: Int? = 0
      var found: Member?
      for step in field.steps {
        found = nil
        guard let place = message, case .name(let name) = step, let member = self.member(name, of: place) else { break }
        take(member, of: place)
        found = member
        message = member.kind == .message ? member.type : nil
      }
      if let found { take(field.type, found) }
    }
    return kept(needed, reached)
  }

  private func kept(_ needed: [Set<UInt32>], _ reached: Set<Int>) -> ProtobufSchema {
    var schema = ProtobufSchema()
    schema.indexes = indexes
    var (places, symbolPlaces): ([Int: Int], [Int: Int]) = ([:], [:])
    // In an order that does not depend on the rest of the descriptor: by name, the record first.
    let order = reached.sorted { ($0 != 0 ? 1 : 0, messages[$0].name) < ($1 != 0 ? 1 : 0, messages[$1].name) }
    for (place, message) in order.enumerated() { places[message] = place }
    for message in order {
      var kept = messages[message]
      let oneofs = Set(kept.members.filter { needed[message].contains($0.number) }.compactMap(\.oneof)).sorted()
      kept.members = kept.members.filter { needed[message].contains($0.number) || $0.oneof.map(oneofs.contains) == true }
      kept.members.sort { $0.number < $1.number }
      for i in kept.members.indices {
        kept.members[i].oneof = kept.members[i].oneof.flatMap { oneofs.firstIndex(of: $0) }
        guard let type = kept.members[i].type else { continue }
        guard needed[message].contains(kept.members[i].number) else {
          kept.members[i].type = nil
          continue
        }
        if kept.members[i].kind == .symbol {
          if symbolPlaces[type] == nil {
            symbolPlaces[type] = schema.symbols.count
            schema.symbols.append(symbols[type])
          }
          kept.members[i].type = symbolPlaces[type]
        } else {
          kept.members[i].type = places[type]
        }
      }
      schema.messages.append(kept)
    }
    return schema
  }
}
