import WeirCore
import WeirOperators

/// The effective hash of a record's key: MD5 as a big-endian number.
enum KeyHash {
  /// Of a record without a key.
  static let null = of("")

  static func of(_ text: String) -> UInt128 {
    var text = text
    return text.withUTF8 { MD5.hash($0) }
  }

  static func of(_ keys: Column, _ row: Int) -> UInt128 {
    guard keys.isValid(row), case .string(let texts) = keys.values else { return null }
    return MD5.hash(texts[row].bytes)
  }
}
