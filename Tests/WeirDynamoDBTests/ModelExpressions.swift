import Foundation
import WeirCore

/// A value of an item, as the model of DynamoDB keeps it.
enum ModelValue: Hashable {
  case s(String)
  case n(Int64)
  case b([UInt8])

  init(_ json: JSONValue) throws {
    guard let member = json.members?.first, json.members?.count == 1, let text = member.value.string else {
      throw ModelRefusal("ValidationException", "Supplied AttributeValue is empty or has several types")
    }
    switch member.name {
    case "S": self = .s(text)
    case "N":
      guard let number = Int64(text) else { throw ModelRefusal("ValidationException", "not a number: \(text)") }
      self = .n(number)
    case "B":
      guard let data = Data(base64Encoded: text) else { throw ModelRefusal("SerializationException", "not base64") }
      self = .b(Array(data))
    default: throw ModelRefusal("ValidationException", "a type that the model does not have: \(member.name)")
    }
  }

  var json: JSONValue {
    switch self {
    case .s(let text): .members(["S": .string(text)])
    case .n(let number): .members(["N": .string(String(number))])
    case .b(let bytes): .members(["B": .string(Data(bytes).base64EncodedString())])
    }
  }

  var size: Int {
    switch self {
    case .s(let text): text.utf8.count
    case .n(let number): String(number).utf8.count / 2 + 2
    case .b(let bytes): bytes.count
    }
  }

  /// nil: of different types, which no comparison accepts.
  func order(_ other: ModelValue) -> Int? {
    switch (self, other) {
    case (.s(let a), .s(let b)): ModelValue.order(Array(a.utf8), Array(b.utf8))
    case (.b(let a), .b(let b)): ModelValue.order(a, b)
    case (.n(let a), .n(let b)): a < b ? -1 : a == b ? 0 : 1
    default: nil
    }
  }

  static func order(_ a: [UInt8], _ b: [UInt8]) -> Int {
    let order = memcmp(a, b, min(a.count, b.count))
    return order != 0 ? Int(order) : a.count - b.count
  }
}

typealias ModelItem = [String: ModelValue]

/// What the service answers instead of doing something.
struct ModelRefusal: Error {
  var code: String
  var message: String
  var reasons: [String]?

  init(_ code: String, _ message: String, reasons: [String]? = nil) { (self.code, self.message, self.reasons) = (code, message, reasons) }
}

/// Expressions with the grammar that the state table uses: `attribute_not_exists`, comparisons, AND, OR, parentheses; SET and REMOVE.
struct ModelExpression {
  private var words: [String]
  private var at = 0
  private let names: [String: String]
  private let values: [String: ModelValue]
  private(set) var used: Set<String> = []

  /// Some of DynamoDB's reserved words (Developer Guide, "Reserved words"): those that a name of ours might be.
  private static let reserved: Set<String> = [
    "VALUE", "KEY", "OWNER", "STATE", "TABLE", "TOKEN", "WRITE", "ROW", "DATA", "BUCKET", "FORMAT", "LIST", "LAYERS", "GENERATE", "NEXT",
  ]

  init(_ text: String, names: [String: String], values: [String: ModelValue]) {
    self.names = names
    self.values = values
    var words: [String] = []
    var word = ""
    for character in text {
      if character.isLetter || character.isNumber || "_#:".contains(character) {
        word.append(character)
        continue
      }
      if !word.isEmpty { words.append(word) }
      word = ""
      if character == "=", words.last == "<", text.contains("<=") {
        words[words.count - 1] = "<="
      } else if character != " " {
        words.append(String(character))
      }
    }
    if !word.isEmpty { words.append(word) }
    self.words = words
  }

  private var next: String? { at < words.count ? words[at] : nil }

  private mutating func take(_ word: String) -> Bool {
    guard next == word else { return false }
    at += 1
    return true
  }

  private mutating func expect(_ word: String) throws {
    guard take(word) else { throw ModelRefusal("ValidationException", "expected \(word) instead of \(next ?? "the end") in \(words)") }
  }

  private mutating func name() throws -> String {
    guard let word = next else { throw ModelRefusal("ValidationException", "expected a name") }
    at += 1
    used.insert(word)
    if word.hasPrefix("#") {
      guard let name = names[word] else { throw ModelRefusal("ValidationException", "\(word) is not defined") }
      return name
    }
    guard !ModelExpression.reserved.contains(word.uppercased()) else { throw ModelRefusal("ValidationException", "\(word) is reserved") }
    return word
  }

  private mutating func value() throws -> ModelValue {
    guard let word = next, word.hasPrefix(":"), let value = values[word] else {
      throw ModelRefusal("ValidationException", "expected a value instead of \(next ?? "the end")")
    }
    at += 1
    used.insert(word)
    return value
  }

  mutating func condition(_ item: ModelItem?) throws -> Bool {
    let result = try or(item)
    guard at == words.count else { throw ModelRefusal("ValidationException", "text after a condition") }
    return result
  }

  private mutating func or(_ item: ModelItem?) throws -> Bool {
    var result = try and(item)
    while take("OR") {
      let next = try and(item)
      result = result || next
    }
    return result
  }

  private mutating func and(_ item: ModelItem?) throws -> Bool {
    var result = try term(item)
    while take("AND") {
      let next = try term(item)
      result = result && next
    }
    return result
  }

  private mutating func term(_ item: ModelItem?) throws -> Bool {
    if take("(") {
      let result = try or(item)
      try expect(")")
      return result
    }
    if take("attribute_not_exists") {
      try expect("(")
      let name = try name()
      try expect(")")
      return item?[name] == nil
    }
    let name = try name()
    let stored = item?[name]
    guard let comparison = next, ["=", "<", "<="].contains(comparison) else { throw ModelRefusal("ValidationException", "no comparison") }
    at += 1
    let given = try value()
    guard let order = stored?.order(given) else { return false }
    return comparison == "=" ? order == 0 : comparison == "<" ? order < 0 : order <= 0
  }

  mutating func update(_ item: inout ModelItem) throws {
    while let word = next {
      at += 1
      repeat {
        let name = try name()
        if word == "SET" {
          try expect("=")
          item[name] = try value()
        } else {
          guard word == "REMOVE" else { throw ModelRefusal("ValidationException", "unknown clause \(word)") }
          item[name] = nil
        }
      } while take(",")
    }
  }
}
