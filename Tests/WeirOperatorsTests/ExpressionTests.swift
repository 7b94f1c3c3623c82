import Testing
import WeirCore
import WeirOperators

struct ExpressionTests {
  private static let inputs: [InputColumn] = [
    InputColumn(name: "i", type: .int64, nullable: true, origin: .field(0)),
    InputColumn(name: "x", type: .double, nullable: true, origin: .field(1)),
    InputColumn(name: "d", type: .decimal(precision: 12, scale: 2), nullable: true, origin: .field(2)),
    InputColumn(name: "s", type: .string, nullable: true, origin: .field(3)),
    InputColumn(name: "b", type: .bool, nullable: true, origin: .field(4)),
    InputColumn(name: "t", type: .timestamp, nullable: true, origin: .field(5)),
    InputColumn(name: "look.up", type: .string, nullable: true, origin: .lookup(lookup: 0, column: 0)),
  ]

  private func run(_ text: String, _ row: [Literal]) throws -> (value: Literal, error: String?) {
    let expr = try compileExpression(text, inputs: ExpressionTests.inputs)
    let columns = zip(ExpressionTests.inputs, row).map { input, value -> Column? in
      var builder = ColumnBuilder(input.type)
      builder.append(value)
      return builder.finish()
    }
    let result = ExprEvaluator(expr).evaluate(columns, count: 1)
    return (result.column.literal(0), result.errors.first?.reason)
  }

  private let row: [Literal] = [
    .int64(7), .double(2.5), .decimal(1234, precision: 12, scale: 2), .string("view"), .bool(true),
    .timestamp(1_450_000_123_456_789), .string("c001"),
  ]

