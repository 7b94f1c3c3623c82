import WeirCore

/// What one attempt means: pure, by the answer or the failure of the transport alone.
enum AWSVerdict: Equatable {
  /// The caller gets the answer.
  case answered
  /// A later attempt may succeed.
  /// - mayHaveActed: the service may have acted on this one.
  case passing(Passing, mayHaveActed: Bool)
  /// The keys are no longer accepted; the service did not act.
  case keysRefused
  /// The service's clock differs: the signature's time is outside of its window; it did not act.
  case clocksDiffer(serverSeconds: Int64)
  /// There is an answer that cannot be taken.
  case unreadable(mayHaveActed: Bool)
  /// Repeating does not help.
  case final(AWSFailure.Kind)

  enum Passing: Equatable { case throttled, timeout, failed }

  /// The service's clock may be wrong by this much before a signature is refused: half of the five minutes that most accept.
  static let clockSecondsMax: Int64 = 150

  // MARK: Answers

  /// Statuses that mean something to callers (see ``AWSResponse``).
  static func isForCaller(_ status: Int) -> Bool { (200..<300).contains(status) || [304, 404, 409, 412].contains(status) }

  /// Whether an answer is an error, and not for the caller.
  /// - Parameter method: an object that is read may look like an error, and is none.
  static func isError(_ answer: AWSResponse, method: String) -> Bool {
    !isForCaller(answer.status) || method != "GET" && hidesError(answer)
  }

  /// - Parameters:
  ///   - error: what the answer says; nil: it is none.
  ///   - now: seconds since 1970 that the request was signed with.
  init(_ answer: AWSResponse, _ error: AWSServiceError?, at now: Int64) {
    let status = answer.status
    guard let error else {
      self = .answered
      return
    }
    if AWSVerdict.skew.contains(error.code) || AWSVerdict.maybeSkew.contains(error.code) || status == 403 && error.code.isEmpty,
      let server = answer.header("date").flatMap(HTTPDate.seconds), abs(server - now) > AWSVerdict.clockSecondsMax
    {
      self = .clocksDiffer(serverSeconds: server)
    } else if AWSVerdict.oldKeys.contains(error.code) {
      self = .keysRefused
    } else if error.code == "TransactionCanceledException" {
      self = AWSVerdict.cancelledTransaction(answer.body)
    } else if error.code == "ConditionalCheckFailedException" {
      self = .final(.fenced)
    } else if AWSVerdict.throttles.contains(error.code) || status == 429 {
      self = .passing(.throttled, mayHaveActed: false)
    } else if AWSVerdict.inProgress.contains(error.code) {
      self = .passing(.throttled, mayHaveActed: true)
    } else if error.code == "TransactionConflictException" || error.code == "IDPCommunicationError" {
      self = .passing(.failed, mayHaveActed: false)
    } else if status == 408 || AWSVerdict.slowRequests.contains(error.code) {
      // The service gave up waiting for the request.
      self = .passing(.timeout, mayHaveActed: false)
    } else if [200, 500, 502, 503, 504].contains(status) {
      self = .passing(.failed, mayHaveActed: true)
    } else {
      self = .final(.fatal)
    }
  }

  /// S3 begins some answers with 200 before it knows how they end (CompleteMultipartUpload, CopyObject).
  private static func hidesError(_ answer: AWSResponse) -> Bool {
    guard answer.status == 200, let type = answer.header("content-type"), type.contains("xml") else {
      return false
    }
    return XMLText(answer.body).root == "Error"
  }

  /// DynamoDB lists a reason per item. A condition that failed is final; without one the transaction may be tried again.
  private static func cancelledTransaction(_ body: [UInt8]) -> AWSVerdict {
    let reasons = (try? JSONValue(parsing: body))?["CancellationReasons"]?.array ?? []
    let codes = Set(reasons.compactMap { $0["Code"]?.string }).subtracting(["None"])
    if codes.contains("ConditionalCheckFailed") { return .final(.fenced) }
    if codes.isEmpty || !codes.isSubset(of: ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"]) {
      return .final(.fatal)
    }
    return .passing(codes == ["TransactionConflict"] ? .failed : .throttled, mayHaveActed: false)
  }

  // The lists: botocore 1.44, retries/standard.py (ThrottledRetryableChecker, TransientRetryableChecker); AWS SDK for Go 2,
  // aws/retry (clock skew).

  /// The service refused before it acted.
  private static let throttles: Set<String> = [
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "TooManyRequestsException",
    "ProvisionedThroughputExceededException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException",
    "RequestThrottled", "SlowDown", "EC2ThrottledException", "KMSThrottlingException",
  ]
  /// An earlier attempt of the same request is under way.
  private static let inProgress: Set<String> = ["TransactionInProgressException", "PriorRequestNotComplete"]
  private static let slowRequests: Set<String> = ["RequestTimeout", "RequestTimeoutException"]
  private static let skew: Set<String> = ["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"]
  /// Also what a wrong clock looks like.
  ///
  /// So does an answer to HEAD, which cannot have a code.
  private static let maybeSkew: Set<String> = ["InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure"]
  private static let oldKeys: Set<String> = [
    "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId",
    "UnrecognizedClientException",
  ]

  // MARK: The transport's failures

  init(_ failure: AWSTransportFailure) {
    switch failure.kind {
    case .noConnection, .broken: self = .passing(.failed, mayHaveActed: failure.mayBeReceived)
    case .timeout: self = .passing(.timeout, mayHaveActed: failure.mayBeReceived)
    case .configuration: self = .final(.fatal)
    case .tooLarge: self = .unreadable(mayHaveActed: failure.mayBeReceived)
    case .cancelled, .closed: self = .final(failure.mayBeReceived ? .unknown : .retriable)
    }
  }
}
