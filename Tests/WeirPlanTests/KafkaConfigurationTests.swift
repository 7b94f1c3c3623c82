import Foundation
import Testing
import WeirCore
import WeirKafkaSettings

@testable import WeirConfiguration
@testable import WeirPlan

struct KafkaConfigurationTests {
  private static func yaml(_ source: String) -> String {
    """
    pipeline: p
    source: {\(source)}
    record:
      format: json
      key: user
      time: {field: t, out_of_order: 2s}
      fields: {id: string!, user: string, t: timestamp_ms!}
    state:
      st: {by: [user], measure: {rows: count()}}
    """
  }

  private func problems(_ source: String) -> [Diagnostic] {
    do { return try loadPipeline(yaml: KafkaConfigurationTests.yaml(source), file: "p.yaml").warnings } catch { return error.diagnostics }
  }

  private static let kafka = "kafka: {brokers: \"h:9092\", topic: ads, group: g}"

  private func live(_ section: String) throws -> Plan {
    try loadPipeline(yaml: KafkaConfigurationTests.yaml(section), file: "p.yaml").plan
  }

  @Test func aKafkaSourceIsRead() throws {
    let plan = try live(
      """
      kafka: {brokers: "a:1,b:2", topics: [y, x], stream: both, group: g, start: 2026-01-31T00:00:00Z, partitioner: crc32, \
      misplaced: merge, assignment: cooperative, idle: 5s, session: 10s, isolation: read_uncommitted, queue: 1MiB, \
      tls: {ca: ca.pem, certificate: c.pem, key: {file: k.pem}}, sasl: {mechanism: SCRAM-SHA-512, user: {env: U}, password: {file: /p}}, \
      options: {client.rack: r1}}
      """.replacingOccurrences(of: "\\\n", with: ""))
    let kafka = try #require(KafkaSourceSpec.of(plan))
    #expect(plan.source.stream == "both" && kafka.topics == ["x", "y"] && kafka.partitioner == .crc32 && kafka.misplaced == .merge)
    let settings = kafka.settings
    #expect(settings.start == .time(1_769_817_600_000_000) && settings.idleMicroseconds == 5_000_000 && settings.isCooperative)
    #expect(
      settings.tls?.key == .file("k.pem")
        && settings.sasl == .password(mechanism: "SCRAM-SHA-512", user: .environment("U"), password: .file("/p")))
    #expect(settings.options == ["client.rack": "r1"])
  }

  @Test func tokensOfAmazonNeedNoSecretOfTheFile() throws {
    for (section, region) in [("", nil), (", region: eu-central-1", "eu-central-1")] {
      let plan = try live("kafka: {brokers: \"a:1\", topic: t, group: g, tls: {}, sasl: {mechanism: AWS_MSK_IAM\(section)}}")
      #expect(KafkaSourceSpec.of(plan)?.settings.sasl == .awsIAM(region: region))
    }
  }

  @Test func settingsOfKafkaAreNoPartOfThePlansMeaning() throws {
    let one = try live(KafkaConfigurationTests.kafka)
    #expect(one.source.stream == "ads")
    let other = try live("kafka: {brokers: \"elsewhere:1\", topic: ads, group: h, idle: 1s, start: latest}")
    #expect(PlanMeaning.text(one) == PlanMeaning.text(other))
    #expect(PlanMeaning.text(one) != PlanMeaning.text(try live("kafka: {brokers: \"h:9092\", topic: ads, group: g, misplaced: merge}")))
  }

  @Test func mistakesInAKafkaSourceAreTold() {
    let cases: [(from: String, to: String, code: String, suggestion: String?)] = [
      ("group: g", "groupp: g, group: g", "unknown_key", "group"),
      (", group: g", "", "missing_key", nil),
      ("group: g", "group: \"\"", "bad_value", nil),
      ("topic: ads, ", "", "missing_key", nil),
      ("topic: ads", "topics: [a, b]", "missing_key", nil),
      ("topic: ads", "topic: \"a b\", stream: s", "bad_name", nil),
      ("topic: ads", "topic: \"^ads-(\", stream: s", "bad_value", nil),
      ("topic: ads", "topic: \"^ads-.*\"", "missing_key", nil),
      ("topic: ads", "topic: \"^ads-.*\", stream: s, start: {bids-1/0: 5}", "bad_name", nil),
      ("h:9092", "h", "bad_value", nil),
      ("group: g", "group: g, start: earlyest", "bad_value", "earliest"),
      ("group: g", "group: g, start: {other/0: 1}", "bad_name", nil),
      ("group: g", "group: g, partitioner: murmur", "bad_value", "murmur2"),
      ("group: g", "group: g, sasl: {mechanism: PLAIN, user: {env: U}, password: secret}", "bad_value", nil),
      ("group: g", "group: g, tls: {certificate: c.pem}", "missing_key", nil),
      ("group: g", "group: g, sasl: {mechanism: AWS_MSK_IAM}", "bad_value", nil),
      ("group: g", "group: g, tls: {}, sasl: {mechanism: AWS_MSK_IAM, token: {env: T}}", "bad_value", nil),
      ("group: g", "group: g, tls: {}, sasl: {mechanism: OAUTHBEARER, token: {file: /t}, region: r}", "bad_value", nil),
    ]
    for item in cases {
      let section = KafkaConfigurationTests.kafka.replacingOccurrences(of: item.from, with: item.to)
      let found = problems(section)
      #expect(found.count == 1 && found.first?.code == item.code, "\(item.to): \(found.map(\.text))")
      #expect(found.first?.suggestion == item.suggestion, "\(item.to): \(found.map(\.text))")
      #expect(found.first.map { $0.line == 2 } ?? false)
    }
  }

  /// The C library would take gigabytes for the one, and the whole stack for the other.
  @Test func aPatternOfTopicsThatTheLibraryCannotTakeIsRefused() {
    let deep = "^" + String(repeating: "(", count: 20_000) + "a" + String(repeating: ")", count: 20_000)
    for pattern in [deep, "^((((a{1,100}){1,100}){1,100}){1,100})", "^a{30000}", "^(a{0,32}){33}"] {
      let section = KafkaConfigurationTests.kafka.replacingOccurrences(of: "topic: ads", with: "topic: \"\(pattern)\", stream: s")
      #expect(problems(section).map(\.code) == ["bad_value"], "\(pattern.prefix(60))")
    }
    let bounded = "topic: \"^a{2,5}(b{10}){20}$\", stream: s"
    #expect(problems(KafkaConfigurationTests.kafka.replacingOccurrences(of: "topic: ads", with: bounded)).isEmpty)
  }

  @Test func aVariableThatIsNotSetStopsOnlyWhoUsesIt() throws {
    let section = """
      kafka: {brokers: {env: WEIR_TEST_NOT_SET}, topic: ads, group: g, sasl: {mechanism: PLAIN, user: {env: WEIR_TEST_UNSET_USER}, password: {file: p}}}
      """
    let pipeline = try loadPipeline(yaml: KafkaConfigurationTests.yaml(section), file: "p.yaml")
    #expect(pipeline.unset.map(\.setting) == ["source.kafka.brokers", "source.kafka.sasl.user"])
    #expect(pipeline.unset.allSatisfy { $0.line == 2 && $0.column > 1 })
    try pipeline.requireVariables { !$0.hasPrefix("source.") }
    let error = #expect(throws: ConfigurationError.self) { try pipeline.requireVariables { $0 != "source.kafka.brokers" } }
    #expect(error?.diagnostics.map(\.code) == ["no_variable"])
    #expect(error?.description.contains("source.kafka.sasl.user: the environment variable WEIR_TEST_UNSET_USER is not set") == true)
  }

  @Test func aValueOfTheEnvironmentIsInNoMessage() {
    setenv("WEIR_TEST_ADDRESS", "user:hunter22@host", 1)
    let kafka = problems(KafkaConfigurationTests.kafka.replacingOccurrences(of: "\"h:9092\"", with: "{env: WEIR_TEST_ADDRESS}"))
    #expect(kafka.count == 1 && kafka[0].text.contains("WEIR_TEST_ADDRESS") && !kafka[0].text.contains("hunter22"), "\(kafka.map(\.text))")
    for place in ["user:hunter22@host", "hunter22", "http://host/?key=hunter22"] {
      setenv("WEIR_TEST_ADDRESS", place, 1)
      let yaml = KafkaConfigurationTests.yaml(KafkaConfigurationTests.kafka)
        .replacingOccurrences(of: "format: json", with: "format: avro\n  registry: {url: {env: WEIR_TEST_ADDRESS}}")
      let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
      #expect(error?.diagnostics.count == 1 && error?.description.contains("hunter22") == false, "\(error.map(\.description) ?? "")")
    }
  }

  @Test(arguments: [
    "SASL_SSL://u:hunter22@127.0.0.1:1", "u:hunter22@h:9092", "PLAINTEXT://hunter22:9092", "hunter22", "hunter22:0", "hunter22:65536",
    "hunter22:", ":9092", "h:+1", "h:9092,hunter22@h:1", "h:9092,", "256.1.1.hunter22.1:9092", "256.1.1.1:9092", "[hunter22]:9092",
    "::1:9092",
    "h/hunter22:9092",
  ]) func addressesOfBrokersAreHostAndPortAndNoRefusalRepeatsThem(_ brokers: String) {
    let given = KafkaConfigurationTests.kafka.replacingOccurrences(of: "h:9092", with: brokers)
    let found = problems(given)
    #expect(found.map(\.code) == ["bad_value"] && found[0].line == 2 && found[0].text.contains("HOST:PORT"), "\(found.map(\.text))")
    #expect(!found.contains { $0.text.contains("hunter22") }, "\(found.map(\.text))")
    let reason = KafkaNames.refusal(ofBrokers: brokers)
    #expect(reason?.contains("hunter22") == false)
  }

  @Test(arguments: ["h:9092", "a.b-c_d:1, 10.0.0.1:65535", "[::1]:9092,[fe80::1%eth0]:9092", "kafka-0.kafka.ns.svc.:9092", "1a:1"])
  func addressesOfBrokersAreNamesAndAddressesOfBothKinds(_ brokers: String) throws {
    #expect(
      KafkaSourceSpec.of(try live(KafkaConfigurationTests.kafka.replacingOccurrences(of: "h:9092", with: brokers)))?.settings
        .brokers == brokers)
  }

  @Test(arguments: [
    "session: 0s", "session: 1ms", "session: 50d", "session: 100d", "session: 4294973s", "session: 61m", "handover: 0s", "handover: 2h",
    "silence: 0s", "silence: 44s", "session: 10s, handover: 20s, silence: 39s", "silence: 31d", "idle: 0s", "idle: 366d", "queue: 1",
    "queue: 2000GiB",
  ]) func timesAndSizesThatNoWorkerCanKeepAreRefused(_ setting: String) throws {
    let found = problems(KafkaConfigurationTests.kafka.replacingOccurrences(of: "group: g", with: "group: g, \(setting)"))
    let last = try #require(setting.split(separator: ", ").last)
    let key = try #require(last.split(separator: ":").first)
    #expect(found.count == 1 && found[0].code == (key == "queue" ? "bad_size" : "bad_duration"), "\(found.map(\.text))")
    #expect(found[0].line == 2 && found[0].column > 40 && found[0].message.hasPrefix("source.kafka.\(key)"), "\(found.map(\.text))")
  }

  @Test(arguments: [
    "session: 1s", "session: 1h", "session: 6s, silence: 12s", "session: 6s, handover: 30s, silence: 60s", "handover: 1h, silence: 2h",
    "idle: 10ms", "idle: 365d", "queue: 1MiB", "queue: 1024GiB",
  ]) func timesAndSizesAtTheirBoundsAreTaken(_ setting: String) {
    let found = problems(KafkaConfigurationTests.kafka.replacingOccurrences(of: "group: g", with: "group: g, \(setting)"))
    #expect(found.isEmpty, "\(found.map(\.text))")
  }

  @Test(arguments: [
    "worker: {cloudwatch: {namespace: AWS/x}}", "worker: {cloudwatch: {namespace: ''}}", "worker: {cloudwatch: {namespace: 'a*b'}}",
    "worker: {cloudwatch: {every: 500ms}}", "worker: {cloudwatch: {every: 2h}}", "worker: {cloudwatch: {interval: 2m}}",
    "worker: {drain: 0s}", "worker: {drain: 2d}", "worker: {stall: 0s}", "worker: {stall: 31d, dead: 31d}", "worker: {dead: 0s, stall: 1s}",
    "admin: {listen: \"256.1.1.1:1\"}", "admin: {listen: \"1.2.3:1\"}", "admin: {listen: \"u:p@h:1\"}",
  ]) func settingsOfAWorkerThatCannotBeKeptAreRefused(_ section: String) {
    let yaml = KafkaConfigurationTests.yaml(KafkaConfigurationTests.kafka) + "\n\(section)"
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
    let found = error?.diagnostics ?? []
    #expect(!found.isEmpty && found.allSatisfy { $0.line == 10 && $0.column > 8 }, "\(found.map(\.text))")
  }

  @Test func duplicatesOverPartitionsNeedAKey() throws {
    let yaml = KafkaConfigurationTests.yaml(KafkaConfigurationTests.kafka)
      .replacingOccurrences(of: "  key: user\n", with: "").replacingOccurrences(
        of: "state:\n", with: "dedup: {id: id, within: 1h}\nstate:\n")
    #expect(try loadPipeline(yaml: yaml, file: "p.yaml").warnings.map(\.code) == ["partition_only"])
  }

  @Test func aPatternOfTopicsIsReadAndItsKeysAreMerged() throws {
    let plan = try live("kafka: {brokers: \"h:9092\", topic: \"^ads-[0-9]+$\", stream: ads, group: g, start: {ads-1/0: 5}}")
    let kafka = try #require(KafkaSourceSpec.of(plan))
    #expect(kafka.reads("ads-17") && !kafka.reads("ads-x") && !kafka.reads("other-ads-1"))
    #expect(kafka.settings.start == .offsets(["ads-1/0": 5]))
    #expect(Explain.text(plan, lookups: []).contains("combined in the lanes, merged from the ledger"))
  }

  @Test(arguments: [
    ("", "finished in the lane: by contains the record's key", "as detected from the first records"),
    (", partitioner: crc32", "finished in the lane: by contains the record's key", "expected by crc32"),
    (", misplaced: merge", "combined in the lanes", "all tables are merged over the partitions"),
    (", misplaced: per_shard", "finished in the lane: by contains the shard", "a row for each partition"),
  ]) func explainStatesThePromiseOfEachChoice(_ option: String, _ place: String, _ promise: String) throws {
    let plan = try live("kafka: {brokers: \"h:9092\", topic: ads, group: g\(option)}")
    let text = Explain.text(plan, lookups: [])
    #expect(text.contains(place) && text.contains(promise), "\(text)")
    #expect((plan.state[0].by.map(\.name) == ["user", "_shard"]) == option.contains("per_shard"))
  }

  @Test func timeOutsOfTheGroupFollowTheSession() throws {
    let settings = try #require(KafkaSourceSpec.of(try live("kafka: {brokers: \"h:9092\", topic: ads, group: g, session: 10s}")))
      .settings
    #expect((settings.handOver, settings.rebalance, settings.silence) == (5_000_000, 10_000_000, 30_000_000))
    let own = try #require(
      KafkaSourceSpec.of(try live("kafka: {brokers: \"h:9092\", topic: ads, group: g, session: 10s, handover: 20s, silence: 3m}"))
    ).settings
    #expect((own.handOver, own.rebalance, own.silence) == (20_000_000, 40_000_000, 180_000_000))
  }
}
