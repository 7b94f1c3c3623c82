import Synchronization
import WeirAWS
import WeirCore
import WeirTesting

/// A model of S3 in memory: conditional writes, uploads in parts, listings in pages, and a plan of faults.
///
/// Source: Amazon S3 API Reference, version 2006-03-01. Of two requests the one that is received first is served first, as in a service that
/// is strongly consistent.
final class S3Model: AWSSender {
  /// What happens to one request.
  enum Fault: Sendable, Hashable, CaseIterable {
    /// It does not arrive, and no reply comes.
    case lostRequest
    /// It is served, and no reply comes.
    case lostReply
    /// No reply comes, and it arrives after the next request, or after the next three.
    case late, veryLate
    /// 503, without an effect.
    case slowDown
    /// 500, without an effect, and with one.
    case internalError, internalErrorAfterwards
    /// 409, without an effect.
    case conflict
    /// The answer's body ends in its middle.
    case truncatedBody
    /// 429, without an effect.
    case throttled
    /// An answer of 200 whose body is an error; only the end of an upload has it.
    case errorInBody

    var isLate: Int? { self == .late ? 1 : self == .veryLate ? 3 : nil }
  }

  /// What a store does wrong.
  struct Flaws: OptionSet, Sendable {
    let rawValue: Int
    init(rawValue: Int) { self.rawValue = rawValue }

    /// `If-None-Match` has no effect on objects that are put as a whole, and none on uploads.
    static let ignoresConditions = Flaws(rawValue: 1)
    static let ignoresConditionsOfUploads = Flaws(rawValue: 2)
    /// The condition is checked long before the object is made: both of two requests that come together win.
    static let checksConditionsEarly = Flaws(rawValue: 4)
    /// A new object is in no listing.
    static let listsNothing = Flaws(rawValue: 8)
    /// What was put first is read for ever.
    static let readsOldObjects = Flaws(rawValue: 16)
    /// `Range` has no effect.
    static let ignoresRanges = Flaws(rawValue: 32)
    /// Keys are not encoded in listings.
    static let listsPlainKeys = Flaws(rawValue: 64)
    /// No headers of the user are kept.
    static let dropsMetadata = Flaws(rawValue: 128)
  }

  /// A request that was sent.
  struct Sent: Sendable, Hashable, CustomStringConvertible {
    var operation: String
    var path: String
    var description: String { "\(operation) \(path)" }
  }

  fileprivate struct State: Sendable {
    var service: S3Service
    var faults: [Int: Fault]
    var sent: [Sent] = []
    var late: [(due: Int, request: AWSRequest)] = []
  }

  let endpoint: String
  private let state: Mutex<State>
  private let flaws: Flaws

  /// - Parameters:
  ///   - bucket: the one bucket that there is.
  ///   - faults: by the request's number, from 0.
  ///   - pageMax: keys in a page of a listing.
  ///   - partBytesMin: of the parts of an upload but the last.
  init(
    bucket: String = "bucket", endpoint: String = "http://127.0.0.1:9000", faults: [Int: Fault] = [:], flaws: Flaws = [], pageMax: Int = 3,
    partBytesMin: Int = 1, clock: any Clock = ManualClock(.ends)
  ) {
    self.endpoint = endpoint
    self.flaws = flaws
    let service = S3Service(bucket: bucket, flaws: flaws, pageMax: pageMax, partBytesMin: partBytesMin, clock: clock)
    state = Mutex(State(service: service, faults: faults))
  }

  var sent: [Sent] { state.withLock { $0.sent } }
  /// Operations, in the order in which they were sent.
  var operations: [String] { sent.map(\.operation) }
  func forget() { state.withLock { $0.sent = [] } }
  func plan(_ faults: [Int: Fault]) { state.withLock { $0.faults = faults } }

  /// Bytes by key.
  var objects: [String: [UInt8]] { state.withLock { $0.service.all } }
  /// Uploads that were begun and not ended.
  var uploadsCount: Int { state.withLock { $0.service.uploadsCount } }
  /// Of an object, as it was sent.
  func headers(of key: String) -> [SignedRequest.Pair] { state.withLock { $0.service.headers(of: key) } }

  /// Requests that are still under way arrive.
  func settle() {
    state.withLock { state in
      for late in state.late { _ = state.service.serve(late.request) }
      state.late = []
    }
  }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    await Task.yield()
    let isEarly =
      flaws.contains(.checksConditionsEarly) && request.headers.contains { $0.name == "If-None-Match" }
      && state.withLock { !$0.service.has(request) }
    if isEarly {
      for _ in 0..<50 { await Task.yield() }
    }
    let result = state.withLock { $0.receive(isEarly ? request.unconditional : request) }
    await Task.yield()
    return try result.get()
  }
}

extension S3Model.State {
  fileprivate mutating func receive(_ request: AWSRequest) -> Result<AWSResponse, AWSFailure> {
    let number = sent.count
    sent.append(S3Model.Sent(operation: request.operation, path: request.path))
    for late in late where late.due <= number { _ = service.serve(late.request) }
    late.removeAll { $0.due <= number }
    guard let fault = faults[number] else { return service.serve(request) }
    if let requests = fault.isLate {
      late.append((number + 1 + requests, request))
      return .failure(.timeout(request))
    }
    switch fault {
    case .lostRequest: return .failure(.timeout(request))
    case .slowDown: return .failure(.answered(request, .retriable, "SlowDown", 503))
    case .throttled: return .failure(.answered(request, .retriable, "TooManyRequests", 429))
    case .internalError: return .failure(.answered(request, .unknown, "InternalError", 500))
    case .conflict:
      return request.retries == .whileNotReceived
        ? .success(S3Service.error(409, "ConditionalRequestConflict"))
        : .failure(.answered(request, .retriable, "OperationAborted", 409))
    case .errorInBody where request.operation == "CompleteMultipartUpload": return .success(S3Service.error(200, "InternalError"))
    case .errorInBody: return service.serve(request)
    case .lostReply, .internalErrorAfterwards, .truncatedBody, .late, .veryLate: break
    }
    let result = service.serve(request)
    if fault == .lostReply { return .failure(.timeout(request)) }
    if fault == .internalErrorAfterwards { return .failure(.answered(request, .unknown, "InternalError", 500)) }
    return result.map { response in
      var cut = response
      cut.headers.append(SignedRequest.Pair("Content-Length", String(response.body.count)))
      cut.body = Array(response.body.prefix(response.body.count / 2))
      return cut
    }
  }
}

extension AWSRequest {
  fileprivate var unconditional: AWSRequest {
    var request = self
    request.headers.removeAll { $0.name == "If-None-Match" }
    return request
  }
}

extension AWSFailure {
  fileprivate static func timeout(_ request: AWSRequest) -> AWSFailure {
    AWSFailure(
      request.retries == .always ? .retriable : .unknown, code: "Timeout", message: "\(request.operation) at the model: no answer")
  }

  fileprivate static func answered(_ request: AWSRequest, _ kind: Kind, _ code: String, _ status: Int) -> AWSFailure {
    AWSFailure(kind, code: code, message: "\(request.operation) at the model: \(code)", status: status)
  }
}
