import Testing
import WeirCore
import WeirKafka
import WeirKafkaSettings

@testable import WeirConfiguration
@testable import WeirPlan
@testable import WeirRuntime

/// Whom topics are sent to, and as whom: a source's certificates and passwords go to the source's brokers alone.
struct KafkaWiringTests {
  private static let security =
    "tls: {ca: ca.pem, certificate: c.pem, key: {file: k.pem}, key_password: {env: KP}, verify_host: false}, sasl: {mechanism: SCRAM-SHA-256, user: {env: U}, password: {file: /p}}"

  private func settings(_ sinks: String, brokers: String? = nil) throws -> (source: KafkaConnection, sink: KafkaConnection) {
    let yaml = """
      pipeline: p
      source: {kafka: {brokers: "source:9093", topic: ads, group: g, options: {client.rack: here}, \(KafkaWiringTests.security)}}
      record:
        time: {field: t}
        fields: {user: string, t: timestamp_ms!}
      gold:
        per_user: {by: [user], window: {tumbling: 10s}, measure: {rows: count()}}
      sinks: {kafka: {topics: {gold/per_user: out}\(sinks)}}
      """
    let plan = try loadPipeline(yaml: yaml, file: "p.yaml").plan
    let source = try #require(KafkaSourceSpec.of(plan))
    return (
      KafkaWiring.settings(source, brokers: brokers, shards: 1).connection,
      KafkaWiring.settings(try #require(plan.sinks?.settings as? KafkaSinkSpec), source: source, brokers: brokers).connection
    )
  }

  /// The client knows the values that its options accept; commands ask it.
  @Test(arguments: [("", "linger.ms: soon"), ("fetch.min.bytes: soon", "linger.ms: 5")])
  func aValueThatTheClientRefusesIsADiagnostic(source: String, sink: String) throws {
    let yaml = """
      pipeline: p
      source: {kafka: {brokers: "h:1", topic: ads, group: g, options: {\(source)}}}
      record: {fields: {user: string}}
      silver: {}
      sinks: {kafka: {topics: {quarantine: d}, options: {\(sink)}}}
      """
    #expect(throws: Never.self) { try loadPipeline(yaml: yaml, file: "p.yaml") }
    let error = #expect(throws: ConfigurationError.self) { try loadPipeline(yaml: yaml, file: "p.yaml", sections: .withClients) }
    #expect(error?.diagnostics.map(\.code) == ["bad_value"] && error?.diagnostics.first?.line == (source.isEmpty ? 5 : 2))
  }

  @Test func topicsOnTheSourcesBrokersAreSentWithItsIdentity() throws {
    let (source, sink) = try settings("")
    #expect(sink.brokers == "source:9093" && sink.tls == source.tls && sink.sasl == source.sasl)
    #expect(sink.tls?.certificate?.hasSuffix("c.pem") == true && sink.tls?.checksHostName == false)
    #expect(sink.sasl == .scram(.sha256, user: .environment("U"), password: .file("/p")))
    #expect(try settings("", brokers: "other:1").sink.brokers == "other:1", "as --brokers says for the source")
  }

  @Test func brokersOfTheirOwnGetNothingOfTheSourcesIdentity() throws {
    let (_, sink) = try settings(", brokers: \"elsewhere:9092\"", brokers: "other:1")
    #expect(sink.brokers == "elsewhere:9092" && sink.tls == nil && sink.sasl == nil && sink.options.isEmpty)
    let (_, named) = try settings(
      ", brokers: \"elsewhere:9092\", tls: {ca: other.pem}, sasl: {mechanism: PLAIN, user: {env: V}, password: {env: W}}")
    #expect(named.tls?.authorities?.hasSuffix("other.pem") == true && named.tls?.key == nil)
    #expect(named.sasl == .plain(user: .environment("V"), password: .environment("W")))
  }

  @Test func anIdentityOfTheSinksGoesBeforeTheSources() throws {
    let (_, sink) = try settings(", sasl: {mechanism: OAUTHBEARER, token: {file: /t}}")
    #expect(sink.sasl == .bearer(token: .file("/t")) && sink.tls?.certificate?.hasSuffix("c.pem") == true)
  }
}
