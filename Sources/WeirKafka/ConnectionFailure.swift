import CKafka
import WeirCore

/// Why a client could not use a broker, in the words of Weir's own settings.
///
/// librdkafka reports this apart from the request that then times out, and its words name only its own options. The causes are recognised by
/// words that librdkafka 2.0 and 2.16 have in common with OpenSSL 3.
struct ConnectionFailure: Sendable, Hashable {
  /// What a certificate of a broker lacks: OpenSSL's numbers of verification errors (`X509_V_ERR_…`).
  enum Verification: Sendable, Hashable {
    case authority, expired, notYetValid, hostName
    case other(Int32)

    init(_ number: Int32) {
      self =
        switch number {
        // No issuer found, self-signed, or signed by another key.
        case 2, 7, 18, 19, 20, 21: .authority
        case 9: .notYetValid
        case 10: .expired
        // A host name or an IP address.
        case 62, 64: .hostName
        default: .other(number)
        }
    }

    /// Also a part of librdkafka's log line.
    var words: String {
      switch self {
      case .authority: "its certificate is not signed by a trusted authority"
      case .expired: "its certificate has expired"
      case .notYetValid: "its certificate is not valid yet"
      case .hostName: "its certificate is for another host name"
      case .other(let number): "its certificate is not valid (OpenSSL's verification error \(number))"
      }
    }
  }

  enum Cause: Sendable, Hashable {
    case broker(Verification)
    /// The broker sent an alert about the client's certificate.
    case clientCertificate(String)
    case password(String)
    case token(String)
    /// The broker's mechanisms.
    case mechanism(String)
    case brokerWithoutSASL
    /// The connection ended where a broker that uses, or does not use, TLS or SASL ends it; a broker that restarts does the same.
    case maybeWithoutTLS, maybeTLS, maybeSASL
    /// TLS or SASL failed for another reason.
    case handshake(String), authentication(String)
    /// No such cause: the network, or a broker that is down.
    case network(String)
  }

  var cause: Cause
  /// `host:port`.
  var broker: String
  var code: rd_kafka_resp_err_t
  /// A password that was refused may be replaced by a newer one soon.
  var passes = false

  /// - Parameters:
  ///   - words: of librdkafka's error event: `ssl://host:9093/bootstrap: SSL handshake failed: … (after 5ms in state SSL_HANDSHAKE)`.
  ///   - verification: the error that OpenSSL had with a certificate of a broker, by `host:port`.
  /// - Returns: nil if the error is not about a connection.
  init?(_ code: rd_kafka_resp_err_t, _ words: String, _ connection: KafkaConnection, verification: (String) -> Int32?) {
    guard let end = words.firstRange(of: ": ") else { return nil }
    let address = words[..<end.lowerBound]
    let name = address.firstRange(of: "://").map { address[$0.upperBound...] } ?? address
    let broker = String(name.prefix { $0 != "/" })
    guard broker.contains(":"), !broker.contains(" ") else { return nil }
    let reason = ConnectionFailure.withoutState(String(words[end.upperBound...]))
    switch code {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION: cause = ConnectionFailure.ofSASL(reason, connection)
    case RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR__TRANSPORT:
      cause = ConnectionFailure.ofTLS(words, reason, connection, isTLS: code == RD_KAFKA_RESP_ERR__SSL, verification(broker))
    default: return nil
    }
    self.broker = broker
    self.code = code
  }

  private static func ofSASL(_ reason: String, _ connection: KafkaConnection) -> Cause {
    if reason.contains("SASL Handshake not supported") { return .brokerWithoutSASL }
    if reason.contains("mechanism handshake failed") {
      return .mechanism(reason.firstRange(of: "supported mechanisms: ").map { String(reason[$0.upperBound...]) } ?? "")
    }
    guard let said = reason.firstRange(of: "SASL authentication error: ") else { return .authentication(reason) }
    let words = String(reason[said.upperBound...])
    switch connection.sasl {
    case .bearer, .tokens: return .token(words)
    case .plain, .scram, nil: return .password(words)
    }
  }

  private static func ofTLS(_ words: String, _ reason: String, _ connection: KafkaConnection, isTLS: Bool, _ verification: Int32?) -> Cause
  {
    if reason.contains("certificate verify failed") { return verification.map { .broker(Verification($0)) } ?? .handshake(reason) }
    if let alert = ConnectionFailure.alert(reason) { return .clientCertificate(alert) }
    let isCut = reason.contains("unexpected eof") || reason.contains("Disconnected") || reason.contains("onnection reset")
    // Where a broker ends the connection: in the TLS handshake; at the first request; at the first one that needs a user.
    if words.contains("state SSL_HANDSHAKE"), isCut || reason.contains("wrong version number") { return .maybeWithoutTLS }
    if isCut, words.contains("state APIVERSION_QUERY"), connection.tls == nil { return .maybeTLS }
    if isCut, words.contains("state UP"), connection.sasl == nil, ConnectionFailure.isYoung(words) { return .maybeSASL }
    return isTLS && !isCut ? .handshake(reason) : .network(reason)
  }

