/// A request to one service of AWS, before it has a host and a signature.
package struct AWSRequest: Sendable, Hashable {
  /// The service's own name of the operation, such as `PutObject`: requests are counted by it.
  package var operation: String
  package var method: String
  /// Begins with `/`, not encoded.
  package var path: String
  /// Not encoded.
  package var query: [SignedRequest.Pair]
  /// Without `Host`, which the client adds.
  package var headers: [SignedRequest.Pair]
  package var body: [UInt8]
  /// Before the endpoint's host, for buckets in virtual-host style: `BUCKET.`; empty: the endpoint's host as it is.
  package var hostPrefix: String
  package var retries: Retries
  /// A longer answer is refused, with the failure `AnswerTooLarge`. Default: 1 GiB.
  package var answerBytesMax = AWSTransportRequest.answerBytesMax

  /// When the client may send a request once more.
  package enum Retries: Sendable, Hashable {
    /// After every failure that may pass: repeating has no other effect.
    case always
    /// Only while the service cannot have received it, or has said that it did not act on it. Every other failure is `unknown`: the caller
    /// finds out by reading.
    case whileNotReceived
  }

  package init(
    _ operation: String, method: String, path: String = "/", query: [SignedRequest.Pair] = [], headers: [SignedRequest.Pair] = [],
    body: [UInt8] = [], hostPrefix: String = "", retries: Retries = .always
  ) {
    self.operation = operation
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
    self.hostPrefix = hostPrefix
    self.retries = retries
  }
}

/// What a service answered. A status of 2xx, 304, 404, 409 or 412, which mean something to the caller; all others are an ``AWSFailure``.
package struct AWSResponse: Sendable {
  package var status: Int
  /// In the order of the answer; names as the service sent them.
  package var headers: [SignedRequest.Pair]
  package var body: [UInt8]

  package init(status: Int, headers: [SignedRequest.Pair] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// The first header of a name, in any case.
  package func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }
}

/// Why a request has no answer that the caller could use. Never contains a secret.
package struct AWSFailure: Error, Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    /// The request had no effect, and the same one may succeed later: throttling, a host that is away. The client's own retries are used up.
    case retriable
    /// It may have had its effect.
    case unknown
    /// A condition of the request does not hold: another writer was first (DynamoDB's conditional checks).
    case fenced
    /// Repeating will not help: no permission, no such bucket, wrong configuration.
    case fatal
  }

  package var kind: Kind
  /// The service's own code, such as `AccessDenied`, `ConditionalCheckFailedException`; of the client: `Timeout`, `NoConnection`, ...
  package var code: String
  /// One line for people: operation, endpoint, what happened.
  package var message: String
  /// HTTP status; 0: no answer.
  package var status: Int
  /// What the service calls this request in its own logs.
  package var requestID: String?
  /// Of the answer, for codes that carry details (`TransactionCanceledException`).
  package var body: [UInt8]

  package init(_ kind: Kind, code: String, message: String, status: Int = 0, requestID: String? = nil, body: [UInt8] = []) {
    self.kind = kind
    self.code = code
    self.message = message
    self.status = status
    self.requestID = requestID
    self.body = body
  }
}

/// Sends requests to one service in one region. The implementation signs, counts and repeats them; tests have models of services.
package protocol AWSSender: Sendable {
  /// The endpoint, for messages: `https://s3.eu-central-1.amazonaws.com`.
  var endpoint: String { get }
  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse
  /// Sends a request whose answer comes for as long as the service sends. Every status but 200 is a failure. The caller closes the stream.
  func open(_ request: AWSRequest, _ limits: AWSStreamLimits) async throws(AWSFailure) -> AWSStream
}
