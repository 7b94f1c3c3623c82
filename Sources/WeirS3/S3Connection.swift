import WeirAWS
import WeirCore
import WeirS3Settings

/// A bucket, and what requests to it need.
struct S3Connection: Sendable {
  let location: S3Location
  let settings: S3Settings
  let requests: S3Requests
  let errors: S3Errors
  let sender: any AWSSender
  let clock: any Clock
  let random: any RandomSource

  private static let restNanosecondsMax: Int64 = 5_000_000_000

  init(_ settings: S3Settings, _ sender: any AWSSender, _ clock: any Clock, _ random: any RandomSource) {
    location = settings.location
    self.settings = settings
    requests = S3Requests(settings, endpoint: sender.endpoint)
    errors = S3Errors(location: settings.location, endpoint: sender.endpoint)
    (self.sender, self.clock, self.random) = (sender, clock, random)
  }

  func key(_ path: String) throws(WeirError) -> String {
    let key = location.key(path)
    guard !path.isEmpty, key.utf8.count <= S3Location.keyBytesMax, !path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw WeirError(
        .storageRefused,
        "\"\(Printable.text(path, bytesMax: 600))\" cannot be a key of \(location): it is empty, has control characters or is too long",
        advice: "If a file of the ledger or of a Delta log names it, that file was changed: restore it from a copy.")
    }
    return key
  }

  /// A name for one call: 32 hex digits.
  func makeWriter() -> String { Hash128(low: random.next(), high: random.next()).hex }

  /// Sends a request; its answer has one of the statuses.
  func send(_ request: AWSRequest, expecting statuses: Set<Int>) async throws(AWSFailure) -> AWSResponse {
    let response = try await sender.send(request)
    guard statuses.contains(response.status) else { throw errors.failure(request, response) }
    if response.status == 404 {
      // The object is missing, or something above it.
      let code = S3ErrorBody(response.body)?.code
      if let code, !["NoSuchKey", "NoSuchUpload", "NotFound", "NoSuchVersion"].contains(code) { throw errors.failure(request, response) }
    }
    return response
  }

  /// Sends a request whose failure is an error.
  /// - Parameter what: a verb, for the error.
  func send(_ what: String, _ key: String?, _ request: AWSRequest, expecting statuses: Set<Int>) async throws(WeirError) -> AWSResponse {
    do {
      return try await send(request, expecting: statuses)
    } catch {
      throw errors.error(what, key, error)
    }
  }

  /// Sleeps up to 0.1 s, 0.2 s, 0.4 s, ... 5 s.
  func rest(tries: Int) async {
    let most = min(S3Connection.restNanosecondsMax, 100_000_000 << Int64(min(max(0, tries - 1), 10)))
    await clock.sleep(nanoseconds: Int64(random.next() % UInt64(most)))
  }
}

// MARK: Listings

extension S3Connection {
  /// Pages of one listing: a hundred million keys.
  private static let pagesMax = 100_000

  /// - Parameter prefix: of the keys, in the bucket.
  func page(_ prefix: String, after: String?, token: String?, keysMax: Int? = nil) async throws(WeirError) -> S3ListPage {
    let request = requests.list(prefix, after: after, token: token, keysMax: keysMax)
    let response = try await send("list", prefix, request, expecting: [200])
    guard let page = S3ListPage(response.body) else { throw errors.error("list", prefix, errors.unreadable(request)) }
    return page
  }

  /// All pages of a listing, in order, until `take` returns false.
  func eachPage(_ prefix: String, after: String?, _ take: (S3ListPage) -> Bool) async throws(WeirError) {
    var token: String?
    for _ in 0..<S3Connection.pagesMax {
      let page = try await page(prefix, after: after, token: token)
      guard take(page), let next = page.next else { return }
      // A store that sends the same page again would never end.
      if next == token { break }
      token = next
    }
    throw endless(prefix)
  }

  func endless(_ prefix: String) -> WeirError {
    WeirError(
      .storage,
      "the listing of \(S3Location.scheme)\(location.bucket)/\(prefix) has more than \(S3Connection.pagesMax) pages, or repeats one",
      advice: "Is \(sender.endpoint) a store with the interface of S3?")
  }
}

// MARK: Conditional requests

extension S3Connection {
  /// Sends a request that makes an object until its outcome is known, or cannot be found out.
  /// - Parameter writer: what the object will carry as its maker's name.
  func make(_ key: String, writer: String, _ request: AWSRequest) async -> PutOutcome {
    var machine = PutMachine()
    var action = machine.begin
    // The machine ends: each of its loops is bounded.
    while true {
      switch action {
      case .send: action = machine.event(await answer(key, request))
      case .readBack: action = machine.event(.found(await found(key, writer)))
      case .rest(let tries):
        await rest(tries: tries)
        action = machine.event(.rested)
      case .finish(let outcome): return outcome
      }
    }
  }

  private func answer(_ key: String, _ request: AWSRequest) async -> PutMachine.Event {
    do throws(AWSFailure) {
      let response = try await sender.send(request)
      switch response.status {
      case 200..<300: return try completed(request, response)
      case 412: return .exists
      case 404 where S3ErrorBody(response.body)?.code == "NoSuchUpload":
        return .uploadGone(text(key, errors.failure(request, response)))
      case 409: return .conflict(text(key, errors.failure(request, response)))
      default: throw errors.failure(request, response)
      }
    } catch {
      return event(key, error)
    }
  }

  private func event(_ key: String, _ failure: AWSFailure) -> PutMachine.Event {
    if failure.status == 412 || failure.code == "PreconditionFailed" { return .exists }
    if failure.code == "ConditionalRequestConflict" { return .conflict(text(key, failure)) }
    return failure.kind == .unknown ? .unknown(text(key, failure)) : .failed(text(key, failure))
  }

  /// The end of an upload answers 200 before it has worked, and may then send an error.
  private func completed(_ request: AWSRequest, _ response: AWSResponse) throws(AWSFailure) -> PutMachine.Event {
    guard request.operation == "CompleteMultipartUpload" else { return .created }
    guard let root = XMLElement(parsing: response.body) else { throw errors.unreadable(request) }
    guard root.name == "Error" else { return .created }
    throw errors.failure(request, response)
  }

  private func text(_ key: String, _ failure: AWSFailure) -> String { "\(errors.error("create", key, failure))" }

  /// Whose object is there.
  private func found(_ key: String, _ writer: String) async -> PutMachine.Found {
    do throws(AWSFailure) {
      // One byte: its headers are all that matters.
      guard let response = try await firstByte(key) else { return .nothing }
      return response.header(S3Requests.writerHeader) == writer ? .ours : .another
    } catch {
      return .unclear(text(key, error))
    }
  }

  private func firstByte(_ key: String) async throws(AWSFailure) -> AWSResponse? {
    do throws(AWSFailure) {
      let response = try await send(requests.get(key, range: 0...0), expecting: [200, 206, 404])
      return response.status == 404 ? nil : response
    } catch  where error.status == 416 {
      // An empty object has no first byte.
      let response = try await send(requests.get(key), expecting: [200, 404])
      return response.status == 404 ? nil : response
    }
  }
}
