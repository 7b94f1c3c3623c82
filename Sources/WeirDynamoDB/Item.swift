import WeirCore

/// A value of an item, of the kinds that this table has (DynamoDB API, "AttributeValue").
enum Attribute: Sendable, Hashable {
  case text(String)
  case number(Int64)
  case bytes([UInt8])

  func write(into out: inout [UInt8]) {
    switch self {
    case .text(let text):
      out += "{\"S\":".utf8
      JSONValue.write(text, into: &out)
    case .number(let number): out += "{\"N\":\"\(number)\"".utf8
    case .bytes(let bytes):
      out += "{\"B\":\"".utf8
      Base64.write(bytes, into: &out)
      out.append(UInt8(ascii: "\""))
    }
    out.append(UInt8(ascii: "}"))
  }

  /// - Returns: nil: of another kind, or damaged.
  init?(_ json: JSONValue) {
    guard let members = json.members, members.count == 1, let text = members[0].value.string else { return nil }
    switch members[0].name {
    case "S": self = .text(text)
    case "N":
      guard let number = Int64(text) else { return nil }
      self = .number(number)
    case "B":
      guard let bytes = Base64.read(text) else { return nil }
      self = .bytes(bytes)
    default: return nil
    }
  }

  /// Bytes that an item's size counts (DynamoDB, "Item sizes and formats").
  var size: Int {
    switch self {
    case .text(let text): text.utf8.count
    case .number: 21
    case .bytes(let bytes): bytes.count
    }
  }
}

/// Names an item.
struct ItemKey: Sendable, Hashable {
  static let partitionName = "pk"
  static let sortName = "sk"
  /// DynamoDB's bounds of the two, bytes.
  static let partitionBytesMax = 2048
  static let sortBytesMax = 1024
  /// DynamoDB's bound of an item, bytes of names and values.
  static let itemBytesMax = 400 * 1024

  var partition: String
  var sort: [UInt8]

  init(_ partition: String, _ sort: [UInt8]) { (self.partition, self.sort) = (partition, sort) }

  var attributes: [(String, Attribute)] { [(ItemKey.partitionName, .text(partition)), (ItemKey.sortName, .bytes(sort))] }

  func write(into out: inout [UInt8]) { Item.write(attributes, into: &out) }
}

/// An item that was read.
struct Item: Sendable, Hashable {
  var attributes: [String: Attribute] = [:]

  /// - Returns: nil: not an item of this table. Attributes of other kinds are left out: the table's owner may add some.
  init?(_ json: JSONValue) {
    guard let members = json.members else { return nil }
    for member in members { attributes[member.name] = Attribute(member.value) }
    guard text(ItemKey.partitionName) != nil, bytes(ItemKey.sortName) != nil else { return nil }
  }

  func text(_ name: String) -> String? { if case .text(let text)? = attributes[name] { text } else { nil } }
  func number(_ name: String) -> Int64? { if case .number(let number)? = attributes[name] { number } else { nil } }
  func bytes(_ name: String) -> [UInt8]? { if case .bytes(let bytes)? = attributes[name] { bytes } else { nil } }

  var sort: [UInt8] { bytes(ItemKey.sortName) ?? [] }

  static func write(_ attributes: [(String, Attribute)], into out: inout [UInt8]) {
    out.append(UInt8(ascii: "{"))
    for (i, (name, value)) in attributes.enumerated() {
      out += (i == 0 ? "\"" : ",\"").utf8
      out += name.utf8
      out += "\":".utf8
      value.write(into: &out)
    }
    out.append(UInt8(ascii: "}"))
  }

  static func size(_ attributes: [(String, Attribute)]) -> Int { attributes.reduce(0) { $0 + $1.0.utf8.count + $1.1.size } }
}

/// A change of one item, or a condition on it, alone or in a transaction.
struct ItemChange: Sendable {
  enum Kind: String, Sendable {
    case put = "Put"
    case update = "Update"
    case delete = "Delete"
    case check = "ConditionCheck"
  }

  var kind: Kind
  var key: ItemKey
  /// Of a put: all but the key.
  var attributes: [(String, Attribute)] = []
  /// Of an update.
  var update: String?
  var condition: String?
  /// Placeholders of the two expressions.
  var names: [(String, String)] = []
  var values: [(String, Attribute)] = []

  init(_ kind: Kind, _ key: ItemKey) { (self.kind, self.key) = (kind, key) }

  /// Members of a JSON object, without its braces.
  func write(table: String, into out: inout [UInt8]) {
    out += "\"TableName\":\"\(table)\",".utf8
    if kind == .put {
      out += "\"Item\":".utf8
      Item.write(key.attributes + attributes, into: &out)
    } else {
      out += "\"Key\":".utf8
      key.write(into: &out)
    }
    if let update { out += ",\"UpdateExpression\":\"\(update)\"".utf8 }
    if let condition { out += ",\"ConditionExpression\":\"\(condition)\"".utf8 }
    if !names.isEmpty {
      out += ",\"ExpressionAttributeNames\":{".utf8
      out += names.map { "\"\($0.0)\":\"\($0.1)\"" }.joined(separator: ",").utf8
      out.append(UInt8(ascii: "}"))
    }
    if !values.isEmpty {
      out += ",\"ExpressionAttributeValues\":".utf8
      Item.write(values, into: &out)
    }
  }

  /// Bytes of what it writes.
  var size: Int { Item.size(key.attributes + attributes + values) }
}
