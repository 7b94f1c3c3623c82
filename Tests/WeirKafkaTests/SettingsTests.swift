import Foundation
import Testing
import WeirCore
import WeirKafkaSettings

@testable import WeirKafka

/// What a user may set, and what a setting must not do.
struct SettingsTests {
  @Test func aTopicThatIsNamedAndFitsAPatternIsListedOnce() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("named", partitions: 2)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic, "^\(topic)$", topic]))
    #expect(try await consumer.partitions() == [KafkaPartition(topic, 0), KafkaPartition(topic, 1)])
    await consumer.close()
  }

  @Test func anOptionThatIsTakenIsUsed() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("option", partitions: 1)
    var settings = cluster.producerSettings
    settings.connection.options["message.max.bytes"] = "2000"
    let producer = try KafkaProducer(settings)
    var batch = KafkaBatch(topic: topic)
    batch.append(key: nil, value: [UInt8](repeating: 1, count: 5000), partition: 0)
    await #expect(throws: KafkaError.self) { try await producer.send(batch) }
    await producer.close()
  }

  /// An older library ends the process when a client is closed while its group joins.
  @Test func cooperativeAssignmentNeedsALibraryThatSurvivesIt() {
    #expect(KafkaLibrary.refusal(of: .cooperative, version: 0x0200_02FF)?.contains("2.3.0") == true)
    #expect(KafkaLibrary.refusal(of: .cooperative, version: 0x0203_00FF) == nil)
    #expect(KafkaLibrary.refusal(of: .eager, version: 0x0200_02FF) == nil)
  }

  @Test(arguments: ["metadata.broker.list", "bootstrap.servers", "acks", "compression.type"])
  func otherNamesOfWhatWeirSetsAreRefusedToo(_ name: String) {
    #expect(KafkaProducerSettings.refusal(ofOption: name, "1", isGapless: true) != nil)
  }

  @Test func topicsRecordsAreNeverGivenUpForTheirAge() {
    for name in ["delivery.timeout.ms", "message.timeout.ms", "retries", "message.send.max.retries"] {
      #expect(KafkaProducerSettings.refusal(ofOption: name, "1000", isGapless: true) != nil)
      #expect(KafkaProducerSettings.refusal(ofOption: name, "1000", isGapless: false) == nil)
    }
  }

  @Test func `an option that tunes is refused where it would break what a client promises`() {
    let consumer = [
      ("topic.metadata.refresh.interval.ms", "30001"), ("topic.metadata.refresh.interval.ms", "-1"),
      ("topic.metadata.refresh.interval.ms", " 900000"),
      ("topic.metadata.propagation.max.ms", "60000"), ("metadata.max.age.ms", "900000"), ("fetch.wait.max.ms", "60000"),
      ("api.version.request", "false"), ("broker.version.fallback", "0.9.0"), ("api.version.fallback.ms", "1000"),
      ("enable.auto.commit", "true"), ("auto.offset.reset", "latest"), ("isolation.level", "read_uncommitted"),
      ("queued.max.messages.kbytes", "1"), ("enable.partition.eof", "false"),
    ]
    for (name, value) in consumer { #expect(KafkaConsumerSettings.refusal(ofOption: name, value) != nil, "\(name)=\(value)") }
    for (name, value) in [
      ("topic.metadata.refresh.interval.ms", "30000"), ("topic.metadata.refresh.interval.ms", "1000"), ("metadata.max.age.ms", "90000"),
      ("fetch.wait.max.ms", "5"), ("check.crcs", "true"),
    ] { #expect(KafkaConsumerSettings.refusal(ofOption: name, value) == nil, "\(name)=\(value)") }
    for (name, value) in [("max.in.flight", "6"), ("retries", "0"), ("api.version.request", "false"), ("acks", "0")] {
      #expect(KafkaProducerSettings.refusal(ofOption: name, value, isGapless: false) != nil, "\(name)=\(value)")
    }
  }

  @Test func anOptionIsRefusedWithoutItsValue() {
    #expect(KafkaConsumerSettings.refusal(ofOption: "client.rack", "r1") == nil)
    for name in ["sasl.password", "ssl.key.password", "no.such.option", "fetch.min.bytes"] {
      let why = KafkaConsumerSettings.refusal(ofOption: name, "hunter22")
      #expect(why != nil && why?.contains("hunter22") == false, "\(name): \(why ?? "taken")")
    }
  }

  @Test func `options that may be given only tune: each exists, and none names a file, a command, code or a secret`() throws {
    let words = [
      "path", "location", "cmd", "plugin", "engine", "provider", "file", "_cb", "store", "kerberos", "oauth", "interceptor", "pem",
      "password",
      "secret", "username", "sasl", "ssl", "security", "url", "opaque", "mock", "auto.create",
    ]
    for role in [KafkaOptions.Role.consumer, .producer, .gaplessProducer] {
      #expect(KafkaOptions.names(role).count > 40)
      for name in KafkaOptions.names(role) {
        #expect(!words.contains { name.contains($0) }, "\(name)")
        let value = ["debug": "cgrp", "broker.address.family": "v4"][name] ?? "5"
        do throws(KafkaError) { try KafkaConfiguration().set(name, value) } catch {
          // Switches, and numbers that are larger: refused for the value, never for the name.
          #expect(!error.message.contains("No such configuration property"), "\(name): \(error.message)")
        }
      }
    }
  }

  @Test func aCertificateThatIsNotThereIsNamed() {
    var settings = KafkaConsumerSettings(connection: KafkaConnection(brokers: "h:1"), topics: ["t"], group: "g")
    settings.connection.tls = KafkaTLS()
    settings.connection.tls?.authorities = "/not/there.pem"
    let error = #expect(throws: KafkaError.self) { try KafkaConsumer(settings) }
    #expect(error?.message.contains("/not/there.pem") == true, "\(error.map(\.message) ?? "taken")")
  }

  @Test func whatIsNoPEMIsNamedWithItsSettingAndFile() throws {
    let path = NSTemporaryDirectory() + "weir-pem-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("no certificate".utf8).write(to: URL(fileURLWithPath: path))
    func refusal(_ change: (inout KafkaTLS) -> Void) -> String {
      var settings = KafkaConsumerSettings(connection: KafkaConnection(brokers: "h:1"), topics: ["t"], group: "g")
      var tls = KafkaTLS()
      change(&tls)
      settings.connection.tls = tls
      return #expect(throws: KafkaError.self) { try KafkaConsumer(settings) }?.message ?? ""
    }
    let authorities = refusal { $0.authorities = path }
    #expect(authorities.contains("tls.ca: \(path)"), "\(authorities)")
    let certificate = refusal { ($0.certificate, $0.key) = (path, .file(path)) }
    #expect(certificate.contains("tls.") && certificate.contains(path) && !certificate.contains("no certificate"), "\(certificate)")
  }

  @Test func anAddressWithAUserIsNotHandedToTheClient() {
    for brokers in ["SASL_SSL://u:hunter22@127.0.0.1:1", "h:9092,u:hunter22@h:1"] {
      let settings = KafkaConsumerSettings(connection: KafkaConnection(brokers: brokers), topics: ["t"], group: "g")
      let error = #expect(throws: KafkaError.self) { try KafkaConsumer(settings) }
      #expect(error?.message.contains("HOST:PORT") == true && error?.message.contains("hunter22") == false, "\(error?.message ?? "taken")")
    }
  }

  @Test func aSecretThatIsEmptyOrNoFileIsToldWithItsPlace() throws {
    let path = NSTemporaryDirectory() + "weir-secret-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("\n".utf8).write(to: URL(fileURLWithPath: path))
    for (secret, word) in [
      (Secret.file(path), "empty"), (.file(NSTemporaryDirectory()), "cannot be read"), (.environment("WEIR_TEST_NOT_SET"), "not set"),
    ] {
      let error = #expect(throws: KafkaError.self) { try secret.read() }
      #expect(error?.message.contains(word) == true && error?.weirError.code == .config, "\(secret): \(error.map(\.message) ?? "read")")
    }
  }
}
