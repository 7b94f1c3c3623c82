import WeirCore

/// Recursive descent over SQL's scalar expressions; types are checked as the tree is built.
struct Parser {
  private let tokens: [Token]
  private var at = 0
  let scope: Scope

  init(_ text: String, inputs: [InputColumn]) throws(ExpressionError) {
    tokens = try Lexer.tokens(text)
    scope = Scope(inputs: inputs)
  }

  /// Nesting beyond this is refused: the parser recurses.
  private static let depthMax = 200
  private var depth = 0

  // MARK: Tokens

  var token: Token { tokens[at] }
  var isAtEnd: Bool { token.kind == .end }

  /// The lower-case keyword at hand.
  private var keyword: String? { if case .word(let w) = token.kind { w.lowercased() } else { nil } }

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
    guard take(word) else { throw unexpected("'\(word)' expected") }
  }

  mutating func expect(symbol: String) throws(ExpressionError) {
    guard take(symbol: symbol) else { throw unexpected("'\(symbol)' expected") }
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

  mutating func name() throws(ExpressionError) -> String {
    switch token.kind {
    case .word(let s), .quoted(let s):
      at += 1
      return s
    default: throw unexpected("a name expected")
    }
  }

  // MARK: Levels, weakest first

  mutating func expression() throws(ExpressionError) -> Expr {
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw ExpressionError("nested too deep", at: token.offset) }
    return try or()
  }

  private mutating func or() throws(ExpressionError) -> Expr {
    var left = try and()
    while true {
      let offset = token.offset
      guard take("or") else { return left }
      left = try Build.logic(.or, left, try and(), offset)
    }
  }

  private mutating func and() throws(ExpressionError) -> Expr {
    var left = try not()
    while true {
      let offset = token.offset
      guard take("and") else { return left }
      left = try Build.logic(.and, left, try not(), offset)
    }
  }

  private mutating func not() throws(ExpressionError) -> Expr {
    let offset = token.offset
    guard take("not") else { return try comparison() }
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw ExpressionError("nested too deep", at: offset) }
    return try Build.not(try not(), offset)
  }

  private mutating func comparison() throws(ExpressionError) -> Expr {
    var left = try sum()
    while true {
      let offset = token.offset
      if case .symbol(let s) = token.kind, let op = Expr.Comparison(rawValue: s) {
        at += 1
        left = try Build.compare(op, left, try sum(), offset)
      } else if take("is") {
        left = try predicateIs(left, offset)
      } else if keyword == "not" || keyword == "in" || keyword == "like" || keyword == "between" {
        left = try predicate(left, offset)
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
      result = try Build.coalesce([left, Build.literal(.bool(false))], offset)
    } else if take("false") {
      result = try Build.coalesce([try Build.not(left, offset), Build.literal(.bool(false))], offset)
    } else {
      throw unexpected("null, true or false expected after 'is'")
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
      guard case .string(let pattern) = token.kind else { throw unexpected("a pattern in quotes expected after 'like'") }
      at += 1
      var escape: String?
      if take("escape") {
        guard case .string(let e) = token.kind, e.unicodeScalars.count == 1 else { throw unexpected("one character in quotes expected") }
        escape = e
        at += 1
      }
      result = try Build.like(left, pattern, escape, offset)
    } else if take("between") {
      let low = try sum()
      try expect("and")
      let high = try sum()
      result = try Build.logic(
        .and, try Build.compare(.greaterOrEqual, left, low, offset), try Build.compare(.lessOrEqual, left, high, offset), offset)
    } else {
      throw unexpected("in, like or between expected")
    }
    if negated { result = try Build.not(result, offset) }
    return result
  }

  private mutating func inList(_ left: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    try expect(symbol: "(")
    var items: [Expr] = []
    repeat { items.append(try expression()) } while take(symbol: ",")
    try expect(symbol: ")")
    return try Build.inList(left, items, offset)
  }

  private mutating func sum() throws(ExpressionError) -> Expr {
    var left = try product()
    while case .symbol(let s) = token.kind, s == "+" || s == "-" || s == "||" {
      let offset = token.offset
      at += 1
      let right = try product()
      left = s == "||" ? try Build.concat(left, right, offset) : try Build.arithmetic(s == "+" ? .add : .subtract, left, right, offset)
    }
    return left
  }

  private mutating func product() throws(ExpressionError) -> Expr {
    var left = try unary()
    while case .symbol(let s) = token.kind, s == "*" || s == "/" || s == "%" {
      let offset = token.offset
      at += 1
      left = try Build.arithmetic(Expr.Arithmetic(rawValue: s)!, left, try unary(), offset)
    }
    return left
  }

  private mutating func unary() throws(ExpressionError) -> Expr {
    let offset = token.offset
    depth += 1
    defer { depth -= 1 }
    guard depth < Parser.depthMax else { throw ExpressionError("nested too deep", at: offset) }
    if take(symbol: "-") {
      if case .number(let text) = token.kind {
        at += 1
        return try Build.number("-" + text, offset)
      }
      return try Build.negate(try unary(), offset)
    }
    if take(symbol: "+") { return try unary() }
    return try primary()
  }

  // MARK: Primaries

  private mutating func primary() throws(ExpressionError) -> Expr {
    let offset = token.offset
    switch token.kind {
    case .number(let text):
      at += 1
      return try Build.number(text, offset)
    case .string(let text):
      at += 1
      return Build.literal(.string(text))
    case .symbol("("):
      at += 1
      let inner = try expression()
      try expect(symbol: ")")
      return inner
    case .word(let word):
      switch word.lowercased() {
      case "null":
        at += 1
        return Build.literal(.null)
      case "true", "false":
        at += 1
        return Build.literal(.bool(word.lowercased() == "true"))
      case "case":
        at += 1
        return try caseWhen(offset)
      case "timestamp":
        if case .string(let text) = tokens[at + 1].kind {
          at += 2
          return Build.literal(.timestamp(try Build.timestamp(text, tokens[at - 1].offset)))
        }
      default: break
      }
      if tokens[at + 1].kind == .symbol("(") { return try call(word.lowercased(), offset) }
      return try column()
    case .quoted: return try column()
    default: throw unexpected("an expression expected")
    }
  }

  private mutating func column() throws(ExpressionError) -> Expr {
    let offset = token.offset
    var path = try name()
    while take(symbol: ".") { path += "." + (try name()) }
    return try scope.resolve(path, offset)
  }

  private mutating func caseWhen(_ offset: Int) throws(ExpressionError) -> Expr {
    let subject = keyword == "when" ? nil : try expression()
    var branches: [Expr.When] = []
    while take("when") {
      let place = token.offset
      var condition = try expression()
      if let subject { condition = try Build.compare(.equal, subject, condition, place) }
      try expect("then")
      branches.append(.init(condition: try Build.needBool(condition, "when", place), value: try expression()))
    }
    guard !branches.isEmpty else { throw unexpected("'when' expected") }
    let otherwise = take("else") ? try expression() : nil
    try expect("end")
    return try Build.caseWhen(branches, otherwise, offset)
  }

  private mutating func arguments() throws(ExpressionError) -> [Expr] {
    try expect(symbol: "(")
    var all: [Expr] = []
    if take(symbol: ")") { return all }
    repeat { all.append(try expression()) } while take(symbol: ",")
    try expect(symbol: ")")
    return all
  }

  static let functions = [
    "coalesce", "nullif", "cast", "try_cast", "date_trunc", "epoch_ms", "abs", "lower", "upper", "length",
  ]

  private mutating func call(_ function: String, _ offset: Int) throws(ExpressionError) -> Expr {
    at += 1
    switch function {
    case "cast", "try_cast": return try cast(orNull: function == "try_cast", offset)
    case "date_trunc":
      let all = try arguments()
      guard all.count == 2, case .literal(.string(let unit)) = all[0].node else {
        throw ExpressionError("date_trunc takes a unit in quotes and a timestamp: date_trunc('hour', t)", at: offset)
      }
      guard let unit = Expr.TimeUnit(rawValue: unit.lowercased()) else {
        let units = Expr.TimeUnit.allCases.map(\.rawValue)
        throw ExpressionError(
          "unknown unit '\(unit)': \(units.joined(separator: ", "))", at: offset, suggestion: nearestName(unit, in: units))
      }
      return try Build.truncate(unit, all[1], offset)
    case "coalesce":
      let all = try arguments()
      guard !all.isEmpty else { throw ExpressionError("coalesce takes at least one value", at: offset) }
      return try Build.coalesce(all, offset)
    case "nullif":
      let all = try arguments()
      guard all.count == 2 else { throw ExpressionError("nullif takes two values", at: offset) }
      let same = try Build.compare(.equal, all[0], all[1], offset)
      return try Build.caseWhen([.init(condition: same, value: Build.literal(.null))], all[0], offset)
    case "epoch_ms", "abs", "lower", "upper", "length":
      let all = try arguments()
      guard all.count == 1 else { throw ExpressionError("\(function) takes one value", at: offset) }
      return function == "epoch_ms"
        ? try Build.epochMilliseconds(all[0], offset) : try Build.call(Expr.Function(rawValue: function)!, all[0], offset)
    case "count", "sum", "min", "max", "avg":
      throw ExpressionError("\(function) is an aggregate: it belongs into 'measure'", at: offset)
    default:
      throw ExpressionError(
        "unknown function \(function)", at: offset, suggestion: nearestName(function, in: Parser.functions))
    }
  }

  private mutating func cast(orNull: Bool, _ offset: Int) throws(ExpressionError) -> Expr {
    try expect(symbol: "(")
    let value = try expression()
    try expect("as")
    let type = try typeName()
    try expect(symbol: ")")
    return try Build.cast(value, to: type, orNull: orNull, offset)
  }

  mutating func typeName() throws(ExpressionError) -> ColumnType {
    let offset = token.offset
    let word = try name().lowercased()
    switch word {
    case "bool", "boolean": return .bool
    case "int64", "bigint": return .int64
    case "double": return .double
    case "string", "varchar": return .string
    case "binary": return .binary
    case "timestamp": return .timestamp
    case "decimal":
      try expect(symbol: "(")
      guard case .number(let p) = token.kind, let precision = Int(p) else { throw unexpected("a precision expected") }
      at += 1
      var scale = 0
      if take(symbol: ",") {
        guard case .number(let s) = token.kind, let n = Int(s) else { throw unexpected("a scale expected") }
        scale = n
        at += 1
      }
      try expect(symbol: ")")
      guard (1...38).contains(precision), (0...precision).contains(scale) else {
        throw ExpressionError("decimal needs a precision of 1 to 38 and a scale of 0 to the precision", at: offset)
      }
      return .decimal(precision: precision, scale: scale)
    default:
      throw ExpressionError(
        "unknown type \(word)", at: offset,
        suggestion: nearestName(word, in: ["bool", "int64", "double", "string", "timestamp", "decimal(12,2)"]))
    }
  }
}

/// The columns that an expression may name.
struct Scope {
  let inputs: [InputColumn]

  func resolve(_ path: String, _ offset: Int) throws(ExpressionError) -> Expr {
    var found = inputs.indices.filter { inputs[$0].name == path }
    if found.isEmpty {
      found = inputs.indices.filter { inputs[$0].name.split(separator: ".").last.map(String.init) == path }
    }
    guard let index = found.first else {
      throw ExpressionError("unknown column \(path)", at: offset, suggestion: nearestName(path, in: inputs.map(\.name)))
    }
    guard found.count == 1 else {
      let names = found.map { inputs[$0].name }.joined(separator: ", ")
      throw ExpressionError("\(path) may be any of \(names): write it out", at: offset)
    }
    return Build.column(index, inputs[index])
  }
}
