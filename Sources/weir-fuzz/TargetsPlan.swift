import Foundation
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirObserve
import WeirOperators
import WeirPlan
import WeirRuntime

extension FuzzTarget {
  // MARK: Expressions

  private static let inputs: [InputColumn] = [
    InputColumn(name: "i", type: .int64, nullable: true, origin: .field(0)),
    InputColumn(name: "s", type: .string, nullable: true, origin: .field(1)),
    InputColumn(name: "b", type: .bool, nullable: true, origin: .field(2)),
    InputColumn(name: "x", type: .double, nullable: true, origin: .field(3)),
    InputColumn(name: "d", type: .decimal(precision: 12, scale: 2), nullable: true, origin: .field(4)),
    InputColumn(name: "wide", type: .decimal(precision: 38, scale: 10), nullable: true, origin: .field(5)),
    InputColumn(name: "t", type: .timestamp, nullable: true, origin: .field(6)),
    InputColumn(name: "l.name", type: .string, nullable: true, origin: .field(7)),
  ]
  private static let rows: [[Literal]] = [
    [
      .int64(5), .string("abc"), .bool(true), .double(1.5), .decimal(1234, precision: 12, scale: 2), .decimal(7, precision: 38, scale: 10),
      .timestamp(0), .string("n"),
    ],
    [
      .int64(.min), .string(""), .bool(false), .double(-1e308), .decimal(-999_999_999_999, precision: 12, scale: 2),
      .decimal(-1, precision: 38, scale: 10), .timestamp(-62_135_596_800_000_000), .null,
    ],
    [
      .int64(.max), .string("ñ😀%_\u{0}"), .null, .double(5e-324), .null,
      .decimal(99_999_999_999_999_999_999_999_999_999_999_999_999, precision: 38, scale: 10), .timestamp(253_402_300_799_999_999),
      .string("2024-02-29"),
    ],
    [.null, .string("17"), .bool(true), .null, .decimal(0, precision: 12, scale: 2), .null, .null, .string("1e5")],
    [
      .int64(0), .null, .bool(false), .double(-0.0), .decimal(1, precision: 12, scale: 2), .decimal(0, precision: 38, scale: 10),
      .timestamp(1_709_164_800_000_000), .string("x"),
    ],
  ]
  private static let expressionTexts = [
    "i + 1 > 3 and not b or x / 2 < 1e3", "case when s like 'a%' escape '!' then 1 when i in (1, 2, null) then 2 else i end",
    "coalesce(cast(s as int64), try_cast(l.name as int64), -i)", "s || '-' || l.name", "d * 2 + wide between 1 and 2.50",
    "date_trunc('month', t)",
    "epoch_ms(t) % 1000", "abs(i) is null or b is not true", "cast(x as decimal(10,2)) = d", "lower(upper(s)) <> ''", "length(s) * i",
    "nullif(i, 5)", "json_value(s, '$.a[0].\"x y\"')", "json_value(s || '}', '$[''k'']') is null",
    "timestamp '2024-01-01' < t", "if(b, 1, 2)", "*, i as j, s || 'x' as y", "sum(d)", "count()", "avg(i % 10)", "max(s)", "(((((i)))))",
  ]
  private static let expressionWords = [
    "and", "or", "not", "is null", "is not true", "in (", "like '", "escape", "between", "case when", "then", "else", "end", "cast(",
    "try_cast(", " as int64)",
    " as string)", " as decimal(38,10))", " as timestamp)", "coalesce(", "nullif(", "abs(", "lower(", "length(", "date_trunc('day', ",
    "epoch_ms(", "json_value(", "'$.a[1]')", "[0]", "['k']",
    "i", "s", "b", "x", "d", "wide", "t", "l.name", "null", "true", "'", "\"", "(", ")", ",", "||", "%", "*", "/", "-", "<>", "!=", "<=",
    "1e308", "0.1",
    "9223372036854775808", "'a%_'", "timestamp '2024-01-01'", "((((((((", "not not not not", "- - - -", "*", " as name", "sum(", "count()",
    "avg(", "min(",
  ]

