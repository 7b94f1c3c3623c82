import Testing
import WeirCore
import WeirOperators

/// Long, deep and large expressions: within the bounds they give what a naive evaluation gives, beyond them an error with a place.
struct ExpressionBoundsTests {
  private static let inputs: [InputColumn] = [
    InputColumn(name: "i", type: .int64, nullable: true, origin: .field(0)),
    InputColumn(name: "s", type: .string, nullable: true, origin: .field(1)),
    InputColumn(name: "b", type: .bool, nullable: true, origin: .field(2)),
    InputColumn(name: "wide", type: .decimal(precision: 38, scale: 0), nullable: true, origin: .field(3)),
    InputColumn(name: "fine", type: .decimal(precision: 38, scale: 37), nullable: true, origin: .field(4)),
  ]

  private func run(_ text: String, _ rows: [[Literal]]) throws -> (values: [Literal], errors: [Int: String]) {
    let expr = try compileExpression(text, inputs: Self.inputs)
    let columns = Self.inputs.enumerated().map { number, input -> Column? in
      var builder = ColumnBuilder(input.type)
      for row in rows { builder.append(number < row.count ? row[number] : .null) }
      return builder.finish()
    }
    let result = ExprEvaluator(expr).evaluate(columns, count: rows.count)
    return (rows.indices.map { result.column.literal($0) }, Dictionary(uniqueKeysWithValues: result.errors.map { ($0.row, $0.reason) }))
  }

  private func failure(_ text: String) -> ExpressionError? {
    do {
      _ = try compileExpression(text, inputs: Self.inputs)
      return nil
    } catch { return error }
  }

  private func chain(_ count: Int, _ separator: String, _ term: (Int) -> String) -> String {
    (0..<count).map(term).joined(separator: separator)
  }

  @Test(arguments: [2, 9, 100, 164, 165, 1000, 4999]) func chainsOfAnyLengthGiveWhatTheirTermsGive(count: Int) throws {
    let last = count - 1
    let rows: [[Literal]] = [[.int64(0)], [.int64(Int64(last))], [.int64(-1)], [.null]]
    #expect(try run(chain(count, " or ") { "i = \($0)" }, rows).values == [.bool(true), .bool(true), .bool(false), .null])
    #expect(try run(chain(count, " and ") { "i <> \($0)" }, rows).values == [.bool(false), .bool(false), .bool(true), .null])
    let letters = chain(count, "") { String(UnicodeScalar(UInt8(97 + $0 % 26))) }
    let text = "s || " + chain(count, " || ") { "'\(UnicodeScalar(UInt8(97 + $0 % 26)))'" }
    #expect(try run(text, [[.null, .string("x")], [.null, .null]]).values == [.string("x" + letters), .null])
  }

  @Test func theFirstErrorOfALongChainIsTheRows() throws {
    // i / … cannot fail; a cast can. A decided or is no error, whatever the others are.
    let terms = chain(2000, " or ") { "cast(s as int64) = \($0)" }
    let rows: [[Literal]] = [[.int64(1), .string("x")], [.int64(1), .string("1999")], [.int64(1), .null]]
    let result = try run(terms, rows)
    #expect(result.values == [.null, .bool(true), .null])
    #expect(result.errors == [0: "cannot cast 'x' to int64"])
    #expect(try run("i = 1 or " + terms, rows).errors.isEmpty)
  }

  @Test func aSumOfManyTermsOverflowsWhereItDidFromLeftToRight() throws {
    let sum = "9223372036854775807 + i - i" + String(repeating: " + 0", count: 100)
    #expect(try run(sum, [[.int64(1)], [.int64(-1)]]).errors[0]?.hasPrefix("overflow in 9223372036854775807 + i") == true)
    #expect(try run(sum, [[.int64(0)]]).values == [.int64(.max)])
    #expect(failure(String(repeating: "i + ", count: 200) + "i")?.message.contains("expression_depth") == true)
  }

  @Test func canonicalTextOfLongChainsCompilesToTheSameExpression() throws {
    for text in [
      chain(1000, " or ") { "i = \($0)" }, "(b or i > 1) or " + chain(300, " or ") { "i = \($0)" },
      "not (" + chain(300, " and ") { $0 % 7 == 0 ? "(b and i > \($0))" : "i > \($0)" } + ")", chain(500, " || ") { "'\($0)'" },
      chain(164, " or ") { "i = \($0)" }, chain(165, " or ") { "i = \($0)" },
    ] {
      let expr = try compileExpression(text, inputs: Self.inputs)
      #expect(expr.levels <= Expr.levelsMax)
      #expect(try compileExpression(expr.text, inputs: Self.inputs) == expr)
    }
  }

