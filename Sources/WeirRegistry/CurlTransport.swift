import CCurl
import WeirCore

/// HTTP over libcurl, on threads that may block.
package struct CurlTransport: HTTPTransport {
  /// Identity of the other side, and of ours if it asks for one.
  package struct TLS: Sendable {
    /// PEM file of the authorities to trust; nil: the system's.
    package var authorities: String?
    /// PEM file of the client's certificate.
    package var certificate: String?
    /// PEM text of its key, read when it is needed.
    package var key: (@Sendable () throws -> String)?
    package var keyPassword: (@Sendable () throws -> String)?
    package var checksHostName = true

    package init() {}
  }

  /// A longer document is refused.
  package static let bodyBytesMax = 16 << 20
  private static let connectSeconds = 5
  private static let seconds = 20

  private let threads: any BlockingRunner
  private let tls: TLS?

  package init(threads: any BlockingRunner, tls: TLS? = nil) {
    self.threads = threads
    self.tls = tls
  }

  // Once a process, before the first handle.
  private static let hasBegun: Bool = weir_curl_begin() == CURLE_OK

  package func get(_ request: HTTPRequest) async throws -> HTTPResponse {
    try await threads.run { try CurlTransport.getNow(request, tls) }
  }

  /// What came, and no more than allowed.
  private final class Body {
    var bytes: [UInt8] = []
    var isTooLong = false
  }

  private static func getNow(_ request: HTTPRequest, _ tls: TLS?) throws -> HTTPResponse {
    guard hasBegun, let curl = curl_easy_init() else { throw WeirError(.registry, "libcurl cannot be used") }
    defer { curl_easy_cleanup(curl) }
    let body = Body()
    var headers: UnsafeMutablePointer<curl_slist>?
    defer { curl_slist_free_all(headers) }
    for header in request.headers { headers = curl_slist_append(headers, "\(header.name): \(header.value)") }
    _ = weir_curl_set_text(curl, CURLOPT_URL, request.url)
    _ = weir_curl_set_text(curl, CURLOPT_PROTOCOLS_STR, "http,https")
    // Signals would reach whatever thread they like.
    for (option, value) in [(CURLOPT_NOSIGNAL, 1), (CURLOPT_CONNECTTIMEOUT, connectSeconds), (CURLOPT_TIMEOUT, seconds)] {
      _ = weir_curl_set_long(curl, option, value)
    }
    _ = weir_curl_set_headers(curl, headers)
    if let tls { try set(tls, curl) }
    _ = weir_curl_set_writer(
      curl,
      { bytes, size, count, context in
        let body = Unmanaged<Body>.fromOpaque(context!).takeUnretainedValue()
        guard body.bytes.count + size * count <= CurlTransport.bodyBytesMax, let bytes else {
          body.isTooLong = true
          return 0
        }
        body.bytes += UnsafeRawBufferPointer(start: bytes, count: size * count)
        return size * count
      }, Unmanaged.passUnretained(body).toOpaque())
    let code = withExtendedLifetime(body) { curl_easy_perform(curl) }
    guard !body.isTooLong else {
      throw WeirError(
        .registry, "\(request.url) answers with more than \(CurlTransport.bodyBytesMax >> 20) MiB, which cannot be a schema",
        advice: "Check \(.setting(.registryURL)).")
    }
    guard code == CURLE_OK else { throw failure(code, request.url) }
    return HTTPResponse(status: weir_curl_status(curl), body: body.bytes)
  }

  private static func set(_ tls: TLS, _ curl: UnsafeMutableRawPointer) throws {
    if let authorities = tls.authorities { _ = weir_curl_set_text(curl, CURLOPT_CAINFO, authorities) }
    if let certificate = tls.certificate { _ = weir_curl_set_text(curl, CURLOPT_SSLCERT, certificate) }
    if let key = try tls.key?() { _ = weir_curl_set_key(curl, key, key.utf8.count) }
    if let password = try tls.keyPassword?() { _ = weir_curl_set_text(curl, CURLOPT_KEYPASSWD, password) }
    if !tls.checksHostName { _ = weir_curl_set_long(curl, CURLOPT_SSL_VERIFYHOST, 0) }
  }

  private static func failure(_ code: CURLcode, _ url: String) -> WeirError {
    let reason = String(cString: curl_easy_strerror(code))
    // What an operator has to fix; all else may pass.
    let isLasting = [
      CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_PEER_FAILED_VERIFICATION,
      CURLE_WRITE_ERROR,
    ].contains(code)
    return WeirError(
      isLasting ? .registry : .unavailable, "no answer from \(url): \(reason)",
      advice: isLasting ? "Check \(.setting(.registry)): url and tls." : "Weir tries again. Is the registry reachable?")
  }
}