  private static func columns(_ rows: ArraySlice<[Literal]>) -> [Column?] {
    inputs.enumerated().map { number, input in
      var builder = ColumnBuilder(input.type)
      for row in rows { builder.append(row[number]) }
      return builder.finish()
    }
  }

  /// What an expression gives over a block is what it gives row by row; its canonical text and its JSON are the expression.
  private static func check(_ expr: Expr) {
    expect(expr.levels <= Expr.levelsMax && expr.size <= Expr.sizeMax, "beyond the bounds")
    // Foundation's coder costs most of the time here.
    if expr.size < 40_000 {
      do {
        let data = try JSONEncoder().encode(expr)
        expect(try JSONDecoder().decode(Expr.self, from: data) == expr, "coded and decoded it is another expression: \(expr.text)")
      } catch { fail("\(expr.text): \(error)") }
      do {
        let again = try compileExpression(expr.text, inputs: inputs)
        expect(again == expr, "its text is another expression: \(expr.text) and \(again.text)")
      } catch { fail("its text does not compile: \(expr.text): \(error.message)") }
    }
    guard expr.size < 400_000 else { return }
    let whole = ExprEvaluator(expr).evaluate(columns(rows[...]), count: rows.count)
    for row in rows.indices {
      let alone = ExprEvaluator(expr).evaluate(columns(rows[row...row]), count: 1)
      expect(
        same(alone.column.literal(0), whole.column.literal(row)),
        "\(expr.text): row \(row) alone is \(alone.column.literal(0)), not \(whole.column.literal(row))")
      expect(alone.errors.first?.reason == whole.errors.first { $0.row == row }?.reason, "\(expr.text): row \(row) alone has another error")
    }
  }

  static let expressions = FuzzTarget("expressions", words: expressionWords, seeds: { expressionTexts.map { Array($0.utf8) } }) { input in
    let text = String(decoding: input, as: UTF8.self)
    func place(_ error: ExpressionError) {
      expect(error.offset >= 0 && error.offset <= text.utf8.count, "an error at \(error.offset) of \(text.utf8.count): \(error.message)")
      expect(!error.message.isEmpty && error.message.utf8.count < text.utf8.count + 10_000, "a message without a bound")
    }
    do throws(ExpressionError) { check(try compileExpression(text, inputs: inputs)) } catch { place(error) }
    if let condition = try? compileCondition(text, inputs: inputs) {
      expect(condition.type == .bool, "a condition of another type")
      _ = ExprEvaluator(condition).rows(thatAre: false, columns(rows[...]), count: rows.count)
    }
    do throws(ExpressionError) {
      for column in try compileSelectList(text, inputs: inputs, star: Array(inputs.indices)) {
        expect(!column.name.isEmpty, "a column without a name")
      }
    } catch {
      place(error)
    }
    do throws(ExpressionError) { if let argument = try compileMeasure(text, inputs: inputs).argument { check(argument) } } catch {
      place(error)
    }
  }

  // MARK: Lookups

  static let lookup = FuzzTarget(
    "lookup", words: [",", "\"", "\"\"", "\r\n", "\n", "\u{FEFF}", "k", "a", "b", "1.50", "true", "2024-01-01", ",,,,,,,,"],
    seeds: {
      ["k,a,b\n1,x,1.50\n2,\"y \"\"z\"\"\n\",2\r\n3,,\n", "\u{FEFF}a,k\nx,7\n", "k\n1\n", "k,a\n1.0,q\n1,r\n"].map { Array($0.utf8) }
    }
  ) { input in
    for type in [ColumnType.string, .int64, .decimal(precision: 12, scale: 2)] {
      guard
        let table = try? LookupTable(
          name: "l", bytes: input, file: "f.csv", key: "k", keyType: type, types: ["a": .int64, "b": .decimal(precision: 9, scale: 2)])
      else { continue }
      expect(table.bytes == input, "the table keeps other bytes")
      var builder = ColumnBuilder(type)
      let keys: [Literal] =
        type == .string
        ? [.string("1"), .string(""), .null]
        : type == .int64
          ? [.int64(1), .int64(0), .null] : [.decimal(100, precision: 12, scale: 2), .decimal(0, precision: 12, scale: 2), .null]
      for key in keys { builder.append(key) }
      let found = table.probe(builder.finish(), count: keys.count)
      expect(found[2] == -1, "a null key was found")
      for i in table.columns.indices {
        let column = table.gather(column: i, rows: found)
        for row in keys.indices { _ = column.literal(row) }
      }
    }
  }

