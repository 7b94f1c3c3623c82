import Testing
import WeirConfiguration
import WeirCore
import WeirPlan

/// `route`: several kinds of records in one stream.
@Suite struct RouteTests {
  private static let record =
    "  key: k\n  time: {field: t}\n  fields: {type: string!, t: timestamp!, k: string!, code: int64, price: double}\n"

  private func load(_ route: String, _ more: String = "silver: {}", record: String = RouteTests.record) throws -> Plan {
    try loadPipeline(
      yaml: "pipeline: p\nsource: {capture: {stream: s.t}}\nrecord:\n\(record)\(route)\n\(more)\n", file: "p.yaml"
    ).plan
  }

  private static let route = """
    route:
      by: type
      kinds:
        order:
          fields: {amount: "decimal(12,2)!", place: {type: string!, path: to.city}}
          checks:
            - {name: positive, that: amount > 0, else: drop}
          silver: {}
        refund:
          is: [refund, chargeback]
          fields: {amount: {type: "decimal(12,2)", path: refunded}, why: string, place: {type: string!, path: from}}
          silver: {columns: "k, amount as back, _kind", where: why is not null}
      else: drop
    """

  @Test func kindsHaveFieldsTablesAndChecksOfTheirOwn() throws {
    let plan = try load(RouteTests.route, "gold: {g: {from: refund, by: [why], window: {tumbling: 1m}, measure: {n: sum(amount)}}}")
    let route = try #require(plan.record.route)
    #expect(route.by == 0 && route.common == 5 && route.otherwise == .drop)
    #expect(route.kinds.map(\.name) == ["order", "refund"] && route.kinds.map(\.values) == [["order"], ["refund", "chargeback"]])
    // A column for each name, required where all kinds require it.
    #expect(plan.record.fields.map(\.name) == ["type", "t", "k", "code", "price", "amount", "place", "why"])
    #expect(plan.record.fields.map(\.required) == [true, true, true, false, false, false, true, false])
    #expect(route.kinds[1].fields.map { FieldPath.text($0.field.steps) } == ["refunded", "why", "from"])
    #expect(plan.tables.map(\.name) == ["silver/order", "silver/refund", "gold/g", "quarantine/s.t", "late/g"])
    #expect(plan.tables[0].columns.map(\.name) == ["type", "t", "k", "code", "price", "amount", "place"])
    #expect(plan.tables[1].columns.map(\.name) == ["k", "back", "_kind"])
    #expect(plan.silverTables?.map(\.kind) == [0, 1] && plan.gold[0].kind == 1 && plan.checks.map(\.kind) == [0])
    #expect(plan.inputs.map(\.name).suffix(4) == ["_arrival", "_position", "_shard", "_kind"])
  }

  @Test func aPlanWithoutKindsIsAsBefore() throws {
    let plan = try load("", "silver: {}\nchecks: [{name: c, that: code > 1}]\nstate: {u: {by: [k], measure: {n: count()}}}")
    let text = PlanMeaning.text(plan)
    #expect(!text.contains("kind") && !text.contains("route") && plan.inputs.map(\.name).last == "_shard")
  }

