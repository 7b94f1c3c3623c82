import CCurl
import Glibc
import Synchronization
import WeirCore

/// One request in libcurl. Only the client's thread touches it, but for ``cancel()``.
final class CurlTransfer: @unchecked Sendable {
  // Unchecked: `isCancelled` is atomic; all other variables belong to the client's thread once the transfer is submitted.
  let request: AWSTransportRequest
  private let done: (Result<AWSOpened, AWSTransportFailure>) -> Void
  /// Takes the body, piece by piece; nil: it is kept until it is whole.
  private let stream: AWSStream?
  /// The caller has the stream.
  private var hasOpened = false
  private var isPaused = false
  private let cancelled: CancelFlag
  /// Milliseconds of a monotonic clock by which it has ended.
  private let deadline: Int64
  private(set) var handle: UnsafeMutableRawPointer?
  private var headerList: UnsafeMutablePointer<curl_slist>?
  private var reason: UnsafeMutablePointer<CChar>?
  /// Of the body, to libcurl.
  private var sent = 0
  /// Whole, over a connection that broke.
  private var wasSentBefore = false
  private var answer = CurlAnswer()

  init(
    _ request: AWSTransportRequest, _ cancelled: CancelFlag, stream: AWSStream? = nil,
    _ done: @escaping (Result<AWSOpened, AWSTransportFailure>) -> Void
  ) {
    self.request = request
    self.cancelled = cancelled
    self.done = done
    self.stream = stream
    deadline = CurlTransfer.now.saturatingSum(Int64(request.totalMilliseconds))
  }

  /// Time that is left, also for one that waits.
  var millisecondsLeft: Int64 { deadline - CurlTransfer.now }

