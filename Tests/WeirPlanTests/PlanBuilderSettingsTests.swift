import Foundation
import Testing
import WeirCore
import WeirKafkaSettings

@testable import WeirConfiguration
@testable import WeirPlan

/// Rules on lookups, topics, workers and the lake: a plan that is built without YAML and breaks one gets the file's error.
struct PlanBuilderSettingsTests {
  private static let place = SourceSpan(line: 40, column: 7)

  private static let yaml = """
    pipeline: p
    source: {kafka: {brokers: "h:9092", topic: ads, group: g}}
    record: {time: {field: at, out_of_order: 2s}, fields: {user: string!, at: timestamp_ms!}}
    gold: {seen: {by: [user], window: {tumbling: 10s}, measure: {rows: count()}}}

    """

  private static func text(_ text: String) -> PlanText { PlanText(text, at: place) }

  /// - Parameter lookups: what comes between record and tables.
  private static func built(
    _ change: (PlanBuilder) -> Void = { _ in }, lookups: (PlanBuilder) -> Void = { _ in },
    source: (any SourceSettings)? = nil
  ) throws(ConfigurationError) -> Plan {
    let builder = PlanBuilder(file: "plan.swift")
    builder.set { $0.pipeline = "p" }
    builder.source(SourceSpec(stream: "ads", settings: source ?? KafkaSourceSpec(topics: ["ads"])))
    builder.field("user", type: "string!")
    builder.field("at", type: "timestamp_ms!")
    builder.endFields()
    builder.time("at", outOfOrder: { 2_000_000 })
    lookups(builder)
    builder.makeInputs()
    var window = PlanWindow()
    window.tumbling = PlanDuration(10_000_000)
    builder.gold(PlanTable("seen", in: "gold", by: ["user"], measures: [PlanMeasure("rows", "count()")]), window: window)
    change(builder)
    return try builder.build()
  }