  @Test func theMeaningHasEachPartOfAKind() throws {
    let before = PlanMeaning.hash(try load(RouteTests.route))
    for (old, new) in [
      ("else: drop\n", "else: quarantine\n"), ("is: [refund, chargeback]", "is: refund"), ("path: refunded", "path: refund"),
      ("amount > 0, else: drop", "amount > 0"), ("place: {type: string!, path: from}", "place: {type: string, path: from}"),
    ] {
      let route = (RouteTests.route + "\n").replacing(old, with: new)
      let after = PlanMeaning.hash(try load(route))
      #expect(route != RouteTests.route + "\n" && after != before, "\(old)")
    }
    let changed = try load(RouteTests.route.replacing("path: refunded", with: "path: back"))
    #expect(
      PlanMeaning.changes(from: try PlanMeaning.json(load(RouteTests.route)), to: try PlanMeaning.json(changed))
        == ["route.kinds.refund.fields.amount: decimal(12,2) at refunded -> decimal(12,2) at back"])
  }

  @Test func aTableOfAllKindsHasAllFields() throws {
    let plan = try load(RouteTests.route, "silver: {}")
    #expect(plan.tables.map(\.name) == ["silver/s.t", "silver/order", "silver/refund", "quarantine/s.t"])
    #expect(plan.tables[0].columns.map(\.name) == ["type", "t", "k", "code", "price", "amount", "place", "why"])
  }

  @Test func theFieldThatSaysTheKindMayBeNamedByItsPath() throws {
    let record = "  fields: {type: {type: int64, path: head.code}, k: string}\n"
    let plan = try load("route: {by: head.code, kinds: {a: {is: 1}, b: {is: [2, -3]}}}", record: record)
    #expect(plan.record.route?.by == 0 && plan.record.route?.kinds.map(\.values) == [["1"], ["2", "-3"]])
  }

  @Test(arguments: [
    ("route: {by: typ, kinds: {a: {}}}", "route.by: there is no field typ (did you mean type?)"),
    ("route: {by: head.code, kinds: {a: {}}}", "a path needs a field of its own"),
    ("route: {by: price, kinds: {a: {}}}", "route.by: price is double"), ("route: {kinds: {a: {}}}", "route needs by"),
    ("route: {by: type}", "route needs kinds"), ("route: {by: type, kinds: {}}", "route.kinds must name at least one kind"),
    ("route: {by: type, kinds: {a: {}, A: {is: b}}}", "route.kinds: the name A is taken"),
    ("route: {by: type, kinds: {a.b: {}}}", "route.kinds: a name can contain only letters"),
    ("route: {by: type, kinds: {a: {is: x}, b: {is: [y, x]}}}", "route.kinds.b.is: x is said of a already"),
    ("route: {by: type, kinds: {a: {is: []}}}", "route.kinds.a.is must name at least one value"),
    ("route: {by: code, kinds: {a: {is: one}}}", "one cannot be a value of code, which is int64"),
    ("route: {by: code, kinds: {a: {is: 007}}}", "007 cannot be a value of code"),
    ("route: {by: type, kinds: {a: {}}, else: ignore}", "route.else: ignore must be one of quarantine, drop"),
    ("route: {by: type, kinds: {a: {field: {x: string}}}}", "unknown key field (did you mean fields?)"),
    ("route: {by: type, kinds: {a: {fields: {k: string}}}}", "field k: it is one of record.fields"),
    (
      "route: {by: type, kinds: {a: {fields: {x: string}}, b: {fields: {x: int64}}}}",
      "field x: kind b has it as int64, and kind a as string: it is one column"
    ),
    ("route: {by: type, kinds: {a: {fields: {x: {type: string, path: k}}}}}", "route.kinds.a: k and x both read k"),
    ("route: {by: type, kinds: {a: {fields: {x: strin}}}}", "field x: unknown type strin"),
    (
      "route: {by: type, kinds: {a: {fields: {x: string}}, b: {checks: [{name: c, that: x = ''}]}}}",
      "unknown column x: it is of other kinds"
    ),
    (
      "route: {by: type, kinds: {a: {fields: {x: string}}, b: {silver: {columns: x}}}}",
      "silver.b.columns: unknown column x: it is of other"
    ),
    ("route: {by: type, kinds: {s.t: {}}}", "can contain only letters"),
    ("route: {by: type, kinds: {a: {silver: {tables: {}}}}}", "unknown key tables"),
  ]) func whatIsWrongIsRefused(_ route: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(route) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: [
    ("gold: {g: {from: ordr, by: [k], window: {tumbling: 1m}, measure: {n: count()}}}", "gold.g.from: there is no kind ordr"),
    ("state: {g: {from: order, by: [why], measure: {n: count()}}}", "state.g.by: unknown column why: it is of other kinds"),
    ("state: {g: {from: order, by: [k], measure: {n: min(why)}}}", "unknown column why: it is of other kinds"),
    ("silver: {tables: {x: {from: none}}}", "silver.x.from: there is no kind none in route.kinds"),
    ("silver: {tables: {order: {}}}", "the name order is taken"), ("dedup: {id: why}", "dedup.id: kind order has no field why"),
    ("silver: {from: order}", "unknown key from"),
  ]) func tablesNameKindsThatThereAre(_ more: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(RouteTests.route, more) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func keyAndTimeAreOfAllKinds() {
    func words(_ record: String, _ route: String) -> String {
      let error = #expect(throws: ConfigurationError.self) { try load(route, record: record) }
      return error?.description ?? ""
    }
    let common = "  fields: {type: string!}\n"
    #expect(
      words("  key: k\n" + common, "route: {by: type, kinds: {a: {fields: {k: string}}, b: {}}}").contains(
        "record.key: kind b has no field k: declare it in each kind"))
    #expect(
      words("  time: {field: t}\n" + common, "route: {by: type, kinds: {a: {fields: {t: timestamp!}}}}").contains(
        "record.time.field: t is a field of some kinds"))
    #expect(
      words("  format: csv\n" + common, "route: {by: type, kinds: {a: {}}}").contains("name all columns of a row by columns"))
    #expect(words("  format: raw\n" + common, "route: {by: type, kinds: {a: {}}}").contains("route: records of format raw"))
  }

  @Test func kindsAndTheirValuesAreBounded() throws {
    func route(_ kinds: Int, values: Int) -> String {
      let all = (0..<kinds).map { kind in "k\(kind): {is: [\((0..<values).map { "v\(kind)_\($0)" }.joined(separator: ", "))]}" }
      return "route: {by: type, kinds: {\(all.joined(separator: ", "))}}"
    }
    #expect(try load(route(64, values: 4)).record.route?.kinds.count == 64)
    for (kinds, values, bound) in [(65, 1, "route_kinds"), (64, 5, "route_values")] {
      let error = #expect(throws: ConfigurationError.self) { try load(route(kinds, values: values)) }
      #expect(error?.description.contains(bound) == true, "\(error?.description ?? "")")
    }
  }

  @Test func explainSaysWhatIsOfWhichKind() throws {
    let more = "gold: {g: {from: refund, by: [why], window: {tumbling: 1m}, measure: {n: sum(amount)}}}"
    let plan = try load(RouteTests.route, more)
    let text = Explain.text(plan, lookups: [])
    for words in [
      "kinds by type: order, refund; others are filtered", "kind refund   type is refund or chargeback", "at refunded",
      "amount > 0   else drop   of kind order", "table silver/order\n  of kind order\n", "table gold/g\n  of kind refund\n",
    ] { #expect(text.contains(words), "\(words) in \(text)") }
    let json = ExplainDocument.json(plan, lookups: [])
    #expect(json["route"]?["otherwise"] == .string("drop") && json["route"]?["kinds"]?.array?.count == 2)
    #expect(json["checks"]?.array?[0]["from"] == .string("order"))
    #expect(json["record"]?["fields"]?.array?.count == 5 && json["route"]?["kinds"]?.array?[1]["fields"]?.array?.count == 3)
  }

  @Test func withoutARouteNoTableIsOfAKind() {
    let error = #expect(throws: ConfigurationError.self) {
      try load("", "gold: {g: {from: a, by: [k], window: {tumbling: 1m}, measure: {n: count()}}}")
    }
    let words = "gold.g.from: the pipeline has no kinds (route), and so no a"
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    #expect(throws: ConfigurationError.self) { try load("", "silver: {columns: _kind}") }
  }
}
