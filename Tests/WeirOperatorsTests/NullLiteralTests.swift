import Testing
import WeirCore
import WeirOperators

/// Null literals in every place of every operator and function: the type is that of what stands beside them, and the value SQL's.
/// Tests/EndToEnd/expressions_equal_duckdb.py compares types and values with DuckDB's.
@Suite struct NullLiteralTests {
  private static let inputs: [InputColumn] = [
    InputColumn(name: "n", type: .int64, nullable: true, origin: .field(0)),
    InputColumn(name: "x", type: .double, nullable: true, origin: .field(1)),
    InputColumn(name: "d", type: .decimal(precision: 12, scale: 2), nullable: true, origin: .field(2)),
    InputColumn(name: "k", type: .string, nullable: true, origin: .field(3)),
    InputColumn(name: "b", type: .bool, nullable: true, origin: .field(4)),
    InputColumn(name: "t", type: .timestamp, nullable: true, origin: .field(5)),
  ]
  private static let row: [Literal] = [
    .int64(7), .double(2.5), .decimal(1234, precision: 12, scale: 2), .string("a"), .bool(true), .timestamp(1_450_000_000_000_000),
  ]

  private func run(_ text: String) throws -> (expr: Expr, value: Literal) {
    let expr = try compileExpression(text, inputs: Self.inputs)
    let columns = zip(Self.inputs, Self.row).map { input, value -> Column? in
      var builder = ColumnBuilder(input.type)
      builder.append(value)
      return builder.finish()
    }
    let result = ExprEvaluator(expr).evaluate(columns, count: 1)
    #expect(result.errors.isEmpty, "\(text)")
    return (expr, result.column.literal(0))
  }

  @Test(arguments: ["null", "(coalesce(null, null))", "(nullif(null, null))", "(case when b then null end)"])
  func aNullHasTheTypeOfItsContextAndTheValueOfSQL(_ null: String) throws {
    var cases: [(String, ColumnType, Literal)] = [
      ("N or b", .bool, .bool(true)), ("b and N", .bool, .null), ("not N", .bool, .null), ("N is null", .bool, .bool(true)),
      ("N is not null", .bool, .bool(false)), ("N is true", .bool, .bool(false)), ("N is not false", .bool, .bool(true)),
      ("N in (1, 2)", .bool, .null), ("N not in ('a')", .bool, .null), ("N like 'a'", .bool, .null), ("k like null", .bool, .null),
      ("k not like null", .bool, .null), ("n in (1, null)", .bool, .null), ("n in (7, null)", .bool, .bool(true)),
      ("N between 1 and 2", .bool, .null), ("n between N and 2", .bool, .bool(false)), ("n between 1 and N", .bool, .null),
      ("-N", .int64, .null), ("+N", .int64, .null), ("abs(N)", .int64, .null), ("length(N)", .int64, .null), ("epoch_ms(N)", .int64, .null),
      ("lower(N)", .string, .null), ("upper(N)", .string, .null), ("N || k", .string, .null), ("k || N", .string, .null),
      ("json_value(N, '$.a')", .string, .null), ("date_trunc('hour', N)", .timestamp, .null),
      ("N + n", .int64, .null), ("x - N", .double, .null), ("N * d", .decimal(precision: 24, scale: 4), .null), ("N / n", .double, .null),
      ("n % N", .int64, .null), ("case when N then 1 else 2 end", .int64, .int64(2)),
      ("case n when N then 1 else 2 end", .int64, .int64(2)),
      ("case N when 1 then 1 else 2 end", .int64, .int64(2)),
    ]
    for (input, value) in zip(Self.inputs, Self.row) {
      let own: [(String, Literal)] = [
        ("nullif(N, C)", .null), ("nullif(C, N)", value), ("nullif(C, C)", .null), ("coalesce(N, C)", value), ("coalesce(C, N)", value),
        ("case when b then N else C end", .null), ("case when not b then N else C end", value), ("cast(N as T)", .null),
        ("try_cast(N as T)", .null),
      ]
      let logical: [(String, Literal)] = [
        ("N = C", .null), ("C <> N", .null), ("N < C", .null), ("C >= N", .null), ("C is null", .bool(false)),
      ]
      func filled(_ text: String) -> String { text.replacing("C", with: input.name).replacing("T", with: input.type.name) }
      cases += own.map { (filled($0.0), input.type, $0.1) } + logical.map { (filled($0.0), ColumnType.bool, $0.1) }
    }
    for (text, type, value) in cases {
      let written = text.replacing("N", with: null)
      let (expr, found) = try run(written)
      #expect(expr.type == type && found == value, "\(written) is \(found) of \(expr.type.name)")
      #expect(try compileExpression(expr.text, inputs: Self.inputs) == expr, "\(written): \(expr.text)")
    }
  }

  @Test func aTypedNullIsOfNoOtherType() {
    for text in ["nullif(null, k) + 1", "+null || k", "nullif(null, n) = k", "+k", "+b", "+t", "coalesce(nullif(null, d), k)"] {
      #expect(throws: ExpressionError.self, "\(text)") { try compileExpression(text, inputs: Self.inputs) }
    }
  }

  // MARK: What an expression copies

  private func steps(_ text: String) throws -> Int {
    let columns = zip(Self.inputs, Self.row).map { input, value -> Column? in
      var builder = ColumnBuilder(input.type)
      builder.append(value)
      return builder.finish()
    }
    return ExprEvaluator(try compileExpression(text, inputs: Self.inputs)).steps(columns, count: 1)
  }

  @Test(arguments: [1, 2, 5, 10, 13, 14, 40, 90]) func aNullIfComputesItsOperandOnce(depth: Int) throws {
    let text = (0..<depth).reduce("n") { text, number in "nullif(\(text), \(number + 1))" }
    #expect(try run(text).value == (depth >= 7 ? .null : .int64(7)))
    #expect(try steps(text) <= 6 * depth + 1)
    let expr = try run(text).expr
    #expect(try compileExpression(expr.text, inputs: Self.inputs) == expr)
    let mixed = (0..<depth).reduce("n") { text, number in "nullif(\(text), \(number).5)" }
    #expect(try run(mixed).value == .int64(7) && run(mixed).expr.type == .int64)
  }

  @Test func operandsThatStandSeveralTimesAreComputedOnce() throws {
    let chain = "abs(abs(abs(abs(n))))"
    let alone = try steps(chain)
    // Of the rest there are two comparisons with a constant each, and what joins them.
    #expect(try steps("\(chain) between 8 and 9") == alone + 5)
    #expect(try steps("\(chain) between 8 and 9.5") <= alone + 7)
    #expect(try steps("\(chain) in (1, 2, 3)") == alone + 1 && steps("coalesce(\(chain), 1)") == alone + 1)
    let branches = (100..<150).map { "when \($0) then \($0)" }.joined(separator: " ")
    #expect(try steps("case \(chain) \(branches) end") <= alone + 1 + 2 * 50)
    #expect(try run("case \(chain) when 1 then 'x' when 7.0 then 'y' when 7 then 'z' end").value == .string("y"))
    #expect(try run("\(chain) between 6.5 and 7").value == .bool(true))
  }

  /// Plans of earlier versions have `nullif` as a `case`: their hashes stay.
  @Test func aShortNullIfIsTheCaseThatItAlwaysWas() throws {
    let expr = try run("nullif(nullif(n, 1), 2)").expr
    #expect(expr.text.hasPrefix("case when case when n = 1 then null else n end = 2 then null else case"))
    guard case .when = expr.node else {
      Issue.record("another node: \(expr.node)")
      return
    }
  }
}