  private func expectSame(_ section: String, _ ofSwift: ConfigurationError?, from yaml: String = PlanBuilderSettingsTests.yaml) {
    let ofFile = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml + section, file: "p.yaml") }
    let (wanted, found) = (ofFile?.diagnostics.filter { $0.severity == .error }, ofSwift?.diagnostics.filter { $0.severity == .error })
    #expect(
      wanted?.count == 1 && wanted?.map(\.message) == found?.map(\.message), "\(section): \(ofFile?.description ?? "") \(found ?? [])")
    #expect(wanted?.map(\.code) == found?.map(\.code) && wanted?.map(\.suggestion) == found?.map(\.suggestion), "\(section)")
    // The place is the caller's own; in the file it is within the section.
    #expect(found?.first?.line == 40 && found?.first?.column == 7 && found?.first?.file == "plan.swift", "\(section)")
    #expect((wanted?.first?.line ?? 0) > 4 && (wanted?.first?.column ?? 0) > 1, "\(section)")
  }

  @Test func `a plan that breaks no rule is the plan of the file`() throws {
    let file =
      Self.yaml + """
        lake: {path: ./lakes/one, flush: {every: 3s, bytes: 1MiB}, file_size: 2MiB, codec: snappy, ledger_keep: 1d}
        worker: {drain: 5s, stall: 7s, dead: 9s, memory: 1GiB, cloudwatch: {namespace: Shop, every: 30s}}
        admin: {listen: "0.0.0.0:9464", hosts: [a.example], token: {env: T}, metrics_token: true}
        sinks: {kafka: {topics: {gold/seen: out}, start: latest, behind: 7}}
        """
    let built = try Self.built { builder in
      var lake = PlanLake()
      (lake.path, lake.ledgerKeep, lake.flushEvery) = ("./lakes/one", 86_400_000_000, 3_000_000)
      (lake.flushBytes, lake.fileSize, lake.codec) = (PlanSize(1 << 20), PlanSize(2 << 20), .snappy)
      builder.lake(lake)
      var worker = PlanWorker()
      (worker.drain, worker.stall, worker.dead) = (PlanDuration(5_000_000), PlanDuration(7_000_000), PlanDuration(9_000_000))
      worker.memory = 1 << 30
      (worker.hasCloudWatch, worker.cloudWatchNamespace) = (true, "Shop")
      worker.cloudWatchEvery = PlanDuration(30_000_000)
      builder.worker(worker)
      var admin = PlanAdmin(listen: "0.0.0.0:9464", token: .environment("T"))
      (admin.hosts, admin.protectsMetrics) = (["a.example"], true)
      builder.admin(admin)
      var sinks = PlanSinks(KafkaSinkSpec(brokers: nil), routes: [("gold/seen", "out")])
      (sinks.start, sinks.behind) = (.latest, "7")
      builder.sinks(sinks)
    }
    let loaded = try loadPipeline(yaml: file, file: "p.yaml").plan
    #expect(built.lake == loaded.lake && built.worker == loaded.worker && built.admin == loaded.admin && built.sinks == loaded.sinks)
    // Without a section, too: how much a cut holds follows from the tables.
    #expect(try Self.built { $0.lake() }.lake == loadPipeline(yaml: Self.yaml, file: "p.yaml").plan.lake)
  }

  @Test func `admin`() {
    func admin(_ listen: String? = nil, token: SecretSpec? = nil, _ change: @escaping (inout PlanAdmin) -> Void = { _ in })
      -> ConfigurationError?
    {
      #expect(throws: ConfigurationError.self) {
        try Self.built { builder in
          var admin = PlanAdmin(listen: listen.map(Self.text), token: token)
          (admin.tokenSpan, admin.protectsMetricsSpan, admin.isInsecureSpan) = (Self.place, Self.place, Self.place)
          change(&admin)
          builder.admin(admin)
        }
      }
    }
    expectSame("admin: {hosts: [\"a b\"]}", admin { $0.hosts = [Self.text("a b")] })
    expectSame("admin: {token: {env: T}, insecure: true}", admin(token: .environment("T")) { $0.isInsecure = true })
    expectSame("admin: {metrics_token: true}", admin { $0.protectsMetrics = true })
    expectSame("admin: {listen: \"u:p@h:1\"}", admin("u:p@h:1"))
    expectSame("admin: {listen: \"0.0.0.0:9464\"}", admin("0.0.0.0:9464"))
  }

  @Test func `worker`() {
    func worker(_ change: @escaping (inout PlanWorker) -> Void) -> ConfigurationError? {
      #expect(throws: ConfigurationError.self) {
        try Self.built { builder in
          var worker = PlanWorker()
          (worker.memorySpan, worker.span) = (Self.place, Self.place)
          change(&worker)
          builder.worker(worker)
        }
      }
    }
    expectSame("worker: {drain: 500ms}", worker { $0.drain = PlanDuration(500_000, at: Self.place) })
    expectSame("worker: {dead: 31d}", worker { $0.dead = PlanDuration("31d", at: Self.place) { 31 * 86_400_000_000 } })
    expectSame("worker: {memory: 1MiB}", worker { $0.memory = 1 << 20 })
    expectSame(
      "worker: {stall: 60s, dead: 30s}",
      worker { ($0.stall, $0.dead) = (PlanDuration(60_000_000), PlanDuration(30_000_000, at: Self.place)) })
  }

  @Test func `lake`() {
    func lake(_ change: @escaping (inout PlanLake) -> Void) -> ConfigurationError? {
      #expect(throws: ConfigurationError.self) {
        try Self.built { builder in
          var lake = PlanLake()
          change(&lake)
          builder.lake(lake)
        }
      }
    }
    for path in ["gs://bucket/lake", "s3://b", "", "~/lake", "$HOME/lake"] {
      expectSame("lake: {path: \"\(path)\"}", lake { $0.path = Self.text(path) })
    }
    expectSame("lake: {flush: {bytes: 0}}", lake { $0.flushBytes = PlanSize(0, at: Self.place) })
    expectSame("lake: {file_size: 0}", lake { $0.fileSize = PlanSize(0, at: Self.place) })
  }

  @Test func `lookups`() throws {
    let directory = NSTemporaryDirectory() + "weir-lookups-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try Data("user,city\na,x\n".utf8).write(to: URL(fileURLWithPath: directory + "/good.csv"))
    try Data("name,city\na,x\n".utf8).write(to: URL(fileURLWithPath: directory + "/other.csv"))
    try Data("PAR1".utf8 + [UInt8](repeating: 0, count: 100) + "PAR1".utf8).write(to: URL(fileURLWithPath: directory + "/parquet.csv"))
    let cases: [(name: String, file: String, key: String, type: String)] = [
      ("l", "none.csv", "user", "string"), ("l", "good.csv", "usr", "string"), ("l", "good.csv", "user", "strng"),
      ("l", "parquet.csv", "user", "string"), ("l", "other.csv", "user", "string"), ("l", "", "user", "string"),
    ]
    for item in cases {
      let file = item.file == "none.csv" || item.file == "" ? item.file : directory + "/" + item.file
      let error = #expect(throws: ConfigurationError.self) {
        try Self.built(lookups: {
          $0.lookup(
            PlanLookup(
              Self.text(item.name), file: Self.text(file), key: Self.text(item.key), columns: [("city", Self.text(item.type))],
              at: Self.place))
        })
      }
      expectSame("lookups: {\(item.name): {file: \"\(file)\", key: \(item.key), columns: {city: \(item.type)}}}", error)
    }
    let often = #expect(throws: ConfigurationError.self) {
      try Self.built(lookups: {
        $0.lookup(
          PlanLookup(
            "l", file: Self.text("\(directory)/good.csv"), key: "user", refresh: PlanDuration(500_000, at: Self.place), at: Self.place))
      })
    }
    expectSame("lookups: {l: {file: \"\(directory)/good.csv\", key: user, refresh: 500ms}}", often)
    let named = #expect(throws: ConfigurationError.self) {
      try Self.built(lookups: { $0.lookup(PlanLookup(Self.text("a b"), file: Self.text("\(directory)/good.csv"), key: "user")) })
    }
    expectSame("lookups: {a b: {file: \"\(directory)/good.csv\", key: user}}", named)
  }

  @Test func `routes to topics`() {
    func sinks(
      _ routes: [(String, String)], brokers: String? = nil, source: (any SourceSettings)? = nil,
      _ change: @escaping (inout PlanSinks) -> Void = { _ in }
    ) -> ConfigurationError? {
      #expect(throws: ConfigurationError.self) {
        try Self.built(
          { builder in
            var sinks = PlanSinks(KafkaSinkSpec(brokers: brokers), routes: routes.map { (Self.text($0), Self.text($1)) })
            (sinks.routesSpan, sinks.span) = (Self.place, Self.place)
            change(&sinks)
            builder.sinks(sinks)
          }, source: source)
      }
    }
    expectSame("sinks: {kafka: {topics: {gold/sen: out}}}", sinks([("gold/sen", "out")]))
    expectSame("sinks: {kafka: {topics: {silver/ads: out}}}", sinks([("silver/ads", "out")]))
    expectSame("sinks: {kafka: {topics: {gold/seen: \"a b\"}}}", sinks([("gold/seen", "a b")]))
    expectSame("sinks: {kafka: {topics: {gold/seen: ads}}}", sinks([("gold/seen", "ads")]))
    expectSame("sinks: {kafka: {topics: {}}}", sinks([]))
    expectSame("sinks: {kafka: {topics: {quarantine: d, quarantine/ads: e}}}", sinks([("quarantine", "d"), ("quarantine/ads", "e")]))
    expectSame("sinks: {kafka: {topics: {quarantine: d}, behind: 0}}", sinks([("quarantine", "d")]) { $0.behind = Self.text("0") })
    expectSame(
      "sinks: {kafka: {topics: {quarantine: d}}}", sinks([("quarantine", "d")], source: ShelfSource()),
      from: Self.yaml.replacing("kafka: {brokers: \"h:9092\", topic: ads, group: g}", with: "capture: {stream: ads}"))
  }
}

/// A source that is not Kafka.
private struct ShelfSource: SourceSettings {
  static let adapter = "shelf"
  var live: LiveSourceTraits? { nil }
  var meaning: ShelfSource { self }
  func reads(_ stream: String) -> Bool { true }
}
