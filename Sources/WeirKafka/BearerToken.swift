import CKafka
import WeirCore

/// Hands an OAUTHBEARER token to librdkafka whenever it asks: at the start, and when four fifths of a token's life are over.
///
/// The token is read again each time, so a file that something else renews (a Kubernetes service account's, say) works.
struct BearerToken: Sendable {
  private enum Source {
    case secret(Secret)
    case tokens(KafkaTokens)
  }
  private let source: Source

  init?(_ sasl: KafkaSASL?) {
    switch sasl {
    case .bearer(let token): source = .secret(token)
    case .tokens(let tokens): source = .tokens(tokens)
    case .plain, .scram, nil: return nil
    }
  }

  /// Hands the token to librdkafka, or says why there is none; it asks again ten seconds after a failure.
  func hand(to client: OpaquePointer) {
    do {
      let (token, expirySeconds, subject) = try next()
      var text = [CChar](repeating: 0, count: 256)
      let failed = rd_kafka_oauthbearer_set_token(client, token, expirySeconds * 1000, subject, nil, 0, &text, text.count)
      if failed != RD_KAFKA_RESP_ERR_NO_ERROR {
        rd_kafka_oauthbearer_set_token_failure(client, "the \(words) was not accepted (has it expired?)")
      }
    } catch {
      rd_kafka_oauthbearer_set_token_failure(client, error.message)
    }
  }

  private var words: String {
    switch source {
    case .secret(let secret): "\(secret)"
    case .tokens(let tokens): "\(tokens)"
    }
  }

  private func next() throws(WeirError) -> (token: String, expirySeconds: Int64, subject: String) {
    switch source {
    case .secret(let secret):
      let token: String
      do { token = try secret.fresh() } catch { throw WeirError(.config, error.message) }
      guard let claims = Claims(token: token) else {
        throw WeirError(.config, "the \(secret) is not a JWT with an expiry (exp) and a subject (sub)")
      }
      return (token, claims.expirySeconds, claims.subject)
    case .tokens(let tokens):
      let token = try tokens.make()
      // The subject is the broker's to know; librdkafka wants one.
      return (token.text, token.expirySeconds, "weir")
    }
  }

  /// The two claims that librdkafka wants to know. The signature is the broker's to check.
  struct Claims: Equatable {
    var subject: String
    var expirySeconds: Int64

    init?(token: String) {
      let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
      guard parts.count == 3, let bytes = Claims.base64URL(Array(parts[1])),
        let json = try? JSONValue(parsing: bytes), let subject = json["sub"]?.string,
        let seconds = json["exp"]?.int, seconds > 0, seconds < 1 << 40
      else { return nil }
      expirySeconds = seconds
      self.subject = subject
    }

    private static func base64URL(_ text: [UInt8]) -> [UInt8]? {
      var bytes: [UInt8] = []
      var bits: UInt32 = 0
      var count = 0
      for character in text where character != UInt8(ascii: "=") {
        guard let six = digit(character) else { return nil }
        bits = bits << 6 | six
        count += 6
        if count >= 8 {
          count -= 8
          bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
      }
      return bytes
    }

    private static func digit(_ character: UInt8) -> UInt32? {
      switch character {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
      case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
      case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
      case UInt8(ascii: "-"), UInt8(ascii: "+"): 62
      case UInt8(ascii: "_"), UInt8(ascii: "/"): 63
      default: nil
      }
    }
  }
}
