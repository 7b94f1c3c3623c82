import WeirCore

/// Recursive descent over SQL's scalar expressions; types are checked as the tree is built.
struct Parser {
  let tokens: [Token]
  var at = 0
  let scope: Scope

  init(_ text: String, inputs: [InputColumn]) throws(ExpressionError) {
    tokens = try Lexer.tokens(text)
    scope = Scope(inputs: inputs)
  }

  /// Nesting beyond this is refused: the parser recurses.
  private static let depthMax = 200
  private var depth = 0
  /// Long chains of an associative operator become balanced trees. See ``whole()``.
  private var isBalanced = false
  /// `nullif` becomes a node of its own. See ``whole()``.
  private(set) var isNullIfShared = false
  /// There was a `nullif`, which copies its first operand unless it is a node of its own.
  var hasNullIf = false

  // MARK: Tokens

  var token: Token { tokens[at] }
  var isAtEnd: Bool { token.kind == .end }

  /// The current keyword in lower case.
  var keyword: String? { if case .word(let w) = token.kind { w.lowercased() } else { nil } }

  mutating func take(_ word: String) -> Bool {
    guard keyword == word else { return false }
    at += 1
    return true
  }

  mutating func take(symbol: String) -> Bool {
    guard token.kind == .symbol(symbol) else { return false }
    at += 1
    return true
  }

  mutating func expect(_ word: String) throws(ExpressionError) {
    guard take(word) else { throw unexpected("expected '\(word)'") }
  }

  mutating func expect(symbol: String) throws(ExpressionError) {
    guard take(symbol: symbol) else { throw unexpected("expected '\(symbol)'") }
  }

  func unexpected(_ what: String) -> ExpressionError {
    let found: String =
      switch token.kind {
      case .word(let s), .symbol(let s), .number(let s): "'\(s)'"
      case .quoted(let s): "\"\(s)\""
      case .string(let s): "the string '\(s)'"
      case .end: "the end"
      }
    return ExpressionError("\(what), found \(found)", at: token.offset)
  }

  /// A constant in single quotes is needed.
  private func needsText(_ what: String) -> ExpressionError {
    var error = unexpected(what)
    error.needsText = true
    return error
  }

  mutating func name() throws(ExpressionError) -> String {
    switch token.kind {
    case .word(let s), .quoted(let s):
      at += 1
      return s
    default: throw unexpected("expected a name")
    }
  }

  // MARK: Bounds

  /// One expression, up to what cannot belong to it.
  ///
  /// Chains lean to the left, as they always did, so that a plan keeps its meaning; where that is deeper than
  /// ``Expr/levelsMax``, chains of `and`, `or` and `||` are balanced instead, which gives the same values and errors.
  /// In the same way `nullif` is a `case` with its first operand twice, except where that is larger than ``Expr/sizeMax``.
  mutating func whole() throws(ExpressionError) -> Expr {
    let start = at
    defer { (isBalanced, isNullIfShared) = (false, false) }
    while true {
      do throws(ExpressionError) { return try expression() } catch {
        if error.isTooDeep, !isBalanced {
          isBalanced = true
        } else if error.isTooLarge, hasNullIf, !isNullIfShared {
          (isBalanced, isNullIfShared) = (false, true)
        } else {
          throw error
        }
      }
      (at, depth) = (start, 0)
    }
  }

  /// Every node that is made passes here: what the parser returns is never deeper or larger than the bounds.
  private func checked(_ e: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    guard e.levels <= Expr.levelsMax else { throw Parser.tooDeep(offset) }
    guard e.size <= Expr.sizeMax else {
      var error = ExpressionError(
        "the expression is too large from here on (expression_size); use a lookup, or several expressions", at: offset)
      error.isTooLarge = true
      throw error
    }
    return e
  }

  private static func tooDeep(_ offset: Int) -> ExpressionError {
    var error = ExpressionError(
      "nested too deep: at most 98 brackets and about 160 operators in each other (expression_depth); put parts of a long chain in brackets",
      at: offset)
    error.isTooDeep = true
    return error
  }

  /// Terms with an operator between each two, from left to right.
  private struct Chain {
    var terms: [Expr]
    var offsets: [Int] = []
  }

  private func combine(
    _ chain: Chain, _ join: (Expr, Expr, Int, Build.Links) throws(ExpressionError) -> Expr
  ) throws(ExpressionError) -> Expr {
    guard isBalanced, chain.terms.count > 8 else {
      var left = chain.terms[0]
      for (term, offset) in zip(chain.terms.dropFirst(), chain.offsets) {
        left = try checked(try join(left, term, offset, .toTheLeft), offset)
      }
      return left
    }
    return try balance(chain, 0, chain.terms.count, join)
  }

  private func balance(
    _ chain: Chain, _ from: Int, _ to: Int, _ join: (Expr, Expr, Int, Build.Links) throws(ExpressionError) -> Expr
  ) throws(ExpressionError) -> Expr {
    if to - from == 1 { return chain.terms[from] }
    let middle = (from + to) / 2
    let offset = chain.offsets[middle - 1]
    let (left, right) = (try balance(chain, from, middle, join), try balance(chain, middle, to, join))
    return try checked(try join(left, right, offset, .init(left: middle - from > 1, right: to - middle > 1)), offset)
  }

  // MARK: Levels, weakest first

