import WeirCore

/// Reading members of the ledger's JSON: what is missing or of another type is a corrupt ledger.
extension JSONValue {
  func required(_ name: String) throws(WeirError) -> JSONValue {
    guard let value = self[name] else { throw WeirError.corruptLedger("the member \"\(name)\" is missing") }
    return value
  }

  func requiredString(_ name: String) throws(WeirError) -> String {
    guard let s = try required(name).string else { throw WeirError.corruptLedger("\"\(name)\" is not a string") }
    return s
  }

  func requiredInt(_ name: String) throws(WeirError) -> Int64 {
    guard let i = try required(name).int else { throw WeirError.corruptLedger("\"\(name)\" is not an integer") }
    return i
  }

  /// A number of something, or a number in a sequence.
  func requiredCount(_ name: String) throws(WeirError) -> Int64 {
    let value = try requiredInt(name)
    guard Bounds.isCount(value) else { throw WeirError.corruptLedger("\"\(name)\" is \(value), which is out of range") }
    return value
  }

  /// Microseconds since 1970.
  func requiredTime(_ name: String) throws(WeirError) -> Int64 {
    let value = try requiredInt(name)
    guard (-Bounds.time...Bounds.time).contains(value) else {
      throw WeirError.corruptLedger("\"\(name)\" is \(value), which is out of range")
    }
    return value
  }

  func requiredArray(_ name: String) throws(WeirError) -> [JSONValue] {
    guard let a = try required(name).array else { throw WeirError.corruptLedger("\"\(name)\" is not a list") }
    return a
  }

  func requiredMembers(_ name: String) throws(WeirError) -> [Member] {
    guard let m = try required(name).members else { throw WeirError.corruptLedger("\"\(name)\" is not an object") }
    return m
  }

  func requiredPosition(_ name: String) throws(WeirError) -> ShardPoint {
    guard let p = ShardPoint(text: try requiredString(name)) else {
      throw WeirError.corruptLedger("\"\(name)\" is not a position")
    }
    guard Bounds.isPosition(p.ordinal) else {
      throw WeirError.corruptLedger("\"\(name)\" is \(p.text), which is out of range")
    }
    return p
  }

  func requiredWatermark(_ name: String) throws(WeirError) -> Int64 {
    switch try required(name) {
    case .null: return Watermark.minimum
    case .string("max"): return Watermark.maximum
    case .int(let micros):
      guard (-Bounds.time...Bounds.time).contains(micros) else {
        throw WeirError.corruptLedger("\"\(name)\" is \(micros), which is out of range")
      }
      return micros
    default: throw WeirError.corruptLedger("\"\(name)\" is not a watermark")
    }
  }

  func optional<T>(_ name: String, _ read: (JSONValue) throws(WeirError) -> T) throws(WeirError) -> T? {
    let value = try required(name)
    return value.isNull ? nil : try read(value)
  }

  /// A watermark: microseconds, `null` for the minimum, `"max"` for the maximum.
  static func watermark(_ micros: Int64) -> JSONValue {
    switch micros {
    case Watermark.minimum: .null
    case Watermark.maximum: .string("max")
    default: .int(micros)
    }
  }

  static func document(_ bytes: [UInt8], _ what: String) throws(WeirError) -> JSONValue {
    do {
      return try JSONValue(parsing: bytes)
    } catch {
      throw WeirError.corruptLedger("\(what) is not valid JSON: \(error)")
    }
  }

  /// Refuses a document whose `format` this version cannot read: the last two can be read.
  func checkFormat(_ what: String) throws(WeirError) {
    let format = try requiredInt("format")
    let current = LedgerFormat.current
    guard format >= current - 1, format <= current else {
      throw WeirError(
        .ledgerFormat, "\(what) has format \(format); this version reads \(current - 1) to \(current)",
        advice: "Use the version of Weir that wrote it, or the one after.")
    }
  }
}

extension WeirError {
  static func corruptLedger(_ message: String) -> WeirError {
    WeirError(
      .ledgerCorrupt, message,
      advice: "A file of the ledger was changed or damaged; restore it from a copy. \(.verifyLedger) names it.")
  }
}

extension LaneID {
  init(json: JSONValue) throws(WeirError) {
    guard let text = json.string else { throw WeirError.corruptLedger("a lane is not a string") }
    self.init(text: text)
  }
}
