/// What is probably wrong where the YAML parser stops: its own messages name no cause that a user would know.
enum YAMLHint {
  /// Characters of a line that are looked at.
  private static let charactersMax = 4096
  /// A plain text cannot begin with these.
  private static let reserved: Set<Character> = ["*", "&", "!", "%", "@", "`", ">", "|"]
  private static let separators: Set<Character> = [" ", ",", "{", "["]

  /// The parser's words where they name its own functions, or are the end of a sentence.
  static func plain(_ problem: String) -> String {
    if problem.hasPrefix("Maximum nesting level") { return "brackets or lists are nested too deep" }
    if problem == "but found another document" { return "a pipeline file has one document: delete --- and what follows" }
    return problem
  }

  /// - Parameters:
  ///   - line: where the parser stopped, 1-based. One more than there are: at the end.
  ///   - column: 1-based, in characters.
  /// - Returns: nil: nothing is evident.
  static func of(_ problem: String, in yaml: String, line: Int, column: Int) -> String? {
    let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
    if (1...lines.count).contains(line) {
      let text = Array(lines[line - 1].prefix(charactersMax))
      if text.prefix(while: \.isWhitespace).contains("\t") { return "indent with spaces: YAML allows no tabs there" }
      if let first = reservedStart(text, at: column - 1) { return "put a text that begins with \(first) in quotes" }
    }
    let isAtEnd = lines.dropFirst(max(0, line)).allSatisfy { $0.allSatisfy(\.isWhitespace) }
    let isOpen = problem.contains("end of stream") || problem.contains("expected ',' or")
    return isAtEnd && isOpen ? "a quotation mark or a bracket is not closed" : nil
  }

  /// The reserved character that begins the word at a place. The parser stops at its first character, within it, or after it.
  private static func reservedStart(_ text: [Character], at place: Int) -> Character? {
    guard place >= 0, place <= text.count else { return nil }
    var start = place
    while start > 0, !separators.contains(text[start - 1]) { start -= 1 }
    return start < text.count && reserved.contains(text[start]) ? text[start] : nil
  }
}
