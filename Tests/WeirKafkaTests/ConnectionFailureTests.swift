import CKafka
import Testing
import WeirCore

@testable import WeirKafka

/// Words of librdkafka 2.0.2 and 2.16.0, recorded with the brokers and settings that the comments name: `tls_and_sasl` has them as a driver.
struct ConnectionFailureTests {
  private static let verifyFailed =
    "ssl://broker:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be "
    + "verified, verify that ssl.ca.location is correctly configured or root CA certificates are installed (install ca-certificates package) "
    + "(after 50ms in state SSL_HANDSHAKE)"

  private func failure(
    _ code: rd_kafka_resp_err_t, _ words: String, tls: Bool = true, sasl: Bool = true, verification: Int32? = nil
  ) -> ConnectionFailure? {
    ConnectionFailure(code, words, connection(tls: tls, sasl: sasl)) { $0 == "broker:9093" ? verification : nil }
  }

  private func connection(tls: Bool, sasl: Bool) -> KafkaConnection {
    var connection = KafkaConnection(brokers: "broker:9093")
    if tls { connection.tls = KafkaTLS() }
    if sasl { connection.sasl = .plain(user: .environment("U"), password: .environment("P")) }
    return connection
  }

  @Test(
    arguments: [
      (20, .authority), (19, .authority), (18, .authority), (10, .expired), (9, .notYetValid), (62, .hostName),
      (64, .hostName), (23, .other(23)),
    ] as [(Int32, ConnectionFailure.Verification)])
  func aCertificateOfABrokerIsRefusedForTheReasonThatOpenSSLHas(_ number: Int32, _ wanted: ConnectionFailure.Verification) throws {
    let found = try #require(failure(RD_KAFKA_RESP_ERR__SSL, Self.verifyFailed, verification: number))
    #expect(found.cause == .broker(wanted))
    #expect(found.isRefusal)
    let error = found.error("cannot list the topics", connection(tls: true, sasl: false))
    #expect(error.message == "cannot list the topics: broker:9093: \(wanted.words) (_SSL)")
    #expect(!error.isRetriable && error.fatalTo == .pipeline && error.weirError.code == .refused)
  }

  @Test(arguments: [
    "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116",
    "Receive failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48",
    "Receive failed: error:0A000415:SSL routines::sslv3 alert certificate expired: SSL alert number 45",
    "Receive failed: error:0A000415:SSL routines::ssl/tls alert certificate expired: SSL alert number 45",
  ])
  func anAlertAboutTheClientsCertificateIsARefusal(_ words: String) throws {
    for code in [RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__SSL] {
      let found = try #require(failure(code, "ssl://broker:9093/1: \(words) (after 0ms in state APIVERSION_QUERY)"))
      #expect(found.isRefusal)
      let error = found.error("x", connection(tls: true, sasl: false))
      #expect(error.name == "_SSL" && error.message.contains("certificate"), "\(error)")
      #expect(error.advice?.contains("tls.certificate") == true)
    }
  }

  @Test(arguments: [
    (
      "SASL authentication error: Authentication failed: Invalid username or password (after 1ms in state AUTH_REQ)",
      "does not accept this user"
    ),
    (
      "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512 (after 0ms in state AUTH_HANDSHAKE)",
      "only SCRAM-SHA-512"
    ),
    (
      "Failed to initialize SASL authentication: SASL Handshake not supported by broker (required by mechanism PLAIN) (after 0ms in state AUTH_LEGACY)",
      "does not use SASL"
    ),
  ])
  func whatSASLRefusesIsNamed(_ words: String, _ wanted: String) throws {
    let found = try #require(failure(RD_KAFKA_RESP_ERR__AUTHENTICATION, "sasl_ssl://broker:9093/bootstrap: \(words)"))
    #expect(found.isRefusal)
    let error = found.error("x", connection(tls: true, sasl: true))
    #expect(error.message.contains(wanted) && error.name == "_AUTHENTICATION", "\(error)")
    #expect(error.advice?.contains("sasl") == true)
  }

  /// A broker that restarts cuts connections at the same moments.
  @Test(arguments: [
    (
      "SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading (after 1ms in state SSL_HANDSHAKE)", true, false,
      "remove tls"
    ),
    (
      "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 3ms in state SSL_HANDSHAKE)",
      true, false, "remove tls"
    ),
    ("Disconnected: connection closed by peer: receive 0 after POLLIN (after 0ms in state APIVERSION_QUERY)", false, false, "set tls"),
    (
      "Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?) or broker version is < 0.10 (see api.version.request) (after 0ms in state APIVERSION_QUERY)",
      false, false, "set tls"
    ),
    ("Disconnected: SSL connection closed by peer (after 0ms in state UP)", true, false, "set sasl"),
    (
      "Disconnected: verify that security.protocol is correctly configured, broker might require SASL authentication (after 7ms in state UP)",
      true, false, "set sasl"
    ),
  ])
  func aConnectionThatIsCutMayBeCutForItsSettings(_ words: String, _ tls: Bool, _ sasl: Bool, _ advice: String) throws {
    for code in [RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__SSL] {
      let found = try #require(failure(code, "broker:9093/bootstrap: \(words)", tls: tls, sasl: sasl))
      #expect(!found.isRefusal)
      let error = found.error("x", connection(tls: tls, sasl: sasl))
      #expect(error.isRetriable && error.name == "_TRANSPORT" && error.advice?.contains(advice) == true, "\(error) \(error.advice as Any)")
    }
  }

  @Test func aConnectionThatWasIdleOrNeverCameAboutSaysNothingAboutSettings() throws {
    for words in [
      "Disconnected: connection closed by peer (after 600123ms in state UP)",
      "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
    ] {
      let found = try #require(failure(RD_KAFKA_RESP_ERR__TRANSPORT, "broker:9093/bootstrap: \(words)", tls: false, sasl: false))
      guard case .network = found.cause else { Issue.record("\(found)"); continue }
    }
    #expect(failure(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down") == nil)
    #expect(failure(RD_KAFKA_RESP_ERR__TRANSPORT, "1/1 brokers are down") == nil)
  }

  @Test func aRequestThatTimesOutSaysWhyThereWasNoConnection() {
    let watch = ConnectionWatch(connection(tls: true, sasl: false))
    let timeout = KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, "cannot list the topics")
    #expect(watch.explained(timeout).message == timeout.message)
    watch.logged("[thrd:ssl://broker:9093/1]: ssl://broker:9093/1: Disconnected: SSL connection closed by peer (after 0ms in state UP)")
    #expect(watch.explained(timeout).message.contains("as brokers that require SASL do"))
    watch.answered()
    #expect(watch.explained(timeout).message == timeout.message)
    watch.found(10, in: "broker:9093")
    #expect(watch.failed(RD_KAFKA_RESP_ERR__SSL, Self.verifyFailed)?.cause == .broker(.expired))
    watch.answered()
    #expect(watch.isRefused)
    #expect(watch.explained(timeout).message == "cannot list the topics: broker:9093: its certificate has expired (_SSL)")
    let missing = KafkaError(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "cannot list the topics")
    #expect(watch.explained(missing).message == missing.message)
  }
}
