import WeirCore

/// What to do where a record reached a bound, or holds text that is none: evident from the reason, also of large records.
enum BoundHint {
  static func of(_ rejection: Rejection, _ record: some Collection<UInt8>) -> String? {
    let reason = rejection.reason
    if reason.contains(" (nested_values)") {
      return
        "each element, member, entry and null counts, and so does each list, struct and map: declare the field as json, which keeps its text, or declare fewer members"
    }
    if reason.contains(" (framing_elements)") { return "send fewer elements in one outer record" }
    if reason.hasPrefix(DecodeError.loneSurrogate) {
      let path = rejection.place.flatMap { JSONPlace.path(record, byte: $0) }
      let place = path.map { "at \(Printable.text(FieldPath.text($0), bytesMax: 120)), " } ?? ""
      return
        "\(place)an escape \\uD800 to \\uDFFF without its other half is not a character: correct the producer, which cut a text in the middle of a character; or leave the field out of fields"
    }
    return nil
  }
}

/// Where in a record a byte is.
enum JSONPlace {
  /// Bytes of a record that are looked at.
  private static let bytesMax = 1 << 20

  private struct Level {
    var isObject: Bool
    var name: String?
    var index = 0
    /// The next string is a member's name.
    var isName: Bool
  }

  /// The path of the value that holds the byte. nil: it is in no member, or the text before it is not JSON.
  static func path(_ record: some Collection<UInt8>, byte: Int) -> [PathStep]? {
    guard byte < bytesMax else { return nil }
    let text = Array(record.prefix(byte + 1))
    var levels: [Level] = []
    var at = 0
    while at < text.count {
      switch text[at] {
      case 0x7B: levels.append(Level(isObject: true, isName: true))
      case 0x5B: levels.append(Level(isObject: false, isName: false))
      case 0x7D, 0x5D: _ = levels.popLast()
      case 0x2C:
        guard let last = levels.indices.last else { return nil }
        levels[last].index += 1
        levels[last].isName = levels[last].isObject
      case 0x3A: if let last = levels.indices.last { levels[last].isName = false }
      case 0x22:
        let start = at + 1
        at = start
        while at < text.count, text[at] != 0x22 { at += text[at] == 0x5C ? 2 : 1 }
        guard at < text.count else { break }
        if let last = levels.indices.last, levels[last].isName { levels[last].name = String(decoding: text[start..<at], as: UTF8.self) }
      default: break
      }
      at += 1
    }
    let steps = levels.map { level -> PathStep? in level.isObject ? level.name.map { .name($0) } : .index(level.index) }
    let path = steps.compactMap(\.self)
    return path.isEmpty || path.count < steps.count || levels.last?.isName == true ? nil : path
  }
}
