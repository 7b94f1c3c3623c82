import CKafka
import Synchronization
import WeirCore

/// What a client's connections to brokers failed with, so that a request that times out can say why.
final class ConnectionWatch: Sendable {
  private struct State {
    /// OpenSSL's errors with brokers' certificates, by `host:port`.
    var verifications: [String: Int32] = [:]
    var refusal: ConnectionFailure?
    var latest: ConnectionFailure?
  }

  private let connection: KafkaConnection
  private let state = Mutex(State())

  init(_ connection: KafkaConnection) { self.connection = connection }

  /// OpenSSL did not accept a certificate of a broker.
  func found(_ error: Int32, in broker: String) { state.withLock { $0.verifications[broker] = error } }

  /// An error event of librdkafka.
  /// - Parameters:
  ///   - words: librdkafka's, without secrets.
  ///   - passes: a password that was refused may be replaced by a newer one soon.
  /// - Returns: its cause; nil if it is not about a connection.
  func failed(_ code: rd_kafka_resp_err_t, _ words: String, passes: Bool = false) -> ConnectionFailure? {
    state.withLock { state in
      guard var failure = ConnectionFailure(code, words, connection, verification: { state.verifications[$0] }) else { return nil }
      failure.passes = passes
      state.latest = failure
      if failure.isRefusal { state.refusal = failure }
      return failure
    }
  }

  /// A line of librdkafka's log about a broker: connections that end in order are errors of no event.
  /// - Parameter line: `[thrd:host:9092/bootstrap]: host:9092/bootstrap: Disconnected … (after 0ms in state APIVERSION_QUERY)`.
  func logged(_ line: String) {
    guard let start = line.firstRange(of: "]: ") else { return }
    state.withLock { state in
      guard
        let failure = ConnectionFailure(
          RD_KAFKA_RESP_ERR__TRANSPORT, String(line[start.upperBound...]), connection, verification: { _ in nil })
      else { return }
      switch failure.cause {
      case .maybeTLS, .maybeSASL, .maybeWithoutTLS: state.latest = failure
      default: break
      }
    }
  }

  /// Brokers have answered: an earlier failure explains nothing that follows.
  func answered() { state.withLock { $0.latest = nil } }

  /// A broker has refused this client, so that waiting does not help.
  var isRefused: Bool { state.withLock { $0.refusal != nil } }

  /// A request's error with the reason for which there was no connection.
  func explained(_ error: KafkaError) -> KafkaError {
    guard error.isRetriable, let failure = state.withLock({ $0.refusal ?? $0.latest }) else { return error }
    var explained = failure.error(error.action, connection)
    explained.partition = error.partition
    return explained
  }
}
