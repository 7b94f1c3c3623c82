/// Words of a command, as a POSIX shell separates them, without anything else that a shell does: Python's `shlex.split`.
enum ShellWords {
  /// nil: a quotation mark without an end, or `\` as the last character.
  static func split(_ text: String) -> [String]? {
    var words: [String] = []
    var word: String?
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case " ", "\t", "\n", "\r":
        if let ended = word { words.append(ended) }
        word = nil
      case "'":
        guard let end = rest.firstIndex(of: "'") else { return nil }
        word = (word ?? "") + String(rest[..<end])
        rest = rest[rest.index(after: end)...]
      case "\"":
        guard let quoted = quoted(&rest) else { return nil }
        word = (word ?? "") + quoted
      case "\\":
        guard let next = rest.popFirst() else { return nil }
        word = (word ?? "") + String(next)
      default: word = (word ?? "") + String(scalar)
      }
    }
    return words + (word.map { [$0] } ?? [])
  }

  /// Up to `"`; a `\` keeps its meaning before `"` and `\` only.
  private static func quoted(_ rest: inout Substring.UnicodeScalarView) -> String? {
    var out = ""
    while let scalar = rest.popFirst() {
      if scalar == "\"" { return out }
      if scalar == "\\", let next = rest.first, next == "\"" || next == "\\" {
        out.unicodeScalars.append(next)
        rest.removeFirst()
      } else {
        out.unicodeScalars.append(scalar)
      }
    }
    return nil
  }
}
