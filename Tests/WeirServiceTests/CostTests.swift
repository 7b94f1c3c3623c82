import Foundation
import Testing
import WeirCore
import WeirPlan

@testable import WeirConfiguration
@testable import WeirRuntime

/// `weir explain --cost`: its numbers against sums by hand, and the shape of its document.
@Suite struct CostTests {
  private static let live = """
    pipeline: p
    source: {kafka: {brokers: "h:1", topics: [a], group: g}}
    record: {key: k, time: {field: t, out_of_order: 1s}, fields: {k: string!, t: timestamp_ms!}}
    silver: {}
    state: {s: {by: [k], measure: {c: count()}}}
    lake: {path: "s3://bucket/lake", flush: {every: 10s}}
    """
  private static let table = "\nstore: {dynamodb: weir-state, flush: 10s}\n"

  private static func bill(
    _ yaml: String, _ inputs: [CostInputs.Name: Double] = [:], prices: PriceTable? = nil, region: String? = nil
  ) throws -> CostBill {
    let pipeline = try loadPipeline(yaml: yaml, file: "p.yaml", sections: .withClients)
    return try AdapterRegistry.standard.bill(pipeline, try CostInputs(inputs), prices: prices, region: region)
  }

  private static func lines(_ bill: CostBill, _ service: String) throws -> [CostBill.Line] {
    bill.lines(try #require(bill.services.first { $0.service == service }, "\(bill.services.map(\.service))"))
  }

  private static func sum(_ lines: [CostBill.Line], _ unit: String) -> Double {
    lines.filter { $0.item.unit == unit }.reduce(0) { $0 + $1.item.perSecond }
  }

  @Test func `100,000 keys every 10 seconds in DynamoDB are 22 to 25 dollars per hour`() throws {
    let bill = try CostTests.bill(CostTests.live + CostTests.table, [.keys: 100_000, .recordsPerSecond: 10_000])
    let lines = try CostTests.lines(bill, "DynamoDB on demand")
    let rows = try #require(lines.first { $0.item.what.hasPrefix("rows") })
    let perHour = try #require(rows.dollarsPerMonth) / 730
    #expect(perHour > 22.5 && perHour < 25, "\(perHour)")
    // A tenth of the flushes, a tenth of the bill.
    let slow = try CostTests.bill(
      CostTests.live + CostTests.table.replacing("10s", with: "100s"), [.keys: 100_000, .recordsPerSecond: 10_000])
    let slowRows = try #require(try CostTests.lines(slow, "DynamoDB on demand").first { $0.item.what.hasPrefix("rows") })
    #expect(abs(slowRows.item.perSecond * 10 / rows.item.perSecond - 1) < 0.001)
  }

  @Test func `requests to S3 per epoch are those of the page`() throws {
    let bill = try CostTests.bill(CostTests.live)
    let lines = try CostTests.lines(bill, "S3")
    // silver and quarantine. An epoch and a merge, each with an entry and a blob; a data file; a commit of each table every 4 entries; a
    // checkpoint with its hint every 10 commits.
    #expect(bill.activity.tables == 2 && bill.activity.epochSeconds == 10 && bill.activity.cut == .age)
    let commits = 2.0 * 2 / 4
    #expect(abs(CostTests.sum(lines, "PUT") * 10 - (4 + 1 + commits + 2 * commits / 10)) < 1e-9)
    let month = try #require(lines.first { $0.item.what == "data files" })
    #expect(month.perMonth == 262_800 && abs((month.dollarsPerMonth ?? 0) - 1.314) < 1e-9)
    #expect(abs(month.perMillionRecords - 100) < 1e-9)
  }

  @Test func `an epoch ends by size where that comes before its age, and more workers make more of them`() throws {
    let large = try CostTests.bill(CostTests.live, [.recordsPerSecond: 100_000, .recordBytes: 1000])
    #expect(large.activity.cut == .bytes && large.activity.epochSeconds == Double(40 << 20) / 1e8)
    let (one, four) = (try CostTests.bill(CostTests.live), try CostTests.bill(CostTests.live, [.workers: 4]))
    #expect(four.activity.epochsPerSecond == 4 * one.activity.epochsPerSecond)
    #expect(four.activity.mergesPerSecond == one.activity.mergesPerSecond)
    let gets = try CostTests.lines(four, "S3").first { $0.item.what == "entries of other workers" }
    #expect(gets?.item.perSecond == 3 * four.activity.entriesPerSecond)
  }

  @Test func `Kafka and provisioned capacity are not in the total`() throws {
    let bill = try CostTests.bill(CostTests.live + CostTests.table, [.partitions: 100])
    #expect(bill.services.filter(\.isAlternative).map(\.service) == ["DynamoDB provisioned", "MSK Serverless", "MSK provisioned"])
    let sums = bill.services.filter { !$0.isAlternative }.reduce(0) { $0 + bill.sum($1).perMonth }
    #expect(abs(bill.total.perMonth - sums) < 1e-9 && sums > 0)
    let partitions = try #require(try CostTests.lines(bill, "MSK Serverless").first { $0.item.unit == "partition-hours" })
    #expect(abs((partitions.dollarsPerMonth ?? 0) - 100 * 730 * 0.0015) < 1e-6)
  }

  @Test func `a node of Redis has no price until a file has one`() throws {
    let yaml = CostTests.live + "\nstore: {redis: 'redis://h:1/0'}\n"
    let node = try #require(try CostTests.lines(try CostTests.bill(yaml), "Redis").first)
    #expect(node.price == nil && node.dollarsPerMonth == nil && abs(node.perMonth - 730) < 1e-9)
    let prices = try PriceFile.parsed(#"{"region": "eu-west-1", "prices": {"redis_node": 0.5, "s3_put": {"dollars": 1, "per": 10}}}"#, "f")
    let bill = try CostTests.bill(yaml, prices: prices, region: "eu-west-1")
    #expect(abs((try CostTests.lines(bill, "Redis").first?.dollarsPerMonth ?? 0) - 365) < 1e-9)
    let put = try CostTests.lines(bill, "S3").first?.price
    #expect(put?.each == 0.1 && bill.prices[.s3Get] == PriceTable.builtIn[.s3Get])
    let elsewhere = try CostTests.bill(yaml, region: "eu-west-1")
    #expect(CostText.regionNotice(elsewhere)?.contains("the pipeline is in eu-west-1") == true)
    // What the file does not have is of another region than the file.
    let notice = try #require(CostText.regionNotice(bill))
    #expect(notice.contains("s3_get") && !notice.contains("s3_put") && !notice.contains("dynamodb") && notice.contains("us-east-1"))
  }

  @Test func `what has no price is null and not 0, in a service and in the total`() throws {
    let local = CostTests.live.replacing("s3://bucket/lake", with: "./lake") + "\nstore: {redis: 'redis://h:1/0'}\n"
    func members(_ prices: PriceTable?) throws -> (redis: JSONValue?, total: JSONValue?) {
      let document = CostDocument.json(try CostTests.bill(local, prices: prices), pipeline: "p")
      let redis = document["services"]?.array?.first { $0["service"]?.string == "Redis" }
      return (redis?["dollars_per_month"], document["total"])
    }
    let none = try members(nil)
    #expect(none.redis == .null && none.total?["dollars_per_month"] == .null)
    #expect(none.total?["without_price"] == .array([.string("redis_node")]))
    let some = try members(try PriceFile.parsed("prices: {redis_node: 0.5}", "f"))
    func dollars(_ value: JSONValue?) -> Double { if case .number(let text)? = value { Double(text) ?? 0 } else { 0 } }
    #expect(abs(dollars(some.redis) - 365) < 1e-9 && abs(dollars(some.total?["dollars_per_month"]) - 365) < 1e-9)
    #expect(some.total?["without_price"] == .array([]))
    // S3 has a price, Redis has none: the total is that of S3, and says so.
    let mixed = try CostTests.bill(CostTests.live + "\nstore: {redis: 'redis://h:1/0'}\n")
    #expect(
      !mixed.isUnpriced && mixed.missingPrices == [.redisNode] && CostText.text(mixed, pipeline: "p").contains("no price: redis_node"))
  }

  @Test func `a file that names another region and has no price is refused`() {
    let error = #expect(throws: WeirError.self) { try PriceFile.parsed("region: eu-west-1", "prices.yaml") }
    #expect(error?.message.contains("eu-west-1") == true && error?.advice?.contains("us-east-1") == true)
    #expect(throws: Never.self) { try PriceFile.parsed("date: 2027-01", "prices.yaml") }
  }

  @Test func `the leases of a Kinesis stream are in the total, and the stream is not`() throws {
    let yaml = CostTests.live.replacing(
      #"{kafka: {brokers: "h:1", topics: [a], group: g}}"#, with: "{kinesis: {stream: a, app: app, lease: 10s, refresh: 30s}}")
    let bill = try CostTests.bill(yaml, [.partitions: 6, .recordsPerSecond: 100, .recordBytes: 1500, .workers: 2])
    // Three rounds in ten seconds: each of six leases is written, and each of two workers reads them, and once more each half a minute.
    let leases = try CostTests.lines(bill, "DynamoDB leases")
    #expect(abs(leases[0].item.perSecond - 6 * 0.3) < 1e-9 && abs(leases[1].item.perSecond - 2 * (0.3 + 1.0 / 30)) < 1e-9)
    #expect(bill.services.filter(\.isAlternative).map(\.service) == ["Kinesis on demand", "Kinesis provisioned"])
    let provisioned = try CostTests.lines(bill, "Kinesis provisioned")
    #expect(abs((provisioned[0].dollarsPerMonth ?? 0) - 6 * 730 * 0.015) < 1e-9 && provisioned[1].item.perSecond == 100)
    // Two KiB are charged for each record of 1,500 bytes.
    let onDemand = try CostTests.lines(bill, "Kinesis on demand")
    #expect(abs(onDemand[1].item.perSecond - 100 * 2048 / 1e9) < 1e-12 && abs(onDemand[2].item.perSecond - 100 * 1500 / 1e9) < 1e-12)
    #expect(bill.total.perMonth > 0)
  }

  @Test func `enhanced fan-out is charged by shard and hour, and by what it sends`() throws {
    let yaml = CostTests.live.replacing(
      #"{kafka: {brokers: "h:1", topics: [a], group: g}}"#, with: "{kinesis: {stream: a, app: app, read: fan_out}}")
    let bill = try CostTests.bill(yaml, [.partitions: 6, .recordsPerSecond: 100, .recordBytes: 1500])
    let provisioned = try CostTests.lines(bill, "Kinesis provisioned")
    #expect(provisioned.count == 4 && abs((provisioned[2].dollarsPerMonth ?? 0) - 6 * 730 * 0.015) < 1e-9)
    #expect(provisioned[3].item.price == .kinesisFanOutOut && abs(provisioned[3].item.perSecond - 100 * 1500 / 1e9) < 1e-12)
    let onDemand = try CostTests.lines(bill, "Kinesis on demand")
    #expect(onDemand.map(\.item.price) == [.kinesisOnDemandStream, .kinesisOnDemandIn, .kinesisOnDemandFanOut])
    #expect(!CostText.text(bill, pipeline: "p").contains("reading costs nothing"))
  }

  @Test func `the template of prices is read as the built-in table`() throws {
    #expect(try PriceFile.parsed(PriceTable.builtIn.yaml, "f") == PriceTable.builtIn)
  }

  @Test(arguments: [
    ("prices: {s3_putt: 1}", "s3_putt"), ("prices: {s3_put: free}", "s3_put is not"), ("date: x\nprice: {}", "price is unknown"),
    ("price: {}", "none of the keys date, region, source, prices"),
    ("[1]", "not a mapping"),
    ("prices: {s3_put: {dollars: -1}}", "from 0"), ("prices: {s3_put: {dollars: 1, per: 0}}", "from 1"),
    ("prices: {s3_put: {dollar: 1}}", "s3_put is not"),
    ("prices: {s3_put: {dollars: 1, for: 2}}", "for"), ("date: [1]", "date"),
  ]) func `a wrong file of prices is refused by name`(_ text: String, _ words: String) {
    let error = #expect(throws: WeirError.self) { try PriceFile.parsed(text, "prices.yaml") }
    #expect(error?.code == .config && error?.message.contains(words) == true, "\(String(describing: error))")
  }

  @Test func `a file that is not one of prices is not shown`() {
    let error = #expect(throws: WeirError.self) { try PriceFile.parsed("root:*:20228:0:99999:7:::\n", "/etc/shadow") }
    #expect(error?.message.contains("not a file of prices") == true && error?.message.contains("20228") == false)
  }

  @Test(arguments: [
    (CostInputs.Name.workers, 0.0), (.workers, 1.5), (.recordsPerSecond, -1), (.recordsPerSecond, .nan), (.keys, 1e13), (.partitions, 0),
    (.recordBytes, .infinity),
  ]) func `inputs out of their bounds are refused`(_ name: CostInputs.Name, _ value: Double) {
    let error = #expect(throws: WeirError.self) { try CostInputs([name: value]) }
    #expect(error?.message.contains("--\(name.rawValue)") == true)
  }

  @Test func `an input that is too small is shown as it was given`() {
    let error = #expect(throws: WeirError.self) { try CostInputs([.recordsPerSecond: 1e-300]) }
    #expect(error?.message == "--records-per-second is 1e-300")
  }

  @Test func `numbers are written without exponents`() {
    #expect(CostText.number(0.000001) == "0.000001" && CostText.number(1e9) == "1000000000" && CostText.number(2.5) == "2.5")
    #expect(CostText.dollars(1234567.891) == "1,234,567.89" && CostText.dollars(0.0005) == "0.0005" && CostText.dollars(nil) == "no price")
    #expect(CostText.quantity(1234567) == "1,234,567" && CostText.quantity(0.25) == "0.25")
  }

  /// Names of all members, with their types.
  private static func shape(_ value: Any, _ path: String = "") -> Set<String> {
    switch value {
    case let object as [String: Any]:
      object.reduce(into: []) { $0.formUnion(shape($1.value, path.isEmpty ? $1.key : "\(path).\($1.key)")) }
    case let list as [Any]: list.reduce(into: ["\(path): list"]) { $0.formUnion(shape($1, path + "[]")) }
    case is NSNull: ["\(path): null"]
    case is String: ["\(path): string"]
    default: ["\(path): value"]
    }
  }

  /// The shape is a contract: a change here needs another `format`, unless a member is added.
  @Test func `the document has exactly the documented members`() throws {
    let bill = try CostTests.bill(CostTests.live + CostTests.table, [.recordBytes: 100])
    let bytes = CostDocument.json(bill, pipeline: "p").bytes
    let found = CostTests.shape(try JSONSerialization.jsonObject(with: Data(bytes)))
    let line = [
      "what: string", "unit: string", "price: string", "per_second: value", "requests_per_million_records: value",
      "per_million_records: value", "per_month: value", "dollars_per_million_records: value", "dollars_per_month: value",
    ]
    let wanted: Set<String> = [
      "format: value", "pipeline: string", "prices.date: string", "prices.region: string", "prices.source: string",
      "prices.built_in: value", "prices.notice: null", "inputs: list", "inputs[].name: string", "inputs[].value: value",
      "inputs[].is_default: value", "activity.epoch_seconds: value", "activity.cut_by: string", "activity.entries_per_second: value",
      "activity.files_per_second: value", "activity.commits_per_second: value", "activity.tables: value", "activity.state: list",
      "activity.state[].table: string", "activity.state[].rows_per_flush: value", "activity.state[].flush_seconds: value",
      "activity.state[].merged: value", "services: list", "services[].service: string", "services[].place: string",
      "services[].in_total: value", "services[].lines: list", "services[].notes: list", "services[].notes[]: string",
      "services[].dollars_per_million_records: value", "services[].dollars_per_month: value", "total.dollars_per_million_records: value",
      "total.dollars_per_month: value", "total.without_price: list", "not_included: list", "not_included[]: string",
    ]
    #expect(found == wanted.union(line.map { "services[].lines[].\($0)" }), "\(found.symmetricDifference(wanted).sorted())")
  }
}