  @Test func valuesFollowSQL() throws {
    let cases: [(String, Literal)] = [
      ("i + 1", .int64(8)), ("i % 4", .int64(3)), ("i / 2", .double(3.5)), ("-i", .int64(-7)), ("i / 0", .null), ("i % 0", .null),
      ("d + 1", .decimal(1334, precision: 22, scale: 2)), ("d * 2", .decimal(2468, precision: 31, scale: 2)),
      ("d > 12.33 and d < 12.35", .bool(true)), ("i > 6.5", .bool(true)), ("x * 2 = 5", .bool(true)),
      ("s in ('click', 'view')", .bool(true)), ("s not in ('click', null)", .null), ("s like 'v_e%'", .bool(true)),
      ("s like 'V%'", .bool(false)), ("s || '-' || look.up", .string("view-c001")), ("up = 'c001'", .bool(true)),
      ("case when i > 5 then 'big' else 'small' end", .string("big")), ("case s when 'view' then 1 end", .int64(1)),
      ("coalesce(null, i, 3)", .int64(7)), ("nullif(i, 7)", .null), ("i is not null and not (b is false)", .bool(true)),
      ("cast(' +007 ' as int64)", .int64(7)), ("cast('-0012.50' as decimal(6,2))", .decimal(-1250, precision: 6, scale: 2)),
      ("try_cast('+-7' as int64)", .null), ("try_cast('0x7' as int64)", .null), ("cast(2.5e0 as int64)", .int64(2)),
      ("'काम' like '%ा%'", .bool(true)), ("'e\u{301}' like '_'", .bool(false)), ("'e\u{301}' like '__'", .bool(true)),
      ("cast('12.345' as double)", .double(12.345)), ("cast(d as int64)", .int64(12)), ("try_cast('x' as int64)", .null),
      ("epoch_ms(t)", .int64(1_450_000_123_456)), ("date_trunc('hour', t) = '2015-12-13T09:00:00Z'", .bool(true)),
      ("i between 7 and 9", .bool(true)), ("abs(-3)", .int64(3)), ("upper(s)", .string("VIEW")), ("length('ñ😀')", .int64(2)),
      ("cast(t as string)", .string("2015-12-13T09:48:43.456789Z")), ("cast(12.30 as string)", .string("12.30")),
    ]
    for (text, expected) in cases { #expect(try run(text, row).value == expected, "\(text)") }
  }

  /// Each step frees what it does not need, and texts are addresses.
  @Test func textsOfOneStepAreWholeInTheNext() throws {
    let count = 500
    var (numbers, words) = (ColumnBuilder(.int64), ColumnBuilder(.string))
    for row in 0..<count {
      numbers.append(.int64(Int64(row)))
      words.append(.string("Word\(row)"))
    }
    var columns = [Column?](repeating: nil, count: ExpressionTests.inputs.count)
    (columns[0], columns[3]) = (numbers.finish(), words.finish())
    let cases: [(String, (Int) -> Literal)] = [
      ("'x' || cast(i as string)", { .string("x\($0)") }), ("upper(s) || lower(s)", { .string("WORD\($0)word\($0)") }),
      ("cast(i as string) || '-' || upper(s)", { .string("\($0)-WORD\($0)") }),
      ("lower('A' || cast(i as string))", { .string("a\($0)") }), ("length(cast(i as string) || '!')", { .int64(Int64("\($0)!".count)) }),
      ("'q' || coalesce(cast(i as string), 'none')", { .string("q\($0)") }),
      ("'q' || case when i > 5 then cast(i as string) else upper(s) end", { .string($0 > 5 ? "q\($0)" : "qWORD\($0)") }),
      ("try_cast(cast(i as string) || '0' as int64)", { .int64(Int64($0 * 10)) }),
      ("'x' || cast(i as string) = 'x7'", { .bool($0 == 7) }), ("'x' || cast(i as string) like 'x1%'", { .bool("\($0)".hasPrefix("1")) }),
      ("'x' || cast(i as string) in ('x3', 'x499')", { .bool($0 == 3 || $0 == 499) }),
    ]
    for (text, expected) in cases {
      let result = ExprEvaluator(try compileExpression(text, inputs: ExpressionTests.inputs)).evaluate(columns, count: count)
      let wrong = (0..<count).filter { result.column.literal($0) != expected($0) }
      #expect(wrong.isEmpty && result.errors.isEmpty, "\(text): \(wrong.prefix(3).map { result.column.literal($0) })")
    }
  }

  @Test func nullLogicIsKleenes() throws {
    let names = ["true", "false", "null"]
    let values: [Bool?] = [true, false, nil]
    for (a, x) in zip(names, values) {
      for (b, y) in zip(names, values) {
        let and: Bool? = x == false || y == false ? false : x == nil || y == nil ? nil : true
        let or: Bool? = x == true || y == true ? true : x == nil || y == nil ? nil : false
        #expect(try run("\(a) and \(b)", row).value == (and.map { .bool($0) } ?? .null))
        #expect(try run("\(a) or \(b)", row).value == (or.map { .bool($0) } ?? .null))
      }
    }
  }

  @Test func anErrorIsTheRowsOnlyWhereItsValueIsNeeded() throws {
    let full: [Literal] = [.int64(.max)] + row.dropFirst()
    #expect(try run("i + 1", full).error == "overflow in i + 1")
    #expect(try run("case when i < 0 then i + 1 else 0 end", full) == (.int64(0), nil))
    #expect(try run("i < 0 and i + 1 > 0", full) == (.bool(false), nil))
    #expect(try run("coalesce(s, cast('x' as string))", full).error == nil)
    #expect(try run("cast(s as int64)", full).error != nil)
    #expect(try run("i + 1", [.null] + row.dropFirst()) == (.null, nil))
  }

  @Test func canonicalTextCompilesToTheSameExpression() throws {
    for text in [
      "a", "i+1*2", "(i+1)*2", "not (b and (b or i>3))", "s IN ('a''b',null)", "case when b then 1.50 else d end", "-(-i)", "i - (2 - 1)",
      "d*x/3", "x is not null", "t > '2015-01-01T00:00:00Z'", "look.up like '10\\%' escape '\\'", "cast(i as decimal(20,3))", "not not b",
      "(s || 'a') = s", "(i > 3) = b",
    ] {
      guard let expr = try? compileExpression(text, inputs: ExpressionTests.inputs) else {
        #expect(text == "a")
        continue
      }
      #expect(try compileExpression(expr.text, inputs: ExpressionTests.inputs) == expr, "\(text) -> \(expr.text)")
    }
  }

  @Test func errorsTellWhereAndTheNearestName() {
    func failure(_ text: String) -> ExpressionError? {
      do {
        _ = try compileExpression(text, inputs: ExpressionTests.inputs)
        return nil
      } catch { return error }
    }
    #expect(failure("i + looks.up")?.suggestion == "look.up")
    #expect(failure("i + looks.up")?.offset == 4)
    #expect(failure("coalesc(i)")?.suggestion == "coalesce")
    #expect(failure("i + s")?.message.contains("int64") == true)
    #expect(failure("s = 3") != nil && failure("i +") != nil && failure("'open") != nil && failure("i i") != nil)
    #expect(failure("sum(i)")?.message.contains("aggregate") == true)
    #expect(failure(String(repeating: "(", count: 5000)) != nil)
  }

  @Test func lookupKeysAreReadAsTheFieldsType() throws {
    func rows(_ type: ColumnType, _ csv: String, _ keys: [Literal]) throws -> [Int32] {
      let table = try LookupTable(name: "l", bytes: Array(csv.utf8), file: "l.csv", key: "k", keyType: type)
      var builder = ColumnBuilder(type)
      for key in keys { builder.append(key) }
      return table.probe(builder.finish(), count: keys.count)
    }
    #expect(
      try rows(
        .decimal(precision: 6, scale: 2), "k,v\n1,a\n3.5,b\n",
        [.decimal(100, precision: 6, scale: 2), .decimal(350, precision: 6, scale: 2), .null]) == [0, 1, -1])
    #expect(try rows(.int64, "k,v\n01,a\n,b\n", [.int64(1), .null, .int64(0)]) == [0, -1, -1])
    #expect(try rows(.bool, "k,v\nTRUE,a\n", [.bool(true), .bool(false)]) == [0, -1])
    #expect(try rows(.string, "k,v\n\"\",a\ne\u{301},b\n\u{e9},c\n", [.string(""), .string("\u{e9}"), .string("e\u{301}")]) == [0, 2, 1])
    #expect(throws: WeirError.self) { try rows(.int64, "k,v\nx,a\n", []) }
    #expect(throws: WeirError.self) { try rows(.decimal(precision: 6, scale: 2), "k,v\n1,a\n1.00,b\n", []) }
  }
}
