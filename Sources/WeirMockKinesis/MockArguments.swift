import WeirCore

/// Why the server refuses a request: an error of the service's model.
struct MockRefusal: Error, Sendable {
  /// Such as `ResourceNotFoundException`.
  var code: String
  var message: String

  init(_ code: String, _ message: String) { (self.code, self.message) = (code, message) }

  static func argument(_ message: String) -> MockRefusal { MockRefusal("InvalidArgumentException", message) }
  static func missing(_ message: String) -> MockRefusal { MockRefusal("ResourceNotFoundException", message) }
  static func validation(_ name: String, _ rule: String) -> MockRefusal {
    MockRefusal("ValidationException", "1 validation error detected: Value at '\(name)' failed to satisfy constraint: \(rule)")
  }

  /// The service itself failed.
  var status: Int { code == "InternalFailureException" || code == "InternalFailure" ? 500 : code == "ServiceUnavailable" ? 503 : 400 }

  var json: JSONValue { .members(["__type": .string(code), "message": .string(message)]) }
}

/// The members of a request, read by the rules of the service's model.
struct MockArguments {
  let json: JSONValue

  init(_ json: JSONValue) { self.json = json }

  private subscript(_ name: String) -> JSONValue? { json[name].flatMap { $0.isNull ? nil : $0 } }

  func text(_ name: String, max: Int = 2048) throws(MockRefusal) -> String? {
    guard let value = self[name] else { return nil }
    guard let text = value.string else { throw MockRefusal("SerializationException", "\(name) is not a string") }
    guard (1...max).contains(text.unicodeScalars.count) else {
      throw .validation(name, "Member must have length from 1 to \(max)")
    }
    return text
  }

  func required(_ name: String, max: Int = 2048) throws(MockRefusal) -> String {
    guard let text = try text(name, max: max) else { throw .validation(name, "Member must not be null") }
    return text
  }

  func number(_ name: String, _ range: ClosedRange<Int64>) throws(MockRefusal) -> Int64? {
    guard let value = self[name] else { return nil }
    guard let number = value.int else { throw MockRefusal("SerializationException", "\(name) is not an integer") }
    guard range.contains(number) else {
      throw .validation(name, "Member must have a value from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// Seconds since 1970, as milliseconds.
  func time(_ name: String) throws(MockRefusal) -> Int64? {
    switch self[name] {
    case nil: return nil
    case .int(let seconds)?: return seconds.multipliedReportingOverflow(by: 1000).partialValue
    case .number(let text)?:
      if let seconds = Double(text), abs(seconds) < 1e12 { return Int64((seconds * 1000).rounded()) }
    default: break
    }
    throw MockRefusal("SerializationException", "\(name) is not a time")
  }

  /// A sequence number.
  func sequence(_ name: String) throws(MockRefusal) -> String? {
    guard let text = try text(name) else { return nil }
    guard MockSequence.isNumber(text) else {
      throw .validation(name, "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,128})")
    }
    return text
  }

  /// A hash key: a decimal number below 2^128.
  func hash(_ name: String) throws(MockRefusal) -> UInt128? {
    guard let text = try text(name) else { return nil }
    guard let number = UInt128(text), String(number) == text else {
      throw .argument("Invalid \(name). It must be a number from 0 to 2^128 - 1 without leading zeros: \(text)")
    }
    return number
  }

  func object(_ name: String) throws(MockRefusal) -> MockArguments? {
    guard let value = self[name] else { return nil }
    guard value.members != nil else { throw MockRefusal("SerializationException", "\(name) is not a structure") }
    return MockArguments(value)
  }

  func list(_ name: String) throws(MockRefusal) -> [MockArguments] {
    guard let value = self[name] else { throw .validation(name, "Member must not be null") }
    guard let list = value.array, list.allSatisfy({ $0.members != nil }) else {
      throw MockRefusal("SerializationException", "\(name) is not a list of structures")
    }
    return list.map(MockArguments.init)
  }
}

/// Blobs in requests.
enum MockBlob {
  private static let isDigit: [Bool] = {
    var isDigit = [Bool](repeating: false, count: 256)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8 { isDigit[Int(letter)] = true }
    return isDigit
  }()

  /// How many bytes a text in base64 stands for; nil: it is not base64.
  static func count(_ text: String) -> Int? {
    var text = text
    return text.withUTF8 { bytes in
      guard bytes.count % 4 == 0 else { return nil }
      let padding = bytes.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
      let isSound = isDigit.withUnsafeBufferPointer { isDigit in bytes.dropLast(padding).allSatisfy { isDigit[Int($0)] } }
      return isSound ? bytes.count / 4 * 3 - padding : nil
    }
  }
}