  private static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }

  var isCancelled: Bool { cancelled.isSet }

  /// Transfers of one lane are bounded together; those that last as long as the service sends have lanes of their own.
  var lane: CurlLane { CurlLane(origin: request.origin, isStream: stream != nil) }

  // MARK: Start

  /// Makes the handle. nil: it cannot be made, and the transfer has ended.
  func start(_ settings: CurlClient.Settings) -> UnsafeMutableRawPointer? {
    guard let list = headers() else {
      end(with: .failure(AWSTransportFailure(.configuration, mayBeReceived: false, "a header contains a control character")))
      return nil
    }
    headerList = list
    guard let handle = curl_easy_init() else {
      end(with: .failure(AWSTransportFailure(.configuration, mayBeReceived: false, "libcurl has no memory for a request")))
      return nil
    }
    self.handle = handle
    answer.bytesMax = request.answerBytesMax
    set(handle, settings)
    setMethod(handle)
    // The thread holds the transfer while libcurl has its handle.
    let context = Unmanaged.passUnretained(self).toOpaque()
    _ = weir_curl_set_pointer(handle, CURLOPT_PRIVATE, context)
    _ = weir_curl_set_writer(handle, { CurlTransfer.of($3).take(body: $0, $1 * $2) }, context)
    _ = weir_curl_set_header_reader(handle, { CurlTransfer.of($3).take(header: $0, $1 * $2) }, context)
    return handle
  }

  static func of(_ context: UnsafeMutableRawPointer?) -> CurlTransfer {
    Unmanaged<CurlTransfer>.fromOpaque(context!).takeUnretainedValue()
  }

  private func set(_ handle: UnsafeMutableRawPointer, _ settings: CurlClient.Settings) {
    reason = .allocate(capacity: Int(CURL_ERROR_SIZE))
    reason!.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    _ = weir_curl_set_pointer(handle, CURLOPT_ERRORBUFFER, reason)
    _ = weir_curl_set_text(handle, CURLOPT_URL, request.origin + request.target)
    _ = weir_curl_set_text(handle, CURLOPT_PROTOCOLS_STR, "http,https")
    _ = weir_curl_set_headers(handle, headerList)
    if let file = settings.authorities { _ = weir_curl_set_text(handle, CURLOPT_CAINFO, file) }
    if !request.usesProxy { _ = weir_curl_set_text(handle, CURLOPT_NOPROXY, "*") }
    let numbers: [(CURLoption, Int)] = [
      // Signals would reach any thread of the process.
      (CURLOPT_NOSIGNAL, 1),
      // The signature covers the path as it is.
      (CURLOPT_PATH_AS_IS, 1),
      (CURLOPT_CONNECTTIMEOUT_MS, request.connectMilliseconds), (CURLOPT_TIMEOUT_MS, Int(max(1, millisecondsLeft))),
      (CURLOPT_LOW_SPEED_LIMIT, 1), (CURLOPT_LOW_SPEED_TIME, request.idleSeconds),
      (CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS)), (CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)),
      (CURLOPT_TCP_KEEPALIVE, 1), (CURLOPT_MAXAGE_CONN, settings.idleConnectionSeconds), (CURLOPT_SUPPRESS_CONNECT_HEADERS, 1),
      // Without a body libcurl would send a request once more by itself when a kept connection breaks.
      (CURLOPT_FRESH_CONNECT, !request.isRepeatable && request.body.isEmpty ? 1 : 0),
    ]
    for (option, value) in numbers { _ = weir_curl_set_long(handle, option, value) }
  }

  private func setMethod(_ handle: UnsafeMutableRawPointer) {
    let sendsBody = !request.body.isEmpty || request.method == "PUT" || request.method == "POST"
    if request.method == "HEAD" {
      _ = weir_curl_set_long(handle, CURLOPT_NOBODY, 1)
    } else if sendsBody {
      _ = weir_curl_set_long(handle, CURLOPT_UPLOAD, 1)
      _ = weir_curl_set_large(handle, CURLOPT_INFILESIZE_LARGE, curl_off_t(request.body.count))
      let context = Unmanaged.passUnretained(self).toOpaque()
      _ = weir_curl_set_body(
        handle, { CurlTransfer.of($3).read($0, $1 * $2) }, { context, offset, origin in CurlTransfer.of(context).seek(offset, origin) },
        context)
    }
    _ = weir_curl_set_text(handle, CURLOPT_CUSTOMREQUEST, request.method)
  }

  /// nil: a name or a value would break the request into two.
  private func headers() -> UnsafeMutablePointer<curl_slist>? {
    var list: UnsafeMutablePointer<curl_slist>?
    // libcurl would add these.
    var lines = ["Expect:", "Accept:"]
    var allowed = true
    for header in request.headers {
      let text = header.name + header.value
      if header.name.isEmpty || text.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) { allowed = false }
      let isContentLength = header.name.lowercased() == "content-length"
      // A header without a value ends with a semicolon; libcurl itself counts the body.
      if !isContentLength { lines.append(header.value.isEmpty ? "\(header.name);" : "\(header.name): \(header.value)") }
    }
    guard allowed else { return nil }
    for line in lines { list = curl_slist_append(list, line) }
    return list
  }

  // MARK: Body

  private func read(_ buffer: UnsafeMutablePointer<CChar>?, _ room: Int) -> Int {
    let count = min(room, request.body.count - sent)
    guard count > 0, let buffer else { return 0 }
    request.body.withUnsafeBytes { UnsafeMutableRawPointer(buffer).copyMemory(from: $0.baseAddress! + sent, byteCount: count) }
    sent += count
    return count
  }

  /// libcurl goes back to the start when it wants to send the request once more over another connection. The service may have acted on the
  /// first, so that is refused where it matters.
  private func seek(_ offset: curl_off_t, _ origin: Int32) -> Int32 {
    if sent >= request.body.count { wasSentBefore = true }
    guard request.isRepeatable || sent == 0, origin == SEEK_SET, offset == 0 else { return Int32(CURL_SEEKFUNC_FAIL) }
    sent = 0
    return Int32(CURL_SEEKFUNC_OK)
  }

  // MARK: Answer

  private func take(header bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    let taken = answer.take(header: bytes, count)
    if let stream, let handle, !hasOpened, answer.hasAllHeaders, weir_curl_status(handle) == 200 {
      hasOpened = true
      done(.success(.stream(stream)))
    }
    return taken
  }

  /// - Returns: the bytes that were taken, or that libcurl must give them again later.
  private func take(body bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    guard let stream, hasOpened else { return answer.take(body: bytes, count) }
    switch stream.give(UnsafeRawBufferPointer(start: bytes, count: count)) {
    case .kept: return count
    case .closed: return 0
    case .full:
      isPaused = true
      return Int(CURL_WRITEFUNC_PAUSE)
    }
  }

  /// Reads on where the stream has room again.
  func readOn() {
    guard let handle, isPaused, stream?.wouldTake == true else { return }
    // First: libcurl gives the bytes that were refused within the call.
    isPaused = false
    _ = curl_easy_pause(handle, CURLPAUSE_CONT)
  }

  // MARK: End

  /// Ends with libcurl's verdict.
  func end(_ code: CURLcode) {
    guard let handle else { return }
    let status = weir_curl_status(handle)
    let mayBeReceived = wasSentWhole(handle)
    if code == CURLE_OK {
      // For libcurl an answer that ends within its headers is whole, with no body.
      guard answer.hasAllHeaders else {
        let cut = "the connection was closed within the headers of the answer"
        return end(with: .failure(AWSTransportFailure(.broken, mayBeReceived: mayBeReceived, cut)))
      }
      let body = answer.body
      return end(with: .success(.answer(AWSResponse(status: status, headers: answer.headers, body: body))))
    }
    var text = reason.map { String(cString: $0) } ?? ""
    if text.isEmpty { text = String(cString: curl_easy_strerror(code)) }
    // libcurl's own words are of bytes per second.
    if code == CURLE_OPERATION_TIMEDOUT, text.hasPrefix("Operation too slow") {
      text = "fewer than \(request.idleSeconds) bytes came in \(request.idleSeconds) s"
    }
    if code == CURLE_UNSUPPORTED_PROTOCOL, text.contains("HTTP/0.9") { text = "the answer is not HTTP: another service listens there" }
    if answer.isTooLong {
      let limit = "the answer has more than \(request.answerBytesMax) bytes"
      return end(with: .failure(AWSTransportFailure(.tooLarge, mayBeReceived: mayBeReceived, limit)))
    }
    end(with: .failure(AWSTransportFailure(CurlTransfer.kind(code), mayBeReceived: mayBeReceived, Printable.text(text, bytesMax: 300))))
  }

  /// Ends without one.
  func abort(_ kind: AWSTransportFailure.Kind, _ reason: String) {
    let mayBeReceived = handle.map(wasSentWhole) ?? false
    end(with: .failure(AWSTransportFailure(kind, mayBeReceived: mayBeReceived, reason)))
  }

  /// A service acts on whole requests only: each has a length and a hash. What libcurl has taken counts as sent, to be safe.
  private func wasSentWhole(_ handle: UnsafeMutableRawPointer) -> Bool {
    wasSentBefore || weir_curl_request_bytes(handle) > 0 && sent >= request.body.count
  }

  private func end(with result: Result<AWSOpened, AWSTransportFailure>) {
    if let handle { curl_easy_cleanup(handle) }
    handle = nil
    curl_slist_free_all(headerList)
    headerList = nil
    reason?.deallocate()
    reason = nil
    guard let stream, hasOpened else { return done(result) }
    if case .failure(let failure) = result { stream.finish(failure.reason) } else { stream.finish(nil) }
  }

  private static func kind(_ code: CURLcode) -> AWSTransportFailure.Kind {
    switch code {
    case CURLE_OPERATION_TIMEDOUT: .timeout
    case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_SSL_CONNECT_ERROR, CURLE_PROXY:
      .noConnection
    case CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
      CURLE_PEER_FAILED_VERIFICATION, CURLE_FAILED_INIT, CURLE_NOT_BUILT_IN, CURLE_OUT_OF_MEMORY, CURLE_SSL_CIPHER:
      .configuration
    default: .broken
    }
  }
}