  // MARK: Pipeline files

  private static let pipelines = [
    """
    pipeline: p
    source: {capture: {stream: s, deal: md5}}
    record:
      key: k
      time: {field: t, out_of_order: 1s, max_ahead: 10m}
      fields: {id: string!, k: string, t: timestamp_ms!, n: int64, a: "decimal(12,2)", at: {type: timestamp, path: "o.p[1]"}}
    checks:
      - {name: known, that: "k in ('a', 'b') and n > 0", else: drop}
    dedup: {id: id, within: 20s}
    lookups: {l: {file: lookup.csv, key: k, columns: {b: int64}}}
    bronze: {partition_by: day(_arrival)}
    silver: {partition_by: day(t), columns: "*, n + 1 as n1, l.a as la"}
    gold:
      g: {where: n > 1, by: [k, l.a], window: {hopping: 20s, every: 10s, lateness: 5s}, measure: {rows: count(), total: sum(a)}, partition_by: day(window_start)}
    state:
      u: {by: [k, n % 3 as three], measure: {rows: count(), mean: avg(n)}}
    quarantine: {halt_above: 5%, exit_above: 50%}
    lake: {path: ./lake, codec: none, flush: {bytes: 1MiB, every: 10s}, ledger_keep: 7d}
    store: {lmdb: ./state, flush: 100ms, share: 10%}
    worker: {memory: 1GiB}
    """,
    """
    pipeline: k
    source: {kafka: {brokers: "localhost:9092,b:1", topic: ["^ad-.*", other], group: g, start: earliest, stream: st, misplaced: merge}}
    record: {format: avro, registry: {url: "http://localhost:8081"}, fields: {id: string, n: int64}, key: id}
    state: {u: {by: [id], measure: {n: "sum(n)"}}}
    sinks: {kafka: {brokers: localhost:9092, topics: {quarantine: dead}}}
    admin: {listen: "127.0.0.1:0"}
    """,
    """
    pipeline: r
    source: {capture: {stream: s}}
    record: {key: k, time: {field: t}, fields: {by: {type: string, path: head.by}, t: timestamp_ms!}}
    route:
      by: head.by
      kinds:
        a: {fields: {k: string!, n: int64}, checks: [{name: c, that: n > 0}], silver: {columns: "*, _kind"}}
        b: {is: [b, B], fields: {k: {type: string, path: id}, n: {type: int64!, path: "o[1]"}, l: list<int64>}, silver: {explode: l as x, where: x > n}}
      else: drop
    dedup: {id: k, within: 1h}
    silver: {tables: {all: {}, c: {from: b, columns: "k, l"}}}
    gold: {g: {from: a, by: [k], window: {tumbling: 10s, lateness: 0s}, measure: {rows: count(), s: sum(n)}}}
    state: {u: {from: b, by: [k, _kind], measure: {rows: count()}}}
    """,
  ]
  private static let pipelineWords = [
    "pipeline:", "source:", "record:", "fields:", "checks:", "lookups:", "bronze:", "silver:", "gold:", "state:", "kafka:", "capture:",
    "worker:", "sinks:",
    "window:", "tumbling: 10s", "hopping: 1d", "every: 1ms", "lateness:", "offset:", "by:", "measure:", "where:", "partition_by:",
    "hour(t)", "decimal(38,38)",
    "decimal(0,0)", "36500d", "0s", "99999999999999999999d", "1024TiB", "&a ", "*a", "<<: ", "!!binary ", "!!int ", "? ", "- ", "|\n",
    "---\n", "{", "}", "[", "]",
    "\"", "'", "\t", "null", "~", "path:", "[9999]", "route:", "kinds:", "is:", "from: a", "else: drop", "properties:", "tls:",
    "{env: HOME}",
  ]

