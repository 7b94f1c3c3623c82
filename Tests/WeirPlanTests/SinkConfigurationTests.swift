import Foundation
import Testing
import WeirCore
import WeirKafkaSettings

@testable import WeirConfiguration
@testable import WeirPlan

struct SinkConfigurationTests {
  private static func yaml(_ sinks: String, source: String = "kafka: {brokers: \"h:9092\", topic: ads, group: g}") -> String {
    """
    pipeline: p
    source: {\(source)}
    record:
      time: {field: t}
      fields: {user: string, t: timestamp_ms!}
    gold:
      per_user: {by: [user], window: {tumbling: 10s}, measure: {rows: count()}}
    sinks: {\(sinks)}
    """
  }

  private func problems(_ sinks: String, source: String? = nil) -> [Diagnostic] {
    let yaml = source.map { SinkConfigurationTests.yaml(sinks, source: $0) } ?? SinkConfigurationTests.yaml(sinks)
    do { return try loadPipeline(yaml: yaml, file: "p.yaml").warnings } catch { return error.diagnostics }
  }

  private static let all = "kafka: {topics: {gold/per_user: out, late/per_user: late, quarantine: dead}}"

  @Test func sinksAreRead() throws {
    let text = SinkConfigurationTests.yaml(
      "kafka: {brokers: \"a:1\", topics: {quarantine: dead, gold/per_user: out}, start: latest, compression: zstd, partitioner: crc32, behind: 7, options: {client.rack: r}}"
    )
    let plan = try loadPipeline(yaml: text, file: "p.yaml").plan
    let sinks = try #require(plan.sinks)
    #expect(sinks.routes == [.init(table: "gold/per_user", topic: "out"), .init(table: "quarantine/ads", topic: "dead")])
    let kafka = try #require(sinks.settings as? KafkaSinkSpec)
    #expect(kafka.brokers == "a:1" && sinks.start == .latest && kafka.compression == .zstd && kafka.partitioner == .crc32)
    #expect(sinks.behindMax == 7 && kafka.options == ["client.rack": "r"])
  }

  @Test func sinksAreNoPartOfThePlansMeaning() throws {
    let with = try loadPipeline(yaml: SinkConfigurationTests.yaml(SinkConfigurationTests.all), file: "p.yaml").plan
    var without = with
    without.sinks = nil
    #expect(PlanMeaning.text(with) == PlanMeaning.text(without))
    #expect(!PlanMeaning.text(with).contains("sinks"), "a ledger of a version without sinks goes on")
  }

  @Test func explainShowsTheTopics() throws {
    let loaded = try loadPipeline(yaml: SinkConfigurationTests.yaml(SinkConfigurationTests.all), file: "p.yaml")
    let text = Explain.text(loaded.plan, lookups: loaded.lookups)
    for word in ["the source's brokers", "gold/per_user", "keyed by user", "dead", "as received"] {
      #expect(text.contains(word), "\(word)")
    }
  }

  @Test func mistakesInSinksAreTold() {
    let cases: [(sinks: String, code: String, suggestion: String?)] = [
      ("kafka: {topics: {gold/per_usr: out}}", "unknown_table", "gold/per_user"),
      ("kafka: {topics: {quarantin: out}}", "unknown_table", "quarantine"),
      ("kafka: {topics: {silver/ads: out}}", "unknown_table", nil),
      ("kafka: {topics: {gold/per_user: \"a b\"}}", "bad_name", nil),
      ("kafka: {topics: {gold/per_user: ads}}", "bad_value", nil),
      ("kafka: {topics: {}}", "missing_key", nil),
      ("kafka: {brokers: \"h:1\"}", "missing_key", nil),
      ("kafka: {topic: {}, topics: {quarantine: d}}", "unknown_key", "topics"),
      ("kafka: {topics: {quarantine: d}, compression: zst}", "bad_value", "zstd"),
      ("kafka: {topics: {quarantine: d}, start: lates}", "bad_value", "latest"),
      ("kafka: {topics: {quarantine: d}, behind: 0}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d, quarantine/ads: e}}", "duplicate_name", nil),
      ("kafka: {topics: {quarantine: d}, options: {no.such: 1}}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d}, options: {acks: 1}}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d}, options: {metadata.broker.list: \"o:1\"}}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d}, options: {message.timeout.ms: 1000}}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d}, options: {sasl.password: hunter22}}", "bad_value", nil),
      ("kafka: {topics: {quarantine: d}, sasl: {mechanism: PLAIN, user: {env: U}, password: secret}}", "bad_value", nil),
    ]
    for item in cases {
      let found = problems(item.sinks)
      #expect(found.count == 1 && found.first?.code == item.code, "\(item.sinks): \(found.map(\.text))")
      #expect(item.suggestion == nil || found.first?.suggestion == item.suggestion, "\(item.sinks): \(found.map(\.text))")
      #expect(!found.contains { $0.text.contains("hunter22") }, "a secret is in no message")
      #expect(found.first?.line == 8, "\(found.map(\.text))")
    }
    #expect(
      problems(SinkConfigurationTests.all, source: "capture: {stream: ads}").map(\.code) == ["missing_key"], "a capture has no brokers")
  }
}