/// Transfers that are bounded together.
struct CurlLane: Hashable {
  var origin: String
  var isStream: Bool
}

/// Set once, by the task that waits.
final class CancelFlag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}

/// What came, and no more than allowed.
struct CurlAnswer {
  private static let headerBytesMax = 256 << 10
  private static let reservedBytesMax = 128 << 20

  var bytesMax = AWSTransportRequest.answerBytesMax
  private(set) var headers: [SignedRequest.Pair] = []
  private(set) var body: [UInt8] = []
  private(set) var isTooLong = false
  /// The empty line after them was read.
  private(set) var hasAllHeaders = false
  private var headerBytes = 0

  /// - Returns: the bytes that were taken; fewer end the transfer.
  mutating func take(body bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    guard count <= bytesMax - body.count, let bytes else {
      isTooLong = true
      return 0
    }
    if body.isEmpty { reserve() }
    body += UnsafeRawBufferPointer(start: bytes, count: count)
    return count
  }

  /// Room for the whole body, so that it is not moved while it grows. A length is only a claim.
  private mutating func reserve() {
    guard let length = headers.first(where: { $0.name.lowercased() == "content-length" }).flatMap({ Int($0.value) }), length > 0 else {
      return
    }
    body.reserveCapacity(min(length, bytesMax, CurlAnswer.reservedBytesMax))
  }

  mutating func take(header bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    headerBytes += count
    guard headerBytes <= CurlAnswer.headerBytesMax, let bytes else {
      isTooLong = true
      return 0
    }
    let line = UnsafeRawBufferPointer(start: bytes, count: count)
    // A status line: what came before was an interim answer (100).
    if line.starts(with: "HTTP/".utf8) {
      (headers, hasAllHeaders) = ([], false)
    } else if line.allSatisfy({ $0 == 0x0D || $0 == 0x0A }) {
      hasAllHeaders = true
    } else if let colon = line.firstIndex(of: UInt8(ascii: ":")) {
      headers.append(.init(CurlAnswer.text(line[..<colon]), CurlAnswer.text(line[(colon + 1)...])))
    }
    return count
  }

  /// Without white space at both ends.
  private static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
    let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
    let end = bytes.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? start
    return String(decoding: bytes[start..<end], as: UTF8.self)
  }
}
