import WeirCore

/// Compiles one SQL scalar expression over the given columns.
package func compileExpression(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> Expr {
  var parser = try Parser(text, inputs: inputs)
  let expr = try parser.whole()
  guard parser.isAtEnd else { throw parser.unexpected("expected the end of the expression") }
  return expr
}

/// Compiles a condition. A bare `null` is one: neither true nor false.
///
/// - Throws: also where the expression is not a bool, with ``ExpressionError/isAboutType``.
package func compileCondition(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> Expr {
  let expr = Build.typed(try compileExpression(text, inputs: inputs), .bool)
  guard expr.type == .bool else {
    var error = ExpressionError("\(expr.text.shortened(toBytes: 200)) is \(expr.type.name), a bool is needed", at: 0)
    error.isAboutType = true
    throw error
  }
  return expr
}

/// Compiles `*, expr as name, column`: `*` means the input columns `star`.
///
/// - Parameter taken: names of the table's other columns.
/// - Throws: also where a name is empty or taken. Delta compares names of columns without regard to case: a table with `v`
///   and `V` could be written, and no reader would open it.
package func compileSelectList(
  _ text: String, inputs: [InputColumn], star: [Int], taken: [String] = []
) throws(ExpressionError) -> [OutputColumn] {
  var parser = try Parser(text, inputs: inputs)
  var columns: [OutputColumn] = []
  var names = TableNames(taken)
  func add(_ name: String, _ expr: Expr, _ offset: Int) throws(ExpressionError) {
    if let reason = names.add(name) {
      throw ExpressionError("\(reason); write \(expr.text) as NAME", at: offset, nameCode: TableNames.code(name))
    }
    columns.append(OutputColumn(name: name, expr: expr))
  }
  repeat {
    let offset = parser.token.offset
    if parser.take(symbol: "*") {
      for i in star { try add(inputs[i].name, Build.column(i, inputs[i]), offset) }
      continue
    }
    let expr = try parser.whole()
    // Before the name: what is here instead of `as` or a comma is the mistake.
    guard parser.isAtEnd || parser.keyword == "as" || parser.token.kind == .symbol(",") else {
      throw parser.unexpected("expected ',' or as NAME")
    }
    if parser.take("as") {
      try add(try parser.name(), expr, offset)
    } else if let name = expr.ownName(inputs) {
      try add(name, expr, offset)
    } else {
      throw ExpressionError("a computed column needs a name: \(expr.text) as NAME", at: offset)
    }
  } while parser.take(symbol: ",")
  guard parser.isAtEnd else { throw parser.unexpected("expected ',' or the end") }
  return columns
}

/// Compiles `LIST as NAME`: a row for each element of a list, which expressions call by the name.
///
/// - Parameter inputs: of the plan; none of them can have the name.
package func compileExplode(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> ExplodeSpec {
  var parser = try Parser(text, inputs: inputs)
  let list = try parser.whole()
  guard case .list = list.type else {
    let hint =
      switch list.type {
      case .map, .structure: "it has no elements"
      default: "declare the field as a list, such as list<struct<sku:string,price:double>>"
      }
    throw ExpressionError("explode needs a list, and \(list.text.shortened(toBytes: 200)) is \(list.type.name): \(hint)", at: 0)
  }
  guard parser.take("as") else { throw parser.unexpected("expected as NAME, the name of an element") }
  let offset = parser.token.offset
  let name = try parser.name()
  guard parser.isAtEnd else { throw parser.unexpected("expected the end after the name of an element") }
  if name.hasPrefix("_") { throw ExpressionError("names that begin with _ are the engine's", at: offset) }
  if name.isEmpty || name.contains(".") { throw ExpressionError("the name of an element is not empty and has no dots", at: offset) }
  // A lookup's columns are found by the last part of their names, too.
  if let taken = inputs.first(where: { $0.name == name || $0.name.split(separator: ".").first.map(String.init) == name }) {
    throw ExpressionError("the name \(name) is taken by the column \(taken.name): choose another one for the element", at: offset)
  }
  return ExplodeSpec(list: list, name: name)
}

/// The names of one table's columns, as Delta distinguishes them: not by their case; and as Delta, Spark and Trino accept them.
package struct TableNames: Sendable {
  /// The longest name that catalogs (Glue) accept.
  private static let bytesMax = 255
  private var byKey: [String: String] = [:]

  package init(_ taken: [String] = []) {
    for name in taken { byKey[ColumnNames.folded(name)] = name }
  }

  /// - Returns: why a column cannot have the name; nil if it can, and has it now.
  package mutating func add(_ name: String) -> String? {
    if let reason = TableNames.reason(against: name) { return reason }
    let key = ColumnNames.folded(name)
    guard let before = byKey[key] else {
      byKey[key] = name
      return nil
    }
    return before == name
      ? "the name \(name) is taken" : "the name \(name) is taken by \(before): in a Delta table, case does not distinguish names"
  }
}

extension TableNames {
  /// The code of an error that is about a column's name: no column can have it, or another one has.
  package static func code(_ name: String) -> String { reason(against: name) == nil ? "duplicate_name" : "bad_name" }

  /// Why no column of a table can have the name; nil if one can.
  private static func reason(against name: String) -> String? {
    guard !name.isEmpty else { return "the name of a column cannot be empty" }
    // Delta and Parquet readers on Spark refuse these in a table without column mapping.
    if let character = name.unicodeScalars.first(where: { " ,;{}()=".unicodeScalars.contains($0) }) {
      return "a column of a Delta table cannot be named '\(shown(name))': readers refuse names with '\(character)'"
    }
    if let scalar = Printable.invisible(in: name), !scalar.isASCII {
      return "a column cannot be named '\(shown(name))': its name has the invisible character \(Printable.name(of: scalar))"
    }
    if name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control || $0.properties.isWhitespace }) {
      return "a column of a Delta table cannot be named '\(shown(name))': readers refuse names with white space and control characters"
    }
    guard name.utf8.count <= bytesMax else {
      return "a column cannot be named '\(shown(name))': its name has \(name.utf8.count) bytes, and \(bytesMax) is the maximum"
    }
    return nil
  }

  /// Escaped, and cut.
  private static func shown(_ name: String) -> String {
    Printable.visible(String(String.UnicodeScalarView(name.unicodeScalars.prefix(40)))).replacing("\n", with: "\\n").replacing(
      "\t", with: "\\t")
      + (name.unicodeScalars.count > 40 ? "…" : "")
  }
}

/// An aggregate function with its argument.
package struct MeasureCall: Sendable {
  package var function: Measure.Function
  package var argument: Expr?
  package var type: ColumnType
}

/// Compiles a measure: a call of one of ``AggregateFunctions/all``, such as `sum(x)`, or of one that folds rows: `count()`, `count(*)`.
/// An error with ``ExpressionError/isLater`` is about something that a later version will do.
package func compileMeasure(_ text: String, inputs: [InputColumn]) throws(ExpressionError) -> MeasureCall {
  var parser = try Parser(text, inputs: inputs)
  let offset = parser.token.offset
  let name = try parser.name().lowercased()
  if ["approx_distinct", "quantile", "first", "last"].contains(name) {
    var error = ExpressionError("not yet: \(name)", at: offset)
    error.isLater = true
    throw error
  }
  guard let function = AggregateFunctions.named(Measure.Function(rawValue: name)) else {
    throw ExpressionError(
      "unknown aggregate \(name): a measure is one call of \(AggregateFunctions.all.map(\.name.rawValue).sorted().joined(separator: ", ")), such as sum(x + 1)",
      at: offset, suggestion: nearestName(name, in: AggregateFunctions.all.map(\.name.rawValue)))
  }
  try parser.expect(symbol: "(")
  var whole: Expr?
  if function.takesRows, parser.take(symbol: "*") {
    whole = nil
  } else if parser.token.kind != .symbol(")") {
    whole = try parser.whole()
  }
  try parser.expect(symbol: ")")
  guard parser.isAtEnd else { throw parser.unexpected("a measure is one aggregate; expected the end") }
  if whole == nil, !function.takesRows { throw ExpressionError("\(name) needs an argument", at: offset) }
  let argument = whole.map { whole in function.typeOfNull.map { Build.typed(whole, $0) } ?? whole }
  do throws(ExpressionError) {
    return MeasureCall(function: function.name, argument: argument, type: try function.result(of: argument?.type))
  } catch {
    throw ExpressionError(error.message, at: offset)
  }
}
