/// What other languages write in objects, and JSON does not have: the first of it in a record.
enum JSONHabits {
  private static let dictionary =
    "JSON needs double quotes around names and strings: this looks like a dictionary printed by another language"

  /// - Parameter text: the record, or its beginning, from its first brace.
  /// - Returns: nil: nothing is evident.
  static func hint(_ text: [UInt8]) -> String? {
    var at = 0
    var comma: Int?
    while at < text.count {
      let c = text[at]
      switch c {
      case 0x22:
        at += 1
        while at < text.count, text[at] != 0x22 { at += text[at] == 0x5C ? 2 : 1 }
        at += 1
        comma = nil
      case 0x27: return dictionary
      case 0x2C:
        comma = at
        at += 1
      case 0x7D, 0x5D:
        if comma != nil { return "JSON has no comma after the last member or element: leave it out" }
        at += 1
      case 0x09, 0x0A, 0x0D, 0x20: at += 1
      case 0x2F where at + 1 < text.count && (text[at + 1] == 0x2F || text[at + 1] == 0x2A): return "JSON has no comments: leave them out"
      case _ where isLetter(c):
        let word = text[at...].prefix { isLetter($0) || $0 &- 0x30 < 10 }
        at = word.endIndex
        comma = nil
        if at < text.count, let hint = ofWord(String(decoding: word, as: UTF8.self), text[at...]) { return hint }
      case _ where c == 0x2B || c == 0x2D || c == 0x2E || c &- 0x30 < 10:
        // The letter of an exponent is not a word.
        let number = text[at...].dropFirst().prefix { $0 &- 0x30 < 10 || $0 == 0x2E || $0 | 0x20 == 0x65 || $0 == 0x2B || $0 == 0x2D }
        at = number.endIndex
        comma = nil
      default:
        at += 1
        comma = nil
      }
    }
    return nil
  }

  /// - Parameter rest: what follows the word.
  private static func ofWord(_ word: String, _ rest: ArraySlice<UInt8>) -> String? {
    switch word {
    case "null", "true", "false": return nil
    case "True", "False", "None":
      return "\(word) is Python's: this looks like a dictionary printed by it; print it with json.dumps, which writes true, false and null"
    case "NaN", "nan", "Infinity", "inf", "Inf":
      return "JSON has no \(word): send null, or leave the member out; Python's json.dumps refuses it with allow_nan=False"
    case "undefined": return "JSON has no undefined: send null, or leave the member out"
    default:
      return rest.first { $0 > 0x20 } == 0x3A ? "JSON needs double quotes around names: this looks like an object of another language" : nil
    }
  }

  private static func isLetter(_ c: UInt8) -> Bool { c | 0x20 >= 0x61 && c | 0x20 <= 0x7A || c == 0x5F || c == 0x24 }
}
