import WeirCore
import WeirPlan

/// Texts with commas or square brackets without quotes in a flow collection: `{p95: quantile(ms, 0.95)}`, `{path: items[0].sku}`. YAML
/// splits them there, and what it makes of the parts is refused for other reasons.
enum FlowSplits {
  struct Split: Equatable {
    /// As it should be one text.
    var text: String
    /// 1-based.
    var line: Int
    var column: Int
  }

  static func diagnostics(_ yaml: String, file: String) -> [Diagnostic] {
    find(yaml).map { split in
      let quoted = "\"" + split.text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
      return Diagnostic(
        severity: .error, code: "quote_it",
        message:
          "within { } and [ ] YAML splits at commas and square brackets, also those of a text: quote it: \(Printable.visible(quoted).shortened(toBytes: 300))",
        suggestion: nil, file: file, line: split.line, column: split.column)
    }
  }

  /// Reads only as much of YAML as decides where a plain scalar of a flow collection begins.
  static func find(_ yaml: String) -> [Split] {
    var scanner = Scanner(Array(yaml.unicodeScalars))
    return scanner.run()
  }

  private struct Scanner {
    let text: [Unicode.Scalar]
    var at = 0
    var line = 1
    var column = 1
    var depth = 0
    var found: [Split] = []

    init(_ text: [Unicode.Scalar]) { self.text = text }

    /// A node may begin here: behind an indicator, or at a line's beginning.
    mutating func run() -> [Split] {
      var begins = true
      while at < text.count {
        let c = text[at]
        switch c {
        case " ", "\t": step()
        case "\n":
          step()
          if depth == 0 { begins = true }
        case "#" where at == 0 || [" ", "\t", "\n"].contains(text[at - 1]): skipComment()
        case "{" where begins || depth > 0, "[" where begins || depth > 0:
          depth += 1
          step()
          begins = true
        case "}" where depth > 0, "]" where depth > 0:
          depth -= 1
          step()
          begins = false
        case "," where depth > 0, ":" where depth > 0 || isSpace(at + 1), "-" where depth == 0 && begins && isSpace(at + 1):
          step()
          begins = true
        case "\"" where begins, "'" where begins:
          skipQuoted(c)
          begins = false
        case _ where depth > 0: plain()
        default:
          step()
          begins = false
        }
      }
      return found
    }

    private func isSpace(_ i: Int) -> Bool { i >= text.count || [" ", "\n", "\t", "\r"].contains(text[i]) }

    private mutating func step() {
      if text[at] == "\n" { (line, column) = (line + 1, 1) } else { column += 1 }
      at += 1
    }

    private mutating func skipComment() { while at < text.count, text[at] != "\n" { step() } }

    private mutating func skipQuoted(_ quote: Unicode.Scalar) {
      step()
      while at < text.count {
        let c = text[at]
        step()
        if c == "\\", quote == "\"", at < text.count {
          step()
        } else if c == quote {
          // A doubled single quote is one.
          guard quote == "'", at < text.count, text[at] == "'" else { return }
          step()
        }
      }
    }

    /// `list`, `struct` or `map`: the bracket that follows is of a type, and no comparison.
    private func isTypeWord(before place: Int) -> Bool {
      ["list", "struct", "map"].contains { word in
        place >= word.count && text[(place - word.count)..<place].elementsEqual(word.unicodeScalars)
      }
    }

    /// - Returns: false: it has no end in this line.
    private mutating func skipSubscript() -> Bool {
      guard let line = text[at...].firstIndex(where: { $0 == "\n" || $0 == "]" }), text[line] == "]" else { return false }
      while at <= line { step() }
      return true
    }

    /// A plain scalar of a flow collection: to the comma, colon or bracket behind it, if its own brackets are closed there.
    private mutating func plain() {
      let start = (at: at, line: line, column: column)
      var open = 0
      var types = 0
      var isSplit = false
      while at < text.count {
        let c = text[at]
        let isTypes = types > 0 && c == ">"
        if c == "<" && isTypeWord(before: at) { types += 1 }
        if c == "(" || c == "<" && types > 0 { open += 1 }
        if c == ")" || isTypes { open -= 1 }
        if isTypes { types -= 1 }
        if open <= 0, c == "[", at > start.at, !isSpace(at - 1) {
          // A subscript: a plain scalar of a flow collection cannot have one.
          guard skipSubscript() else { break }
          isSplit = true
          continue
        }
        if open <= 0 {
          if c == "," || c == "}" || c == "]" || c == "{" || c == "[" || c == ":" && isSpace(at + 1) { break }
        } else if c == "," {
          isSplit = true
        } else if c == "\n" || c == "}" || c == ":" && isSpace(at + 1) {
          // Not closed: something else is wrong.
          isSplit = false
          break
        }
        step()
      }
      guard isSplit else {
        // One step at least.
        if at == start.at { step() }
        return
      }
      let words = String(String.UnicodeScalarView(text[start.at..<at])).trimmingSpaces
      found.append(Split(text: words, line: start.line, column: start.column))
    }
  }
}