  mutating func expression() throws(ExpressionError) -> Expr {
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw Parser.tooDeep(token.offset) }
    return try or()
  }

  private mutating func or() throws(ExpressionError) -> Expr {
    var chain = Chain(terms: [try and()])
    while true {
      let offset = token.offset
      guard take("or") else { break }
      chain.offsets.append(offset)
      chain.terms.append(try and())
    }
    return try combine(chain) { a, b, offset, links throws(ExpressionError) in try Build.logic(.or, a, b, offset, links) }
  }

  private mutating func and() throws(ExpressionError) -> Expr {
    var chain = Chain(terms: [try not()])
    while true {
      let offset = token.offset
      guard take("and") else { break }
      chain.offsets.append(offset)
      chain.terms.append(try not())
    }
    return try combine(chain) { a, b, offset, links throws(ExpressionError) in try Build.logic(.and, a, b, offset, links) }
  }

  private mutating func not() throws(ExpressionError) -> Expr {
    let offset = token.offset
    guard take("not") else { return try comparison() }
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw Parser.tooDeep(offset) }
    return try checked(try Build.not(try not(), offset), offset)
  }

  private mutating func comparison() throws(ExpressionError) -> Expr {
    var left = try sum()
    while true {
      let offset = token.offset
      if case .symbol(let s) = token.kind, let op = Expr.Comparison(rawValue: s) {
        at += 1
        left = try checked(try Build.compare(op, left, try sum(), offset), offset)
      } else if take("is") {
        left = try checked(try predicateIs(left, offset), offset)
      } else if keyword == "not" || keyword == "in" || keyword == "like" || keyword == "between" {
        left = try checked(try predicate(left, offset), offset)
      } else {
        return left
      }
    }
  }

  private mutating func predicateIs(_ left: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let negated = take("not")
    var result: Expr
    if take("null") {
      result = Build.isNull(left)
    } else if take("true") {
      result = try Build.coalesce([try Build.needBool(left, "is true", offset), Build.literal(.bool(false))], offset)
    } else if take("false") {
      result = try Build.coalesce([try Build.not(left, offset), Build.literal(.bool(false))], offset)
    } else {
      throw unexpected("expected null, true or false after 'is'")
    }
    if negated { result = try Build.not(result, offset) }
    return result
  }

  private mutating func predicate(_ left: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let negated = take("not")
    var result: Expr
    if take("in") {
      result = try inList(left, offset)
    } else if take("like") {
      result = try like(left, offset)
    } else if take("between") {
      let low = try sum()
      try expect("and")
      let high = try sum()
      result = try Build.logic(
        .and, try Build.compare(.greaterOrEqual, left, low, offset), try Build.compare(.lessOrEqual, left, high, offset), offset)
    } else {
      throw unexpected("expected in, like or between")
    }
    if negated { result = try Build.not(result, offset) }
    return result
  }

  private mutating func like(_ left: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    if take("null") {
      // Null for every record, as a comparison is.
      _ = try Build.like(left, "", nil, offset)
      return try Build.compare(.equal, left, Build.literal(.null), offset)
    }
    guard case .string(let pattern) = token.kind else { throw needsText("expected a pattern in quotes after 'like'") }
    guard pattern.utf8.count <= LikePattern.bytesMax else {
      throw ExpressionError("a pattern has at most \(LikePattern.bytesMax) bytes (like_pattern)", at: token.offset)
    }
    at += 1
    guard take("escape") else { return try Build.like(left, pattern, nil, offset) }
    guard case .string(let escape) = token.kind, escape.unicodeScalars.count == 1 else {
      throw needsText("expected one character in quotes")
    }
    at += 1
    return try Build.like(left, pattern, escape, offset)
  }

  private mutating func inList(_ left: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    try expect(symbol: "(")
    var items: [Expr] = []
    repeat { items.append(try expression()) } while take(symbol: ",")
    try expect(symbol: ")")
    return try Build.inList(left, items, offset)
  }

  private mutating func sum() throws(ExpressionError) -> Expr {
    var chain = Chain(terms: [try product()])
    var operators: [String] = []
    while case .symbol(let s) = token.kind, s == "+" || s == "-" || s == "||" {
      operators.append(s)
      chain.offsets.append(token.offset)
      at += 1
      chain.terms.append(try product())
    }
    if operators.allSatisfy({ $0 == "||" }) {
      return try combine(chain) { a, b, offset, links throws(ExpressionError) in try Build.concat(a, b, offset, links) }
    }
    // Where an overflow happens and how a double is rounded depend on the order.
    var left = chain.terms[0]
    for (i, op) in operators.enumerated() {
      let (right, offset) = (chain.terms[i + 1], chain.offsets[i])
      left = try checked(
        op == "||" ? try Build.concat(left, right, offset) : try Build.arithmetic(op == "+" ? .add : .subtract, left, right, offset), offset
      )
    }
    return left
  }

  private mutating func product() throws(ExpressionError) -> Expr {
    var left = try unary()
    while case .symbol(let s) = token.kind, s == "*" || s == "/" || s == "%" {
      let offset = token.offset
      at += 1
      left = try checked(try Build.arithmetic(Expr.Arithmetic(rawValue: s)!, left, try unary(), offset), offset)
    }
    return left
  }

  private mutating func unary() throws(ExpressionError) -> Expr {
    let offset = token.offset
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw Parser.tooDeep(offset) }
    if take(symbol: "-") {
      if case .number(let text) = token.kind {
        at += 1
        return try Build.number("-" + text, offset)
      }
      return try checked(try Build.negate(try unary(), offset), offset)
    }
    if take(symbol: "+") { return try Build.plus(try unary(), offset) }
    return try checked(try primary(), offset)
  }
}