  /// Whether a connection ended in its first second: later it may have been idle for too long.
  private static func isYoung(_ words: String) -> Bool {
    guard let after = words.firstRange(of: "(after ") else { return false }
    let text = words[after.upperBound...]
    return text.drop(while: \.isNumber).hasPrefix("ms") && text.prefix(while: \.isNumber).count <= 3
  }

  /// TLS's alerts about the client's certificate: bad, unsupported, revoked, expired, unknown, of an unknown authority, required.
  private static let certificateAlerts: Set<String> = ["42", "43", "44", "45", "46", "48", "116"]

  /// Such an alert by its name, like `certificate required`.
  private static func alert(_ reason: String) -> String? {
    guard let number = reason.firstRange(of: ": SSL alert number "), let name = reason.firstRange(of: " alert "),
      name.upperBound <= number.lowerBound, certificateAlerts.contains(String(reason[number.upperBound...].prefix(while: \.isNumber)))
    else { return nil }
    return String(reason[name.upperBound..<number.lowerBound])
  }

  /// Without `(after 5ms in state CONNECT)`, which differs from one attempt to the next.
  private static func withoutState(_ reason: String) -> String {
    reason.firstRange(of: " (after ").map { String(reason[..<$0.lowerBound]) } ?? reason
  }

  /// True: the settings or the broker have to be changed. False: the next attempt may succeed.
  var isRefusal: Bool {
    switch cause {
    case .maybeWithoutTLS, .maybeTLS, .maybeSASL, .network: false
    case .password, .authentication: !passes
    default: true
    }
  }

  /// Without the broker.
  private var words: String {
    switch cause {
    case .broker(let verification): verification.words
    case .clientCertificate("certificate required"): "it requires a client certificate"
    case .clientCertificate(let alert): "it does not accept this client's certificate: \(alert)"
    case .password(let reason): "it does not accept this user and password: \(reason)"
    case .token(let reason): "it does not accept this token: \(reason)"
    case .mechanism(let offered): "it does not accept this SASL mechanism\(offered.isEmpty ? "" : ", only \(offered)")"
    case .brokerWithoutSASL: "it does not use SASL at this port"
    case .maybeWithoutTLS: "it closed the connection during the TLS handshake, as brokers without TLS do"
    case .maybeTLS: "it closed the connection at the first request, as brokers that require TLS do"
    case .maybeSASL: "it closed the connection, as brokers that require SASL do"
    case .handshake(let reason), .authentication(let reason), .network(let reason): reason
    }
  }

  private func advice(_ connection: KafkaConnection) -> Wording? {
    switch cause {
    case .broker(.authority):
      if let file = connection.tls?.authorities {
        return "Is \(file) (tls.ca) the certificate of the authority that signed the brokers' certificates?"
      }
      return "Set tls.ca to the PEM file of the authority that signed the brokers' certificates; without it only the system's are trusted."
    case .broker(.expired), .broker(.notYetValid): return "Renew the broker's certificate, or correct this machine's clock."
    case .broker(.hostName):
      return
        "Use a host name of the certificate, in brokers and in the brokers' advertised listeners. tls.verify_host: false omits the check."
    case .clientCertificate:
      return connection.tls?.certificate == nil
        ? "Set tls.certificate and tls.key: the brokers require a certificate (mutual TLS)."
        : "tls.certificate must be valid now, and signed by an authority that the brokers trust."
    case .password: return "Check sasl.user and sasl.password, and that the user exists for this sasl.mechanism."
    case .token: return "Renew the token that sasl.token names, and check its audience and issuer."
    case .mechanism: return "Set sasl.mechanism to one that the brokers accept."
    case .brokerWithoutSASL: return "Remove sasl, or use the port of a listener with SASL."
    case .maybeWithoutTLS: return "Is this the port of a listener with TLS? If not, use that port, or remove tls."
    case .maybeTLS: return "Does this port require TLS? Then set tls, or use the port of a listener without TLS."
    case .maybeSASL: return "Does this port require a user? Then set sasl, or use the port of a listener without SASL."
    case .broker(.other), .handshake, .authentication, .network: return nil
    }
  }

  /// - Parameter action: what was tried: `cannot get the partitions of orders`.
  func error(_ action: String, _ connection: KafkaConnection) -> KafkaError {
    // A cut during a handshake is `_SSL` for librdkafka, which it reports as if it were final.
    let isPlain = self.code == RD_KAFKA_RESP_ERR__TRANSPORT
    let code = !isRefusal ? RD_KAFKA_RESP_ERR__TRANSPORT : isPlain ? RD_KAFKA_RESP_ERR__SSL : self.code
    var error = KafkaError(code, action, detail: "\(broker): \(words)")
    if let advice = advice(connection) { error.advice = advice }
    return error
  }
}
