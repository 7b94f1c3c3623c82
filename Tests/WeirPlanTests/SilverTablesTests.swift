import Testing
import WeirConfiguration
import WeirCore
import WeirPlan

/// Silver tables with names of their own, and with a row for each element of a list.
@Suite struct SilverTablesTests {
  private func load(_ more: String, record: String = "") throws -> Plan {
    try loadPipeline(
      yaml: """
        pipeline: p
        source: {capture: {stream: s.t}}
        record:
        \(record)  fields:
            k: string!
            n: int64
            raw: json
            user: "struct<id:int64,lines:list<string>>"
            items: list<struct<sku:string,price:double>>
        \(more)
        """, file: "p.yaml"
    ).plan
  }

  @Test func aTableOfElementsHasTheFieldsTheNumberAndTheElement() throws {
    let plan = try load("silver: {explode: items as item}")
    #expect(plan.silver == nil && plan.tables.map(\.name) == ["silver/s.t", "quarantine/s.t"])
    #expect(plan.tables[0].columns.map(\.name) == ["k", "n", "raw", "user", "_index", "item"])
    #expect(plan.tables[0].columns.map(\.type.name).suffix(2) == ["int64", "struct<sku:string,price:double>"])
  }

  @Test func severalTablesHaveTheirOwnRowsAndColumns() throws {
    let plan = try load(
      """
      silver:
        tables:
          all: {columns: "k, user.id", partition_by: id}
          big: {where: n > 5}
          lines: {explode: user.lines as line, columns: "k, _index as number, line", where: line <> ''}
      """)
    #expect(plan.tables.map(\.name) == ["silver/all", "silver/big", "silver/lines", "quarantine/s.t"])
    #expect(plan.silverTables?.map { $0.explode?.list.text } == [nil, nil, "user.lines"])
    #expect(plan.silverTables?[2].filter?.text == "line <> ''" && plan.tables[2].columns.map(\.name) == ["k", "number", "line"])
  }

  @Test(arguments: [
    ("silver: {explode: n as x}", "explode needs a list, and n is int64"),
    ("silver: {explode: items}", "expected as NAME, the name of an element"),
    ("silver: {explode: items as k}", "the name k is taken by the column k"), ("silver: {explode: items as _x}", "names that begin with _"),
    ("silver: {explode: itms as x}", "unknown column itms (did you mean items?)"),
    ("silver: {explode: items as item, columns: item.skuu}", "item has no member skuu (did you mean sku?)"),
    ("silver: {columns: _index}", "unknown column _index"), ("silver: {tables: {a: {}}, columns: k}", "each table has its own columns"),
    ("silver: {tables: {}}", "silver.tables must name at least one table"), ("silver: {tables: {a: {}, A: {}}}", "the name A is taken"),
    ("silver: {tables: {a b: {}}}", "silver.a b: a name can contain only letters"), ("silver: {tables: {a: {explod: x}}}", "explod"),
    ("silver: {explode: items as item, where: item.price}", "is double, a bool is needed"),
  ]) func whatIsWrongIsRefused(_ more: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load(more) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func theElementIsUnknownOutsideItsTable() {
    let error = #expect(throws: ConfigurationError.self) {
      try load("silver: {explode: items as item}\nstate: {u: {by: [k], measure: {n: sum(item.price)}}}")
    }
    #expect(error?.description.contains("unknown column item.price") == true, "\(error?.description ?? "")")
  }

  @Test func framingNamesAnArray() throws {
    let plan = try load("bronze: {}", record: "  framing: {each: detail.Records}\n")
    #expect(plan.record.each == [.name("detail"), .name("Records")])
    #expect(plan.tables.allSatisfy { $0.columns.map(\.name).contains("_index") })
    #expect(try load("silver: {}", record: "  framing: {each: $}\n").record.each == [])
    #expect(try load("silver: {}", record: "  framing: {each: \"Records[]\"}\n").record.each == [.name("Records")])
    #expect(try load("silver: {}").record.each == nil)
  }

  @Test(arguments: [
    ("  framing: {each: a/b}\n", "record.framing.each: a/b is not a path"), ("  framing: {}\n", "each"), ("  framing: {echa: x}\n", "echa"),
    ("  format: raw\n  framing: {each: x}\n", "records of format raw have no arrays of records"),
  ]) func framingThatIsNoneIsRefused(_ record: String, _ words: String) {
    let error = #expect(throws: ConfigurationError.self) { try load("silver: {}", record: record) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test func aFieldOfTypeJSONIsOfRecordsThatAreJSON() throws {
    #expect(try load("silver: {}").record.fields[2] == Field(name: "raw", type: .string, encoding: .json))
    let yaml = "pipeline: p\nsource: {capture: {stream: s}}\nrecord:\n  format: csv\n  fields: {raw: json}\nsilver: {}\n"
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
    #expect(
      error?.description.contains("p.yaml:5:17: error: field raw: type json is of records that are JSON") == true,
      "\(error?.description ?? "")")
  }
}