  /// A plan that `weir check` accepts has a hash, is written and read as itself, compiles, and can be explained.
  static let pipeline = FuzzTarget(
    "pipeline", words: pipelineWords,
    seeds: {
      try pipelines.map {
        _ = try loadPipeline(yaml: $0, file: Files.pipeline); return Array($0.utf8)
      }
    }
  ) { input in
    let loaded: LoadedPipeline
    do throws(ConfigurationError) { loaded = try loadPipeline(yaml: String(decoding: input, as: UTF8.self), file: Files.pipeline) } catch {
      expect(!error.diagnostics.isEmpty && error.diagnostics.count < 1000, "\(error.diagnostics.count) problems")
      for problem in error.diagnostics { expect(problem.line >= 1 && problem.column >= 1 && !problem.message.isEmpty, problem.text) }
      return
    }
    let plan = loaded.plan
    do {
      let data = try JSONEncoder().encode(plan)
      let decoder = JSONDecoder()
      decoder.userInfo[.adapters] = PlanSections.standard.types
      expect(try decoder.decode(Plan.self, from: data) == plan, "coded and decoded it is another plan")
      let meaning = try PlanMeaning.json(plan)
      expect(try JSONValue(parsing: meaning.bytes) == meaning, "its meaning is not read from a ledger")
      expect(!PlanMeaning.changes(from: meaning, to: meaning).joined().contains("cannot be compared"), "its meaning is not a plan")
    } catch { fail("\(error)") }
    _ = PlanMeaning.hash(plan)
    _ = (Explain.text(plan, lookups: loaded.lookups), ExplainDocument.json(plan, lookups: loaded.lookups).bytes)
    let lane = LaneState(
      LaneID(shard: "s"), generation: 1, compiled: CompiledPlan(plan, lookups: loaded.lookups), run: RunInfo(shard: "s", runID: "r"),
      scratch: Scratch())
    _ = try lane.cut()
    if let route = plan.record.route, !plan.record.recordFormat.carriesSchemaIDs { check(route, plan.record) }
  }

  /// A block has a kind for each record, and a column for each field.
  private static func check(_ route: RouteSpec, _ record: RecordSpec) {
    let says = route.kinds.flatMap(\.values) + ["", "none"]
    let lines = says.map {
      "{\"by\": \(JSONValue.string($0).text), \"head\": {\"by\": \(JSONValue.string($0).text)}, \"t\": 1, \"k\": \"x\"}\n"
    }
    let block = record.decoder(read: nil, keepsBlankLines: true).decode(RawBlock(lines: Array(lines.joined().utf8)))
    expect(
      block.kinds?.count == block.count && block.valid.count == block.count, "\(block.count) records, kinds of \(block.kinds?.count ?? -1)")
    for (column, field) in zip(block.columns, record.fields) {
      expect(column.count == block.count, "\(field.name) has \(column.count) rows")
    }
  }

  private enum Files {
    static let pipeline: String = {
      _ = Workspace.directory("pipeline")
      _ = Workspace.file("pipeline/lookup.csv", Array("k,a,b\na,x,1\nb,y,2\n".utf8))
      return Workspace.path + "/pipeline/plan.yaml"
    }()
  }

  // MARK: Requests

  static let adminRequest = FuzzTarget(
    "admin-request", words: ["/state/", "%", "%2F", "%00", "%zz", "?", "&", "=", "limit=", "prefix=", "bearer ", "Bearer "],
    seeds: {
      [
        Parts.join(
          Array("GET".utf8), Array("localhost:1".utf8), Array("Bearer token".utf8), Array("/state/users/a%20b/?limit=5&prefix=%C3%A9".utf8)),
        Parts.join(Array("POST".utf8), [], [], Array("/drain".utf8)),
      ]
    }
  ) { input in
    let parts = Parts.split(input, 4).map { String(decoding: $0, as: UTF8.self) }
    let request = AdminRequest(method: parts[0], target: parts[3], hosts: [parts[1]], isHTTP10: parts[1].isEmpty, authorization: parts[2])
    expect(request.path.count <= parts[3].utf8.count + 1, "more parts than bytes")
  }
}
