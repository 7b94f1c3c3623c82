import WeirCore

/// What an expression begins with: names, constants, functions, `case`, brackets.
extension Parser {
  mutating func primary() throws(ExpressionError) -> Expr {
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
      if Parser.connectives.contains(word.lowercased()), !scope.has(word) { throw unexpected("expected an expression") }
      if tokens[at + 1].kind == .symbol("(") { return try call(word.lowercased(), offset) }
      return try column()
    case .quoted: return try column()
    default: throw unexpected("expected an expression")
    }
  }

  /// What follows an expression, and begins none. Columns may have these names.
  private static let connectives: Set<String> = ["and", "as", "between", "else", "end", "in", "is", "like", "or", "then", "when"]

  private mutating func column() throws(ExpressionError) -> Expr {
    var names = [(text: "", offset: token.offset)]
    names[0].text = try name()
    while take(symbol: ".") {
      let offset = token.offset
      names.append((try name(), offset))
    }
    let (column, count) = try scope.resolve(names.map(\.text), names[0].offset)
    var path = PartPath(of: column)
    for name in names[count...] { try path.member(name.text, name.offset) }
    while true {
      if take(symbol: ".") {
        let offset = token.offset
        try path.member(try name(), offset)
      } else if take(symbol: "[") {
        try bracket(&path)
      } else {
        return path.expression(of: column)
      }
    }
  }

  private mutating func bracket(_ path: inout PartPath) throws(ExpressionError) {
    let offset = token.offset
    switch token.kind {
    case .number(let digits): try path.element(digits, offset)
    case .string(let key): try path.key(key, offset)
    default: throw unexpected("expected the number of an element or a key in single quotes")
    }
    at += 1
    try expect(symbol: "]")
  }

  private mutating func caseWhen(_ offset: Int) throws(ExpressionError) -> Expr {
    let subject = keyword == "when" ? nil : try expression()
    var branches: [Expr.When] = []
    var size = 0
    while take("when") {
      let place = token.offset
      // The subject is in each branch.
      size += subject?.size ?? 0
      guard size <= Expr.sizeMax else {
        throw ExpressionError("the case is too large from here on (expression_size); write: case when … ", at: place)
      }
      var condition = try expression()
      if let subject { condition = try Build.compare(.equal, subject, condition, place) }
      try expect("then")
      branches.append(.init(condition: try Build.needBool(condition, "when", place), value: try expression()))
    }
    guard !branches.isEmpty else { throw unexpected("expected 'when'") }
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
    "json_value",
  ]

  private mutating func call(_ function: String, _ offset: Int) throws(ExpressionError) -> Expr {
    at += 1
    switch function {
    case "cast", "try_cast": return try cast(orNull: function == "try_cast", offset)
    case "date_trunc":
      let all = try arguments()
      guard all.count == 2, case .literal(.string(let unit)) = all[0].node else {
        throw ExpressionError("date_trunc needs a unit in quotes and a timestamp: date_trunc('hour', t)", at: offset)
      }
      guard let unit = Expr.TimeUnit(rawValue: unit.lowercased()) else {
        let units = Expr.TimeUnit.allCases.map(\.rawValue)
        throw ExpressionError(
          "unknown unit '\(unit)': \(units.joined(separator: ", "))", at: offset, suggestion: nearestName(unit, in: units))
      }
      return try Build.truncate(unit, all[1], offset)
    case "coalesce":
      let all = try arguments()
      guard !all.isEmpty else { throw ExpressionError("coalesce needs at least one value", at: offset) }
      return try Build.coalesce(all, offset)
    case "nullif":
      let all = try arguments()
      guard all.count == 2 else { throw ExpressionError("nullif needs two values", at: offset) }
      hasNullIf = true
      return try Build.nullIf(all[0], all[1], offset, isShared: isNullIfShared)
    case "epoch_ms", "abs", "lower", "upper", "length":
      let all = try arguments()
      guard all.count == 1 else { throw ExpressionError("\(function) needs one value", at: offset) }
      return function == "epoch_ms"
        ? try Build.epochMilliseconds(all[0], offset) : try Build.call(Expr.Function(rawValue: function)!, all[0], offset)
    case "json_value":
      try expect(symbol: "(")
      let text = try expression()
      try expect(symbol: ",")
      guard case .string(let path) = token.kind else {
        var error = ExpressionError("json_value needs a text of JSON and a path in quotes: json_value(raw, '$.a.b')", at: token.offset)
        error.needsText = true
        throw error
      }
      let steps = try JSONPath.parse(path, token.offset)
      at += 1
      try expect(symbol: ")")
      return try Build.jsonValue(text, steps, offset)
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
      guard case .number(let p) = token.kind, let precision = Int(p) else { throw unexpected("expected a precision") }
      at += 1
      var scale = 0
      if take(symbol: ",") {
        guard case .number(let s) = token.kind, let n = Int(s) else { throw unexpected("expected a scale") }
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
        suggestion: TypeHabits.name(of: word) ?? nearestName(word, in: ["bool", "int64", "double", "string", "timestamp", "decimal(12,2)"]))
    }
  }
}
