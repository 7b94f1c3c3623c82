import WeirCore

/// Makes typed nodes with their canonical text, inserting casts where the rules of types ask for them.
enum Build {
  // MARK: Text

  /// Strength of the outermost operator: an operand that is weaker than its place wants brackets.
  private static func strength(_ e: Expr) -> Int {
    switch e.node {
    case .or: 1
    case .and: 2
    case .not: 3
    case .compare, .isNull, .inList, .like: 4
    case .arithmetic(.add, _, _), .arithmetic(.subtract, _, _), .concat: 5
    case .arithmetic: 6
    case .negate: 7
    default: 9
    }
  }

  private static func text(_ e: Expr, _ least: Int) -> String { strength(e) < least ? "(\(e.text))" : e.text }

  static func quote(_ s: String) -> String { "'" + s.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'" }

  static let reserved: Set<String> = [
    "and", "or", "not", "is", "null", "true", "false", "in", "like", "between", "case", "when", "then", "else", "end", "as",
    "escape", "timestamp",
  ]

  private static func nameText(_ name: String) -> String {
    name.split(separator: ".", omittingEmptySubsequences: false).map { isWord($0) ? String($0) : "\"\($0)\"" }.joined(separator: ".")
  }

  // MARK: Leaves

  static func column(_ index: Int, _ input: InputColumn) -> Expr {
    Expr(node: .column(index), type: input.type, text: nameText(input.name))
  }

  static func literal(_ value: Literal) -> Expr {
    switch value {
    case .null: Expr(node: .literal(.null), type: .string, text: "null")
    case .bool(let v): Expr(node: .literal(value), type: .bool, text: v ? "true" : "false")
    case .int64(let v): Expr(node: .literal(value), type: .int64, text: String(v))
    case .double(let v): Expr(node: .literal(value), type: .double, text: doubleText(v))
    case .decimal(let v, let p, let s):
      Expr(node: .literal(value), type: .decimal(precision: p, scale: s), text: DecimalText.text(v, scale: s))
    case .string(let v): Expr(node: .literal(value), type: .string, text: quote(v))
    case .binary(let v): Expr(node: .literal(value), type: .binary, text: quote(String(decoding: v, as: UTF8.self)))
    case .timestamp(let t): Expr(node: .literal(value), type: .timestamp, text: "timestamp '\(CivilTime.text(ofMicroseconds: t))'")
    }
  }

  private static func doubleText(_ v: Double) -> String {
    let text = "\(v)"
    return text.contains("e") ? text : text + "e0"
  }

  /// An integer, a decimal (with a point) or a double (with an exponent).
  static func number(_ text: String, _ offset: Int) throws(ExpressionError) -> Expr {
    if text.contains(where: { $0 == "e" || $0 == "E" }) {
      guard let v = Double(text), v.isFinite else { throw ExpressionError("\(text) is beyond the largest double", at: offset) }
      return literal(.double(v))
    }
    if !text.contains(".") {
      if let v = Int64(text) { return literal(.int64(v)) }
      throw ExpressionError("\(text) is not an int64", at: offset)
    }
    // `.5` and `00.5` are `0.5`, as the canonical text has it.
    let parts = text.drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
    let whole = parts[0].drop { $0 == "0" }
    let digits = (whole.isEmpty ? "0" : whole) + parts[1]
    guard digits.count <= 38, let v = Int128(digits) else { throw ExpressionError("\(text) has more than 38 digits", at: offset) }
    return literal(.decimal(text.hasPrefix("-") ? -v : v, precision: digits.count, scale: parts[1].count))
  }

  static func timestamp(_ text: String, _ offset: Int) throws(ExpressionError) -> Int64 {
    let (value, reason) = TimestampText.parse(text)
    guard let value else { throw ExpressionError("'\(text)': \(reason)", at: offset) }
    return value
  }

  /// A null without a type of its own: it takes the type of its context. `cast(null as double)` has one.
  /// So has a `case`, `coalesce` or `nullif` of nothing but such nulls none.
  static func isBareNull(_ e: Expr) -> Bool {
    guard e.type == .string else { return false }
    switch e.node {
    case .literal(.null): return e.text == "null"
    case .when(let branches, let otherwise): return branches.allSatisfy { isBareNull($0.value) } && otherwise.map(isBareNull) ?? true
    case .coalesce(let all): return all.allSatisfy(isBareNull)
    default: return false
    }
  }

  /// A null without a type as one of `type`; anything else as it is.
  static func typed(_ e: Expr, _ type: ColumnType) -> Expr { isBareNull(e) ? coerce(e, type) : e }

  // MARK: Coercion

  /// `e` as `type`, its text kept: the compiler inserts the same cast again when it reads the text.
  static func coerce(_ e: Expr, _ type: ColumnType) -> Expr {
    if e.type == type { return e }
    if case .literal(let value) = e.node, let folded = fold(value, type) { return Expr(node: .literal(folded), type: type, text: e.text) }
    return Expr(node: .cast(e, orNull: false), type: type, text: e.text)
  }

  private static func fold(_ value: Literal, _ type: ColumnType) -> Literal? {
    switch (value, type) {
    case (.null, _): return .null
    case (.int64(let v), .double): return .double(Double(v))
    case (.int64(let v), .decimal(let p, let s)):
      let (scaled, overflow) = Int128(v).multipliedReportingOverflow(by: FieldValues.powers[s])
      return overflow ? nil : .decimal(scaled, precision: p, scale: s)
    case (.decimal(let v, _, let s), .decimal(let p, let t)) where t >= s:
      let (scaled, overflow) = v.multipliedReportingOverflow(by: FieldValues.powers[t - s])
      return overflow ? nil : .decimal(scaled, precision: p, scale: t)
    case (.decimal(let v, _, let s), .double): return Double(DecimalText.text(v, scale: s)).map { .double($0) }
    default: return nil
    }
  }

  /// Lists, structs and maps have no order and no other form: a scalar in them is named by its path.
  private static func needScalar(_ e: Expr, _ what: String, _ offset: Int) throws(ExpressionError) {
    guard e.type.isNested else { return }
    throw ExpressionError(
      "\(what): \(e.text) is \(e.type.name); expressions cannot use a list, struct or map as a whole, except with is null: select the column unchanged, or name the part that you need, such as user.id, items[0].sku or attrs['k']",
      at: offset)
  }

  /// Both with one type. A string literal next to a timestamp is read as one.
  private static func unify(_ a: Expr, _ b: Expr, _ what: String, _ offset: Int) throws(ExpressionError) -> (Expr, Expr) {
    for side in [a, b] { try needScalar(side, what, offset) }
    var (a, b) = (a, b)
    if case .literal(.string(let s)) = b.node, a.type == .timestamp {
      b = Expr(node: .literal(.timestamp(try timestamp(s, offset))), type: .timestamp, text: b.text)
    }
    if case .literal(.string(let s)) = a.node, b.type == .timestamp {
      a = Expr(node: .literal(.timestamp(try timestamp(s, offset))), type: .timestamp, text: a.text)
    }
    if isBareNull(a) { return (coerce(a, b.type), b) }
    if isBareNull(b) { return (a, coerce(b, a.type)) }
    guard let type = Typing.common(a.type, b.type) else {
      throw ExpressionError("\(what): \(a.text) is \(a.type.name), \(b.text) is \(b.type.name)\(timeHint(a, b))", at: offset)
    }
    return (coerce(a, type), coerce(b, type))
  }

  /// Of a time and a number.
  private static func timeHint(_ a: Expr, _ b: Expr) -> String {
    guard let time = a.type == .timestamp ? a : b.type == .timestamp ? b : nil, a.type.isNumeric || b.type.isNumeric else { return "" }
    return ": write epoch_ms(\(time.text)) for milliseconds since 1970, or compare with timestamp '2026-01-31T00:00:00Z'"
  }

  static func needBool(_ e: Expr, _ what: String, _ offset: Int) throws(ExpressionError) -> Expr {
    let e = typed(e, .bool)
    guard e.type == .bool else { throw ExpressionError("\(what) needs a bool, and \(e.text) is \(e.type.name)", at: offset) }
    return e
  }

  // MARK: Logic

  enum Logic { case and, or }

  /// Which sides are part of the same chain, and need no brackets.
  struct Links {
    var left: Bool
    var right: Bool
    /// `a or b or c` is `(a or b) or c`.
    static let toTheLeft = Links(left: true, right: false)
  }

  static func logic(_ op: Logic, _ a: Expr, _ b: Expr, _ offset: Int, _ links: Links = .toTheLeft) throws(ExpressionError) -> Expr {
    let word = op == .and ? "and" : "or"
    let a = try needBool(a, word, offset)
    let b = try needBool(b, word, offset)
    let least = op == .and ? 2 : 1
    let text = "\(text(a, links.left ? least : least + 1)) \(word) \(text(b, links.right ? least : least + 1))"
    return Expr(node: op == .and ? .and(a, b) : .or(a, b), type: .bool, text: text)
  }

  static func not(_ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = try needBool(a, "not", offset)
    return Expr(node: .not(a), type: .bool, text: "not \(text(a, 3))")
  }

  static func compare(_ op: Expr.Comparison, _ a: Expr, _ b: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let (x, y) = try unify(a, b, "cannot compare", offset)
    return Expr(node: .compare(op, x, y), type: .bool, text: "\(text(x, 5)) \(op.rawValue) \(text(y, 5))")
  }

  static func isNull(_ a: Expr) -> Expr { Expr(node: .isNull(a), type: .bool, text: "\(text(a, 5)) is null") }

  /// The text of a test for null.
  static func isNull(_ a: Expr, isNot: Bool) -> String { "\(text(a, 5)) is \(isNot ? "not " : "")null" }

  static func inList(_ a: Expr, _ items: [Expr], _ offset: Int) throws(ExpressionError) -> Expr {
    try needScalar(a, "in", offset)
    var type: ColumnType? = isBareNull(a) ? nil : a.type
    for item in items where !isBareNull(item) {
      guard case .literal(let value) = item.node else { throw ExpressionError("in accepts only constants", at: offset) }
      if type == .timestamp, case .string = value { continue }
      guard let common = type.map({ Typing.common($0, item.type) }) ?? item.type else {
        throw ExpressionError("in: \(a.text) is \(a.type.name), \(item.text) is \(item.type.name)", at: offset)
      }
      type = common
    }
    let common = type ?? .string
    var values: [Literal] = []
    for item in items {
      guard case .literal(let value) = coerce(common == .timestamp ? try asTimestamp(item, offset) : item, common).node else {
        throw ExpressionError("\(item.text) is not a valid \(common.name)", at: offset)
      }
      values.append(value)
    }
    let x = coerce(a, common)
    let list = items.map(\.text).joined(separator: ", ")
    return Expr(node: .inList(x, LiteralList(values)), type: .bool, text: "\(text(x, 5)) in (\(list))")
  }

  private static func asTimestamp(_ e: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    guard case .literal(.string(let s)) = e.node else { return e }
    return Expr(node: .literal(.timestamp(try timestamp(s, offset))), type: .timestamp, text: e.text)
  }

  static func like(_ a: Expr, _ pattern: String, _ escape: String?, _ offset: Int) throws(ExpressionError) -> Expr {
    guard a.type == .string else { throw ExpressionError("like needs a string, and \(a.text) is \(a.type.name)", at: offset) }
    let tail = escape.map { " escape \(quote($0))" } ?? ""
    return Expr(node: .like(a, pattern: pattern, escape: escape), type: .bool, text: "\(text(a, 5)) like \(quote(pattern))\(tail)")
  }

  // MARK: Values

  static func arithmetic(_ op: Expr.Arithmetic, _ a: Expr, _ b: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = typed(a, isBareNull(b) ? .int64 : b.type)
    let b = typed(b, a.type)
    guard let (left, right, result) = Typing.arithmetic(op, a.type, b.type) else {
      throw ExpressionError("\(op.rawValue) does not accept \(a.type.name) (\(a.text)) and \(b.type.name) (\(b.text))", at: offset)
    }
    let (x, y) = (coerce(a, left), coerce(b, right))
    let least = op == .add || op == .subtract ? 5 : 6
    return Expr(node: .arithmetic(op, x, y), type: result, text: "\(text(x, least)) \(op.rawValue) \(text(y, least + 1))")
  }

  static func negate(_ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = typed(a, .int64)
    guard a.type.isNumeric else { throw ExpressionError("- needs a number, and \(a.text) is \(a.type.name)", at: offset) }
    // Before the digits of a literal, the sign would be part of it.
    var isPlainNumber = false
    if case .literal = a.node { isPlainNumber = !a.text.hasPrefix("-") }
    return Expr(node: .negate(a), type: a.type, text: isPlainNumber ? "-(\(a.text))" : "-\(text(a, 8))")
  }

  /// The number itself.
  static func plus(_ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    if isBareNull(a) { return null(of: .int64) }
    guard a.type.isNumeric else { throw ExpressionError("+ needs a number, and \(a.text) is \(a.type.name)", at: offset) }
    return a
  }

  /// A null that has a type.
  private static func null(of type: ColumnType) -> Expr {
    Expr(node: .literal(.null), type: type, text: "cast(null as \(type.name))")
  }

  /// - Parameter isShared: as a node of its own, and not as a `case` that has `a` twice.
  static func nullIf(_ a: Expr, _ b: Expr, _ offset: Int, isShared: Bool) throws(ExpressionError) -> Expr {
    // A null has the type of what it is compared with.
    let value = isBareNull(a) && !isBareNull(b) && !b.type.isNested ? null(of: b.type) : a
    guard isShared else {
      return try caseWhen([.init(condition: try compare(.equal, value, b, offset), value: literal(.null))], value, offset)
    }
    let (_, other) = try unify(value, b, "cannot compare", offset)
    return Expr(node: .nullIf(value, other), type: value.type, text: "nullif(\(value.text), \(other.text))")
  }

  static func concat(_ a: Expr, _ b: Expr, _ offset: Int, _ links: Links = .toTheLeft) throws(ExpressionError) -> Expr {
    for side in [a, b] where side.type != .string {
      var error = ExpressionError("|| needs strings, and \(side.text) is \(side.type.name): cast it", at: offset)
      error.operandType = side.type
      throw error
    }
    return Expr(node: .concat(a, b), type: .string, text: "\(text(a, links.left ? 5 : 6)) || \(text(b, links.right ? 5 : 6))")
  }

  static func coalesce(_ all: [Expr], _ offset: Int) throws(ExpressionError) -> Expr {
    let type = try commonType(all, "coalesce", offset)
    let list = all.map { coerce($0, type) }
    return Expr(node: .coalesce(list), type: type, text: "coalesce(\(list.map(\.text).joined(separator: ", ")))")
  }

  private static func commonType(_ all: [Expr], _ what: String, _ offset: Int) throws(ExpressionError) -> ColumnType {
    var type: ColumnType?
    for one in all where !isBareNull(one) {
      try needScalar(one, what, offset)
      guard let before = type else { type = one.type; continue }
      guard let common = Typing.common(before, one.type) else {
        throw ExpressionError("\(what): \(one.text) is \(one.type.name), the ones before are \(before.name)", at: offset)
      }
      type = common
    }
    return type ?? .string
  }

  static func caseWhen(_ branches: [Expr.When], _ otherwise: Expr?, _ offset: Int) throws(ExpressionError) -> Expr {
    let type = try commonType(branches.map(\.value) + (otherwise.map { [$0] } ?? []), "case", offset)
    let typed = branches.map { Expr.When(condition: $0.condition, value: coerce($0.value, type)) }
    let other = otherwise.map { coerce($0, type) }
    let whens = typed.map { "when \($0.condition.text) then \($0.value.text)" }.joined(separator: " ")
    return Expr(node: .when(typed, otherwise: other), type: type, text: "case \(whens)\(other.map { " else \($0.text)" } ?? "") end")
  }

  static func cast(_ a: Expr, to type: ColumnType, orNull: Bool, _ offset: Int) throws(ExpressionError) -> Expr {
    try needScalar(a, orNull ? "try_cast" : "cast", offset)
    let allowed: Bool =
      switch (a.type, type) {
      case (let x, let y) where x == y: true
      case (.string, .binary), (.binary, .string), (_, .string): a.type != .binary || type == .string
      case (.string, _): type != .binary
      case (.bool, .int64), (.int64, .bool): true
      case (.timestamp, .int64), (.int64, .timestamp): false
      case (let x, let y): x.isNumeric && y.isNumeric
      }
    guard allowed || isBareNull(a) else {
      let hint = a.type == .timestamp ? ": use epoch_ms" : ""
      throw ExpressionError("cannot cast \(a.type.name) to \(type.name)\(hint)", at: offset)
    }
    let word = orNull ? "try_cast" : "cast"
    return Expr(node: isBareNull(a) ? .literal(.null) : .cast(a, orNull: orNull), type: type, text: "\(word)(\(a.text) as \(type.name))")
  }

  static func truncate(_ unit: Expr.TimeUnit, _ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = typed(a, .timestamp)
    guard a.type == .timestamp else { throw ExpressionError("date_trunc needs a timestamp, and \(a.text) is \(a.type.name)", at: offset) }
    return Expr(node: .truncate(unit, a), type: .timestamp, text: "date_trunc('\(unit.rawValue)', \(a.text))")
  }

  static func epochMilliseconds(_ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = typed(a, .timestamp)
    guard a.type == .timestamp else { throw ExpressionError("epoch_ms needs a timestamp, and \(a.text) is \(a.type.name)", at: offset) }
    return Expr(node: .epochMilliseconds(a), type: .int64, text: "epoch_ms(\(a.text))")
  }

  static func call(_ function: Expr.Function, _ a: Expr, _ offset: Int) throws(ExpressionError) -> Expr {
    let a = function == .abs ? typed(a, .int64) : a
    let type: ColumnType
    switch function {
    case .abs:
      guard a.type.isNumeric else { throw ExpressionError("abs needs a number, and \(a.text) is \(a.type.name)", at: offset) }
      type = a.type
    case .lower, .upper, .length:
      guard a.type == .string else {
        throw ExpressionError("\(function.rawValue) needs a string, and \(a.text) is \(a.type.name)", at: offset)
      }
      type = function == .length ? .int64 : .string
    }
    return Expr(node: .call(function, a), type: type, text: "\(function.rawValue)(\(a.text))")
  }
}
