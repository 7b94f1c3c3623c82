/// One HTTP request with its signature, as it goes over the network.
package struct AWSTransportRequest: Sendable {
  package var method: String
  /// Scheme, host, port: `https://s3.eu-central-1.amazonaws.com`. Transfers to one origin share connections.
  package var origin: String
  /// Path and query, encoded; begins with `/`.
  package var target: String
  /// With `Host`. Names and values have no control characters, or the request is refused.
  package var headers: [SignedRequest.Pair]
  package var body: [UInt8]
  /// The transport may send the request once more by itself when a kept connection breaks.
  package var isRepeatable = true
  /// A longer answer is refused.
  package var answerBytesMax = AWSTransportRequest.answerBytesMax
  package var connectMilliseconds = 5000
  /// From the start of the transfer to the last byte of the answer.
  package var totalMilliseconds = 60_000
  /// The transfer ends when this time passes with less than one byte per second.
  package var idleSeconds = 20
  /// false: metadata services of the machine itself.
  package var usesProxy = true

  /// The largest object that a client holds in memory unless its caller asks for more.
  package static let answerBytesMax = 1 << 30

  package init(method: String, origin: String, target: String, headers: [SignedRequest.Pair] = [], body: [UInt8] = []) {
    self.method = method
    self.origin = origin
    self.target = target
    self.headers = headers
    self.body = body
  }
}

/// Why a request has no complete answer. Contains no header, body or query.
package struct AWSTransportFailure: Error, Sendable, Hashable {
  package enum Kind: String, Sendable {
    case noConnection = "NoConnection"
    case timeout = "Timeout"
    /// The connection broke before the answer was complete.
    case broken = "ConnectionBroken"
    /// TLS, address or proxy: a person has to act.
    case configuration = "TransportConfiguration"
    case tooLarge = "AnswerTooLarge"
    case cancelled = "Cancelled"
    case closed = "ClientClosed"
  }

  package var kind: Kind
  /// The other side may have received the whole request.
  package var mayBeReceived: Bool
  package var reason: String

  package init(_ kind: Kind, mayBeReceived: Bool, _ reason: String) {
    self.kind = kind
    self.mayBeReceived = mayBeReceived
    self.reason = reason
  }
}

/// Carries requests to services. Tests have scripted ones.
package protocol AWSTransport: Sendable {
  /// Every status is an answer; redirects are not followed. Ends within the request's time.
  func send(_ request: AWSTransportRequest) async throws(AWSTransportFailure) -> AWSResponse
  /// Returns when the head of the answer has come; a body of status 200 follows piece by piece, within the limits.
  func open(_ request: AWSTransportRequest, _ limits: AWSStreamLimits) async throws(AWSTransportFailure) -> AWSOpened
}
