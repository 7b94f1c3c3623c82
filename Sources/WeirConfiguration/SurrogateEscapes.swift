import Yams

/// `"\ud83d\ude00"`: JSON writes a character beyond U+FFFF as two escapes, and YAML's parser refuses both. They become `\U0001F600`.
///
/// Only texts in double quotes have escapes, and where one begins only the parser knows: it stops at an escape that it refuses, all pairs of
/// that text are replaced, and it begins again.
struct SurrogateEscapes {
  /// `pipeline_surrogates`: texts of a file with such escapes.
  static let textsMax = 200

  enum Verdict: Equatable {
    /// The text without the pairs after the place.
    case joined(String)
    /// An escape without its other half. Its line and column, 1-based.
    case alone(line: Int, column: Int)
    case tooMany(line: Int, column: Int)
    /// Another fault.
    case other
  }

  private var texts = 0
  /// Of each pair that was joined: its line, the column after it as it is now, and how many columns were there more.
  private var joined: [(line: Int, column: Int, cut: Int)] = []

  /// - Parameter mark: where the parser stopped.
  mutating func verdict(_ problem: String, in yaml: String, line: Int, column: Int) -> Verdict {
    guard problem == "found invalid Unicode character escape code" else { return .other }
    let text = Array(yaml.unicodeScalars)
    guard var at = SurrogateEscapes.escape(text, line, column) else { return .other }
    guard texts < SurrogateEscapes.textsMax else { return .tooMany(line: line, column: column) }
    texts += 1
    // Of the passes before: this one reads what they made.
    let before = self
    var out = text[..<at]
    // Where the line begins, and what was cut from it so far.
    var (line, start, cut) = (line, at - text[..<at].reversed().prefix { $0 != "\n" }.count, 0)
    while at < text.count, text[at] != "\"" {
      var next = at + 1
      if text[at] == "\n" { (line, start, cut) = (line + 1, next, 0) }
      if text[at] == "\\" {
        let unit = SurrogateEscapes.unit(text, at)
        // The next character is of the escape, also where it is a quote.
        next = min(at + (unit == nil ? 2 : 6), text.count)
        if let high = unit, (0xD800..<0xE000).contains(high) {
          guard high < 0xDC00, let low = SurrogateEscapes.unit(text, next), (0xDC00..<0xE000).contains(low) else {
            return .alone(line: line, column: before.original(line, at - start + 1))
          }
          next += 6
          let hex = String(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00), radix: 16, uppercase: true)
          out += ("\\U" + String(repeating: "0", count: 8 - hex.count) + hex).unicodeScalars
          cut += 2
          joined.append((line, next - start + 1 - cut, 2))
          at = next
          continue
        }
      }
      out += text[at..<next]
      at = next
    }
    return .joined(String(String.UnicodeScalarView(out + text[at...])))
  }

  /// The column of a place as the file has it.
  func original(_ line: Int, _ column: Int) -> Int {
    joined.reduce(column) { $1.line == line && column >= $1.column ? $0 + $1.cut : $0 }
  }

  /// The backslash of the escape at which the parser stopped: it stands before, at or after it.
  private static func escape(_ text: [Unicode.Scalar], _ line: Int, _ column: Int) -> Int? {
    var (at, number) = (0, 1)
    while number < line {
      guard let end = text[at...].firstIndex(of: "\n") else { return nil }
      (at, number) = (end + 1, number + 1)
    }
    let place = at + column - 1
    return ((place - 3)...(place + 1)).last { $0 >= at && unit(text, $0).map { (0xD800..<0xE000).contains($0) } == true }
  }

  /// The number of `\uXXXX` at a place; nil: there is none.
  private static func unit(_ text: [Unicode.Scalar], _ at: Int) -> UInt32? {
    guard at + 6 <= text.count, text[at] == "\\", text[at + 1] == "u" else { return nil }
    let digits = String(String.UnicodeScalarView(text[(at + 2)..<(at + 6)]))
    return digits.utf8.allSatisfy { $0 &- 0x30 < 10 || $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x66 } ? UInt32(digits, radix: 16) : nil
  }
}

extension SurrogateEscapes {
  /// The document of a YAML text.
  /// - Returns: nil: it is empty.
  /// - Throws: `YamlError`, or ``SurrogateFault``.
  static func compose(_ yaml: String) throws -> (node: Node, escapes: SurrogateEscapes)? {
    var (text, escapes) = (yaml, SurrogateEscapes())
    while true {
      do { return try Yams.compose(yaml: text).map { ($0, escapes) } } catch let error as YamlError {
        guard case .scanner(_, let problem, let mark, _) = error else { throw error }
        switch escapes.verdict(problem, in: text, line: mark.line, column: mark.column) {
        case .joined(let next): text = next
        case .alone(let line, let column): throw SurrogateFault(reason: SurrogateFault.alone, line: line, column: column)
        case .tooMany(let line, let column): throw SurrogateFault(reason: SurrogateFault.tooMany, line: line, column: column)
        case .other: throw error
        }
      }
    }
  }
}

/// An escape of half a character.
struct SurrogateFault: Error {
  static let alone =
    "an escape \\uD800 to \\uDFFF without its other half is not a character: write the character itself, or \\U and eight digits, such as \\U0001F600"
  static let tooMany =
    "more than \(SurrogateEscapes.textsMax) texts have characters of two escapes such as \\ud83d\\ude00 (pipeline_surrogates): write the characters themselves"

  var reason: String
  /// 1-based.
  var line: Int
  var column: Int
}
