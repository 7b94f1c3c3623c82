import WeirCore

/// What is wrong with an expression, and where.
package struct ExpressionError: Error, Sendable {
  package var message: String
  /// UTF-8 byte offset in the text.
  package var offset: Int
  /// The nearest right name.
  package var suggestion: String?
  /// The expression is right, and its column cannot have this name.
  package var nameCode: String?
  /// The expression is right, and has another type than is needed there.
  package var isAboutType = false
  /// The column that there is not.
  package var unknownColumn: String?
  /// A constant in single quotes is needed there.
  package var needsText = false
  /// Of an operand that has another type than is needed.
  package var operandType: ColumnType?
  /// It is about something that a later version will do.
  package var isLater = false
  /// It is nested deeper than ``Expr/levelsMax``.
  var isTooDeep = false
  /// It is larger than ``Expr/sizeMax``.
  var isTooLarge = false

  package init(_ message: String, at offset: Int, suggestion: String? = nil, nameCode: String? = nil) {
    self.message = message
    self.offset = offset
    self.suggestion = suggestion
    self.nameCode = nameCode
  }
}

struct Token: Equatable {
  enum Kind: Equatable {
    /// Bare identifier; keywords are recognised by their lower-case text.
    case word(String)
    /// "quoted" identifier.
    case quoted(String)
    case string(String)
    /// Digits, perhaps with point and exponent.
    case number(String)
    case symbol(String)
    case end
  }
  var kind: Kind
  var offset: Int
}

/// Splits the text of an expression into tokens.
struct Lexer {
  private let bytes: [UInt8]
  private var at = 0

  init(_ text: String) { bytes = Array(text.utf8) }

  static func tokens(_ text: String) throws(ExpressionError) -> [Token] {
    var lexer = Lexer(text)
    var tokens: [Token] = []
    repeat { tokens.append(try lexer.next()) } while tokens.last?.kind != .end
    return tokens
  }

  private static func isWordStart(_ c: UInt8) -> Bool { c == 0x5F || c >= 0x80 || (c | 0x20 >= 0x61 && c | 0x20 <= 0x7A) }
  private static func isDigit(_ c: UInt8) -> Bool { c >= 0x30 && c <= 0x39 }

  private func peek(_ ahead: Int = 0) -> UInt8 { at + ahead < bytes.count ? bytes[at + ahead] : 0 }

  private mutating func next() throws(ExpressionError) -> Token {
    while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    let start = at
    guard at < bytes.count else { return Token(kind: .end, offset: at) }
    let c = bytes[at]
    if Lexer.isWordStart(c) {
      while at < bytes.count, Lexer.isWordStart(bytes[at]) || Lexer.isDigit(bytes[at]) { at += 1 }
      let word = String(decoding: bytes[start..<at], as: UTF8.self)
      if let scalar = Printable.invisible(in: word) { throw invisible(scalar, in: word, start) }
      return Token(kind: .word(word), offset: start)
    }
    if Lexer.isDigit(c) || (c == 0x2E && Lexer.isDigit(peek(1))) { return number(start) }
    if c == 0x27 { return Token(kind: .string(try quoted(0x27, "string", start)), offset: start) }
    if c == 0x22 { return Token(kind: .quoted(try quoted(0x22, "name", start)), offset: start) }
    let pair = String(decoding: bytes[at..<min(at + 2, bytes.count)], as: UTF8.self)
    if ["<>", "!=", "<=", ">=", "||"].contains(pair) {
      at += 2
      return Token(kind: .symbol(pair == "!=" ? "<>" : pair), offset: start)
    }
    if "+-*/%=<>(),.[]".utf8.contains(c) {
      at += 1
      return Token(kind: .symbol(String(UnicodeScalar(c))), offset: start)
    }
    throw ExpressionError("unexpected character '\(String(decoding: [c], as: UTF8.self))'", at: start)
  }

  /// Editors and web pages put a no-break space where a space was typed.
  private func invisible(_ scalar: Unicode.Scalar, in word: String, _ start: Int) -> ExpressionError {
    let before = word.unicodeScalars.prefix { $0 != scalar }.reduce(0) { $0 + UTF8.width($1) }
    return ExpressionError(
      "the character \(Printable.name(of: scalar)) is not allowed here: \(scalar.properties.isWhitespace ? "write an ordinary space" : "delete it"), or put the name in double quotes",
      at: start + before)
  }

  private mutating func number(_ start: Int) -> Token {
    while Lexer.isDigit(peek()) { at += 1 }
    if peek() == 0x2E, Lexer.isDigit(peek(1)) {
      at += 1
      while Lexer.isDigit(peek()) { at += 1 }
    }
    if peek() | 0x20 == 0x65 {
      let sign = peek(1) == 0x2B || peek(1) == 0x2D ? 1 : 0
      if Lexer.isDigit(peek(1 + sign)) {
        at += 1 + sign
        while Lexer.isDigit(peek()) { at += 1 }
      }
    }
    return Token(kind: .number(String(decoding: bytes[start..<at], as: UTF8.self)), offset: start)
  }

  /// Text between quotes; a doubled quote is one.
  private mutating func quoted(_ quote: UInt8, _ what: String, _ start: Int) throws(ExpressionError) -> String {
    var out: [UInt8] = []
    at += 1
    while at < bytes.count {
      if bytes[at] == quote {
        if peek(1) != quote {
          at += 1
          return String(decoding: out, as: UTF8.self)
        }
        at += 1
      }
      out.append(bytes[at])
      at += 1
    }
    throw ExpressionError("the \(what) does not end", at: start)
  }
}
