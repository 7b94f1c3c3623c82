/// Headers of a record as tables hold them: `[["name", "value"], …]`, a value that is no UTF-8 as `{"hex": "…"}`.
public enum RecordHeaders {
  /// nil: there are none.
  public static func text(_ headers: [(name: String, value: [UInt8]?)]) -> String? {
    guard !headers.isEmpty else { return nil }
    return JSONValue.array(
      headers.map { header in
        let value: JSONValue =
          switch header.value {
          case nil: .null
          case let bytes?: String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .members(["hex": .string(hex(bytes))])
          }
        return .array([.string(header.name), value])
      }
    ).text
  }

  /// nil: it is not such a text.
  public static func parse(_ text: some Collection<UInt8>) -> [(name: String, value: [UInt8]?)]? {
    guard let all = (try? JSONValue(parsing: text))?.array else { return nil }
    var headers: [(name: String, value: [UInt8]?)] = []
    for item in all {
      guard let pair = item.array, pair.count == 2, let name = pair[0].string else { return nil }
      headers.append((name, pair[1]["hex"]?.string.map(unhex) ?? pair[1].string.map { Array($0.utf8) }))
    }
    return headers
  }

  public static func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static func unhex(_ text: String) -> [UInt8] {
    let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}