  @Test func aNumberIsTheSameHoweverItIsWritten() throws {
    for (text, canonical) in [
      (".50", "0.50"), ("00.50", "0.50"), ("-.5", "-0.5"), ("007.25", "7.25"), (".0", "0.0"), ("- -0", "-(0)"), ("-(5)", "-(5)"),
    ] {
      let expr = try compileExpression(text, inputs: Self.inputs)
      let other = try compileExpression(canonical, inputs: Self.inputs)
      #expect(expr.text == canonical && expr == other, "\(text) is \(expr)")
    }
  }

  @Test func whatIsTooDeepOrTooLargeIsAnErrorWithAPlace() {
    func nested(_ count: Int, _ open: String, _ close: String) -> String {
      String(repeating: open, count: count) + "i" + String(repeating: close, count: count)
    }
    func doubled(_ count: Int, _ grow: (String) -> String) -> String { (0..<count).reduce("i") { text, _ in grow(text) } }
    let deep = [
      nested(5000, "(", ")"), nested(5000, "-(", ")"), nested(5000, "abs(", ")"), nested(5000, "coalesce(1, ", ")"),
      nested(5000, "case when i > 0 then ", " end"), String(repeating: "not ", count: 5000) + "b",
      String(repeating: "- ", count: 5000) + "i",
      String(repeating: "+ ", count: 5000) + "i", String(repeating: "i * ", count: 5000) + "i",
      "b" + String(repeating: " is true", count: 5000),
      "b" + String(repeating: " = b", count: 5000), "b" + String(repeating: " is not null", count: 5000),
      "s" + String(repeating: " || s + i", count: 5000),
    ]
    for text in deep {
      let error = failure(text)
      #expect(error != nil && error!.offset > 0 && error!.offset < text.utf8.count, "\(text.prefix(40)): \(error?.message ?? "compiled")")
    }
    let large = [
      doubled(120) { "nullif(\($0), 1)" }, "i" + String(repeating: " between 1 and 2 = b", count: 60),
      chain(12_000, " or ") { "i = \($0)" },
      "case " + chain(10, " || ") { _ in "s" } + " "
        + chain(20_000, " ") { "when '\($0)' then 1" } + " end",
    ]
    for text in large { #expect(failure(text) != nil, "\(text.prefix(40))") }
    #expect(failure("s like '\(String(repeating: "a%", count: 3000))'")?.message.contains("like_pattern") == true)
  }

  @Test func aListOfAHundredThousandIsSearched() throws {
    let rows: [[Literal]] = [
      [.int64(99_999 * 3), .string("s99999")], [.int64(1), .string("s100000")], [.int64(0), .string("")], [.null, .null],
    ]
    let expected: [Literal] = [.bool(true), .bool(false), .bool(true), .null]
    #expect(try run("i in (" + chain(100_000, ", ") { "\(299_997 - $0 * 3)" } + ")", rows).values == expected)
    #expect(
      try run("s in (" + chain(100_000, ", ") { "'s\($0)'" } + ")", rows).values == [.bool(true), .bool(false), .bool(false), .null])
    #expect(try run("i in (null, " + chain(20, ", ") { "\($0)" } + ")", rows).values == [.null, .bool(true), .bool(true), .null])
    #expect(
      try run("i in (" + chain(20, ", ") { "\($0).50" } + ", 1.00)", rows).values == [.bool(false), .bool(true), .bool(false), .null])
  }

  @Test func manyBranchesAreTriedInOrder() throws {
    let text = "case " + chain(3000, " ") { "when i = \($0) then \($0 * 2)" } + " when i < 0 then cast('x' as int64) end"
    let result = try run(text, [[.int64(2999)], [.int64(0)], [.int64(-1)], [.int64(5000)], [.null]])
    #expect(result.values == [.int64(5998), .int64(0), .null, .null, .null])
    #expect(result.errors == [2: "cannot cast 'x' to int64"])
  }

  // MARK: Like

  /// The definition: `%` any text, `_` one code point.
  private func naive(_ pattern: ArraySlice<UnicodeScalar>, _ text: ArraySlice<UnicodeScalar>) -> Bool {
    guard let first = pattern.first else { return text.isEmpty }
    if first == "%" { return (0...text.count).contains { naive(pattern.dropFirst(), text.dropFirst($0)) } }
    return !text.isEmpty && (first == "_" || first == text.first) && naive(pattern.dropFirst(), text.dropFirst())
  }

  @Test func likeIsItsDefinition() throws {
    var random = SystemRandomNumberGenerator()
    let signs: [UnicodeScalar] = ["a", "b", "ñ", "😀", "a", "b"]
    for _ in 0..<300 {
      let pattern = (0..<Int.random(in: 0...7, using: &random)).map { _ in (signs + ["%", "_", "%", "_"]).randomElement(using: &random)! }
      let texts = (0..<20).map { _ in (0..<Int.random(in: 0...9, using: &random)).map { _ in signs.randomElement(using: &random)! } }
      func string(_ scalars: [UnicodeScalar]) -> String { String(String.UnicodeScalarView(scalars)) }
      let values = try run("s like '\(string(pattern))'", texts.map { [.null, .string(string($0))] }).values
      for (text, value) in zip(texts, values) {
        #expect(value == .bool(naive(pattern[...], text[...])), "'\(string(text))' like '\(string(pattern))'")
      }
    }
    let long = String(repeating: "_a", count: 500)
    #expect(try run("s like '%\(long)%'", [[.null, .string(String(repeating: "xa", count: 600))]]).values == [.bool(true)])
    #expect(try run("s like '%\(long)b%'", [[.null, .string(String(repeating: "xa", count: 600))]]).values == [.bool(false)])
  }

  // MARK: Nulls and decimals

  @Test func aNullTakesTheTypeOfItsSiblings() throws {
    let cases: [(String, ColumnType)] = [
      ("null in (1)", .bool), ("null in ('a', null)", .bool), ("abs(null)", .int64), ("-null", .int64), ("null + null", .int64),
      ("null + 1.5", .decimal(precision: 3, scale: 1)), ("date_trunc('hour', null)", .timestamp), ("epoch_ms(null)", .int64),
      ("lower(null)", .string), ("length(null)", .int64), ("case when b then null else i end", .int64), ("nullif(null, 1)", .int64),
      ("case when b then cast(null as double) end", .double), ("coalesce(null, cast(null as int64))", .int64),
      ("nullif(cast(null as double), 1)", .double), ("coalesce(cast(null as int64), null, null)", .int64),
      ("null between 1 and 2", .bool), ("not null", .bool), ("null like 'a'", .bool), ("null || s", .string), ("null", .string),
    ]
    for (text, type) in cases {
      let expr = try compileExpression(text, inputs: Self.inputs)
      #expect(expr.type == type, "\(text)")
      #expect(try compileExpression(expr.text, inputs: Self.inputs) == expr, "\(text)")
      if text.contains("i end") { continue }
      #expect(try run(text, [[.int64(7), .string("a"), .bool(true)]]).values == [.null], "\(text)")
    }
    #expect(failure("coalesce(cast(null as int64), s)") != nil && failure("cast(null as int64) in ('a')") != nil)
    #expect(try compileCondition("null", inputs: Self.inputs).type == .bool)
    #expect(try compileMeasure("sum(null)", inputs: Self.inputs).type == .decimal(precision: 38, scale: 0))
  }

  @Test func decimalsOfDifferentScalesAreComparedAndAddedExactly() throws {
    let most: Int128 = 99_999_999_999_999_999_999_999_999_999_999_999_999
    func row(_ wide: Int128?, _ fine: Int128?) -> [Literal] {
      [
        .int64(.max), .null, .null, wide.map { .decimal($0, precision: 38, scale: 0) } ?? .null,
        fine.map { .decimal($0, precision: 38, scale: 37) } ?? .null,
      ]
    }
    let rows = [row(most, 1), row(most, nil), row(nil, most), row(-most, most), row(2, 2 * FieldPowers.e37), row(9, most)]
    #expect(try run("wide > fine", rows).values == [.bool(true), .null, .null, .bool(false), .bool(false), .bool(false)])
    #expect(try run("wide = fine", rows).values == [.bool(false), .null, .null, .bool(false), .bool(true), .bool(false)])
    #expect(try run("wide in (2.0000, 0.5)", rows).values == [.bool(false), .bool(false), .null, .bool(false), .bool(true), .bool(false)])
    #expect(try run("i > fine", rows).values == [.bool(true), .null, .bool(true), .bool(true), .bool(true), .bool(true)])
    let sum = try run("wide - fine", rows)
    #expect(sum.values[1...2] == [.null, .null] && sum.values[4] == .decimal(0, precision: 38, scale: 37))
    #expect(sum.errors.keys.sorted() == [0, 3])
    // 9 - 9.99…9 has 37 digits, though 9 has 38 at that scale; 17 - 9.99…9 needs more than 128 bits on the way.
    #expect(sum.values[5] == .decimal(9 * FieldPowers.e37 - most, precision: 38, scale: 37))
    #expect(try run("wide - fine", [row(18, most)]).values == [.decimal(8 * FieldPowers.e37 + 1, precision: 38, scale: 37)])
    #expect(
      try run("wide % fine", [row(most, 3 * FieldPowers.e37), row(-most, nil), row(5, 0)]).values == [
        .decimal(0, precision: 38, scale: 37), .null, .null,
      ])
    #expect(
      try run("fine % wide", [row(most, 3), row(-2, -3 * FieldPowers.e37)]).values == [
        .decimal(3, precision: 38, scale: 37), .decimal(-FieldPowers.e37, precision: 38, scale: 37),
      ])
  }

  private enum FieldPowers { static let e37: Int128 = 10_000_000_000_000_000_000_000_000_000_000_000_000 }

  @Test func suggestionsCostLittle() {
    let name = String(repeating: "x", count: 1 << 20)
    #expect(nearestName(name, in: [name + "y"]) == nil)
    #expect(nearestName("colour", in: ["color", name]) == "color")
  }
}
