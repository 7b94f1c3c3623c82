import Synchronization
import WeirCore

/// Sends requests to one service: signs, counts and repeats them.
///
/// The decisions are in ``RequestAttempts``, ``AWSVerdict``, ``RetryQuota`` and ``AdaptiveRate``, which see no clock and no network.
package final class AWSClient: AWSSender {
  /// What a client needs of the world.
  package struct Parts: Sendable {
    package var transport: any AWSTransport
    package var clock: any Clock
    package var random: any RandomSource
    package var counter: AWSRequestCounter

    package init(transport: any AWSTransport, clock: any Clock, random: any RandomSource, counter: AWSRequestCounter) {
      self.transport = transport
      self.clock = clock
      self.random = random
      self.counter = counter
    }
  }

  /// What the requests of a client share.
  private struct Shared {
    var quota = RetryQuota()
    var rate = AdaptiveRate()
    /// Of the service's clock before the machine's.
    var clockSeconds: Int64 = 0
  }

  package let service: AWSService
  /// For the signature.
  package let region: String
  package var endpoint: String { target.text }
  /// Where requests go.
  package let target: AWSEndpoint
  private let credentials: (any AWSCredentialsProvider)?
  private let parts: Parts
  private let configured: AWSRetrySettings
  private let signer: SigV4
  private let shared = Mutex(Shared())

  /// - Parameter credentials: nil: requests are not signed.
  package init(
    _ service: AWSService, _ target: AWSEndpoint, credentials: (any AWSCredentialsProvider)?, parts: Parts,
    settings: AWSRetrySettings = AWSRetrySettings()
  ) {
    self.service = service
    self.target = target
    self.credentials = credentials
    self.parts = parts
    configured = settings
    region = target.region
    signer = SigV4(region: target.region, service: service.signingName)
  }

  /// For the task that sends.
  private var settings: AWSRetrySettings { AWSPatience.current?.limited(configured, endpoint) ?? configured }

  // MARK: Sending

  package func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let attempt = try await succeed(request, nil)
    // Answered attempts have an answer.
    guard let answer = attempt.answer else { throw failure(.fatal, request, attempt) }
    return answer
  }

  package func open(_ request: AWSRequest, _ limits: AWSStreamLimits) async throws(AWSFailure) -> AWSStream {
    let attempt = try await succeed(request, limits)
    guard let stream = attempt.stream else { throw failure(.fatal, request, attempt) }
    return stream
  }

  /// The attempt that is answered, after others that failed.
  /// - Parameter limits: of an answer that is read piece by piece; nil: it is read as a whole.
  private func succeed(_ request: AWSRequest, _ limits: AWSStreamLimits?) async throws(AWSFailure) -> Attempt {
    if let silence = AWSPatience.current?.silence(of: endpoint, at: parts.clock.monotonicNanoseconds) {
      throw own(.retriable, silence.code, request, silence.reason)
    }
    let settings = settings
    let end = parts.clock.monotonicNanoseconds.saturatingSum(Int64(settings.totalMilliseconds) * 1_000_000)
    var attempts = RequestAttempts(settings, request.retries, service: service.signingName)
    var last: AWSFailure?
    while true {
      try await start(request, by: end, last)
      let keys = try await credentials?.credentials()
      let now = parts.clock.wallMicroseconds / 1_000_000
      let attempt = await attempt(request, keys, limits, at: now, by: end)
      let around = RequestAttempts.Surroundings(
        secondsLeft: secondsLeft(end), random: Double(parts.random.next() >> 11) / Double(1 << 53),
        named: BackOff.named(attempt.answer), now: now)
      switch shared.withLock({ attempts.step(after: attempt.verdict, &$0.quota, around) }) {
      case .answer: return attempt
      case .fail(let kind):
        if let transport = attempt.transport, [.timeout, .noConnection, .broken].contains(transport.kind) {
          AWSPatience.current?.failed(
            endpoint, code: transport.kind.rawValue, reason: transport.reason, at: parts.clock.monotonicNanoseconds)
        }
        throw failure(kind, request, attempt)
      case .refreshKeys: if let keys { await credentials?.refused(keys) }
      case .moveClock(let seconds): shared.withLock { $0.clockSeconds = seconds }
      case .pause(let seconds):
        last = failure(.retriable, request, attempt)
        await parts.clock.sleep(nanoseconds: Int64(seconds * 1e9))
      }
    }
  }

  /// Waits until the service's rate allows another attempt.
  /// - Throws: the failure of the attempt before, or one that says why none begins.
  private func start(_ request: AWSRequest, by end: Int64, _ last: AWSFailure?) async throws(AWSFailure) {
    if let token = shared.withLock({ $0.rate.take() }) {
      // In parts: the rate changes meanwhile.
      while !Task.isCancelled, case let wait = shared.withLock({ $0.rate.wait(for: token, at: seconds) }), wait > 0 {
        guard wait < secondsLeft(end) else {
          shared.withLock { $0.rate.giveBack() }
          let reason = "the service throttles, and this request cannot start within its time"
          throw last ?? own(.retriable, "Throttling", request, reason)
        }
        await parts.clock.sleep(nanoseconds: Int64(min(wait, AWSClient.waitSeconds) * 1e9) + 1)
      }
    }
    if Task.isCancelled { throw own(.retriable, "Cancelled", request, "the request was cancelled before it was sent") }
    if secondsLeft(end) <= 0 { throw last ?? own(.retriable, "Timeout", request, "no time is left for another attempt") }
  }

  private static let waitSeconds = 0.25

  /// Of the monotonic clock.
  private var seconds: Double { Double(parts.clock.monotonicNanoseconds) / 1e9 }

  private func secondsLeft(_ end: Int64) -> Double { Double(end - parts.clock.monotonicNanoseconds) / 1e9 }

  // MARK: One attempt

  private struct Attempt {
    var verdict: AWSVerdict
    var answer: AWSResponse?
    var stream: AWSStream?
    var error: AWSServiceError?
    var transport: AWSTransportFailure?
  }

  private func attempt(
    _ request: AWSRequest, _ keys: AWSCredentials?, _ limits: AWSStreamLimits?, at now: Int64, by end: Int64
  ) async -> Attempt {
    let signedAt = now + shared.withLock { $0.clockSeconds }
    var sent = transportRequest(request, keys, at: signedAt)
    sent.totalMilliseconds = max(1, min(settings.attemptMilliseconds, Int(secondsLeft(end) * 1000)))
    let attempt: Attempt
    do throws(AWSTransportFailure) {
      let opened: AWSOpened
      if let limits {
        opened = try await parts.transport.open(sent, limits)
      } else {
        opened = .answer(try await parts.transport.send(sent))
      }
      switch opened {
      case .stream(let stream): attempt = Attempt(verdict: .answered, answer: AWSResponse(status: 200), stream: stream)
      case .answer(let answer):
        let isError = limits != nil || AWSVerdict.isError(answer, method: request.method)
        let error = isError ? AWSServiceError(answer) : nil
        attempt = Attempt(verdict: AWSVerdict(answer, error, at: signedAt), answer: answer, error: error)
      }
    } catch {
      attempt = Attempt(verdict: AWSVerdict(error), transport: error)
    }
    record(request, attempt, sent: sent.body.count)
    if attempt.answer != nil { AWSPatience.current?.answered(endpoint) }
    return attempt
  }

  private func record(_ request: AWSRequest, _ attempt: Attempt, sent: Int) {
    let key = AWSRequestCounts.Key(
      service: service.signingName, operation: request.operation, outcome: AWSClient.outcome(attempt.verdict, attempt.answer))
    parts.counter.add(key, sent: sent, received: attempt.answer?.body.count ?? 0)
    let isThrottled = if case .passing(.throttled, _) = attempt.verdict { true } else { false }
    let now = seconds
    shared.withLock { $0.rate.record(isThrottled: isThrottled, at: now) }
  }

  private static func outcome(_ verdict: AWSVerdict, _ answer: AWSResponse?) -> AWSRequestCounts.Outcome {
    guard let answer else { return .unanswered }
    switch verdict {
    case .passing(.throttled, _): return .throttled
    case .passing: return .failed
    case .final(.fenced): return .conflict
    case .answered:
      return answer.status == 404 ? .notFound : answer.status == 409 || answer.status == 412 ? .conflict : .succeeded
    default: return answer.status >= 500 ? .failed : .refused
    }
  }

  /// With host and signature.
  func transportRequest(_ request: AWSRequest, _ keys: AWSCredentials?, at seconds: Int64) -> AWSTransportRequest {
    let authority = request.hostPrefix + target.authority
    var headers = [SignedRequest.Pair("Host", authority)] + request.headers
    if !request.body.isEmpty, !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
      headers.append(.init("Content-Type", "application/octet-stream"))
    }
    var signed = SignedRequest(
      method: request.method, path: URIText.encode(target.path + request.path, keepsSlashes: true), query: request.query, headers: headers,
      body: request.body)
    if let keys { signed = signer.sign(signed, keys, at: seconds) }
    signed.headers.append(.init("User-Agent", "weir"))
    var sent = AWSTransportRequest(
      method: signed.method, origin: "\(target.scheme)://\(authority)", target: signed.target, headers: signed.headers, body: signed.body)
    sent.isRepeatable = request.retries == .always
    sent.answerBytesMax = request.answerBytesMax
    sent.connectMilliseconds = settings.connectMilliseconds
    sent.idleSeconds = settings.idleSeconds
    return sent
  }

  // MARK: Failures

  private func failure(_ kind: AWSFailure.Kind, _ request: AWSRequest, _ attempt: Attempt) -> AWSFailure {
    if let transport = attempt.transport { return own(kind, transport.kind.rawValue, request, transport.reason) }
    guard let answer = attempt.answer, let error = attempt.error else { return own(.fatal, "NoAnswer", request, "no answer") }
    let code = error.code.isEmpty ? "HTTP\(answer.status)" : error.code
    var text = "HTTP \(answer.status)"
    if !error.code.isEmpty { text += " \(error.code)" }
    if !error.message.isEmpty { text += ": \(error.message)" }
    if (300..<400).contains(answer.status) { text += AWSClient.redirection(answer) }
    if let id = error.requestID { text += " (request \(id))" }
    return AWSFailure(
      kind, code: code, message: "\(request.operation) at \(endpoint): \(text)", status: answer.status, requestID: error.requestID,
      body: answer.body)
  }

  private static func redirection(_ answer: AWSResponse) -> String {
    guard let region = answer.header("x-amz-bucket-region") else { return ", which points elsewhere: check the region and the endpoint" }
    return ": the bucket is in the region \(Printable.text(region, bytesMax: 40)); set it with AWS_REGION"
  }

  private func own(_ kind: AWSFailure.Kind, _ code: String, _ request: AWSRequest, _ reason: String) -> AWSFailure {
    AWSFailure(kind, code: code, message: "\(request.operation) at \(endpoint): \(reason)")
  }
}
