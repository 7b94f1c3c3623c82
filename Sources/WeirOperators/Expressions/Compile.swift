import WeirCore

/// Compiles one SQL scalar expression over the given columns.
public func compileExpression(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> Expr {
  var parser = try Parser(text, inputs: inputs)
  let expr = try parser.expression()
  guard parser.isAtEnd else { throw parser.unexpected("the end of the expression expected") }
  return expr
}

/// Compiles `*, expr as name, column`: `*` stands for the input columns `star`.
public func compileSelectList(_ text: String, inputs: [InputColumn], star: [Int]) throws(ExpressionError) -> [OutputColumn] {
  var parser = try Parser(text, inputs: inputs)
  var columns: [OutputColumn] = []
  func add(_ name: String, _ expr: Expr, _ offset: Int) throws(ExpressionError) {
    guard !columns.contains(where: { $0.name == name }) else { throw ExpressionError("the column \(name) stands twice", at: offset) }
    columns.append(OutputColumn(name: name, expr: expr))
  }
  repeat {
    let offset = parser.token.offset
    if parser.take(symbol: "*") {
      for i in star { try add(inputs[i].name, Build.column(i, inputs[i]), offset) }
      continue
    }
    let expr = try parser.expression()
    if parser.take("as") {
      try add(try parser.name(), expr, offset)
    } else if let plain = expr.plainColumn {
      try add(String(inputs[plain].name.split(separator: ".").last ?? ""), expr, offset)
    } else {
      throw ExpressionError("a computed column needs a name: \(expr.text) as NAME", at: offset)
    }
  } while parser.take(symbol: ",")
  guard parser.isAtEnd else { throw parser.unexpected("',' or the end expected") }
  return columns
}

/// An aggregate function with its argument.
public struct MeasureCall: Sendable {
  public var function: Measure.Function
  public var argument: Expr?
  public var type: ColumnType
}

/// Compiles `count()`, `count(*)`, `count(x)`, `sum(x)`, `min(x)`, `max(x)` or `avg(x)`. A message that begins with
/// "not yet:" is about something that a later version will do.
public func compileMeasure(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> MeasureCall {
  var parser = try Parser(text, inputs: inputs)
  let offset = parser.token.offset
  let name = try parser.name().lowercased()
  if ["approx_distinct", "quantile", "first", "last"].contains(name) { throw ExpressionError("not yet: \(name)", at: offset) }
  guard let function = Measure.Function(rawValue: name) else {
    throw ExpressionError(
      "unknown aggregate \(name)", at: offset, suggestion: nearestName(name, in: ["count", "sum", "min", "max", "avg"]))
  }
  try parser.expect(symbol: "(")
  var argument: Expr?
  if function == .count, parser.take(symbol: "*") {
    argument = nil
  } else if parser.token.kind != .symbol(")") {
    argument = try parser.expression()
  }
  try parser.expect(symbol: ")")
  guard parser.isAtEnd else { throw parser.unexpected("a measure is one aggregate; the end expected") }
  guard let argument else {
    guard function == .count else { throw ExpressionError("\(name) needs an argument", at: offset) }
    return MeasureCall(function: .count, argument: nil, type: .int64)
  }
  switch Typing.measure(function, argument.type) {
  case .success(let type): return MeasureCall(function: function, argument: argument, type: type)
  case .failure(let error): throw ExpressionError(error.message, at: offset)
  }
}
