import CWeirHash
import WeirCore

/// AWS Signature Version 4 (AWS, "Create a signed AWS API request"). Pure: the time is an argument.
///
///     canonical request   method, path, sorted query, sorted headers, hash of the body
///     string to sign      algorithm, time, scope, hash of the canonical request
///     signature           HMAC-SHA256 with a key that is derived from the secret, the day, the region and the service
package struct SigV4: Sendable {
  package var region: String
  /// The name in the scope: `s3`, `dynamodb`, `kafka-cluster`, ...
  package var service: String
  /// S3 takes the path as it is; the other services resolve `.`, `..` and empty segments, and encode the path once more.
  package var normalizesPath: Bool
  package var encodesPath: Bool
  /// Adds `X-Amz-Content-Sha256`, which S3 asks for.
  package var namesBodyHash: Bool
  /// The session token is added after signing, as some older services want it.
  package var omitsToken: Bool

  package init(region: String, service: String) {
    self.region = region
    self.service = service
    let isS3 = service == "s3"
    (normalizesPath, encodesPath, namesBodyHash, omitsToken) = (!isS3, !isS3, isS3, false)
  }

  /// The longest time that a signed query may be valid: seven days.
  package static let expirySecondsMax = 604_800

  static let algorithm = "AWS4-HMAC-SHA256"
  /// Proxies and clients change these.
  private static let unsigned: Set<String> = [
    "connection", "expect", "user-agent", "x-amzn-trace-id", "transfer-encoding", "authorization",
  ]

  /// Signs with the Authorization header.
  /// - Parameter seconds: since 1970, at most some minutes from the service's clock.
  /// - Returns: the request with the headers that were added.
  package func sign(_ request: SignedRequest, _ credentials: AWSCredentials, at seconds: Int64) -> SignedRequest {
    var signed = request
    let moment = Moment(seconds)
    if let token = credentials.sessionToken, !omitsToken { signed.headers.append(.init("X-Amz-Security-Token", token)) }
    signed.headers.append(.init("X-Amz-Date", moment.text))
    if namesBodyHash { signed.headers.append(.init("X-Amz-Content-Sha256", SigV4.hash(request.body))) }
    let canonical = canonical(signed)
    let authorization =
      "\(SigV4.algorithm) Credential=\(credentials.accessKeyID)/\(scope(moment)), SignedHeaders=\(canonical.signedHeaders), "
      + "Signature=\(signature(canonical.text, credentials, moment))"
    if let token = credentials.sessionToken, omitsToken { signed.headers.append(.init("X-Amz-Security-Token", token)) }
    signed.headers.append(.init("Authorization", authorization))
    return signed
  }

  /// Signs with parameters of the query, for a client that has only the address.
  /// - Parameter expiresAfter: seconds, 1 ... ``expirySecondsMax``.
  package func signQuery(
    _ request: SignedRequest, _ credentials: AWSCredentials, at seconds: Int64, expiresAfter: Int
  ) -> SignedRequest {
    assert((1...SigV4.expirySecondsMax).contains(expiresAfter))
    var signed = request
    let moment = Moment(seconds)
    signed.query += [
      .init("X-Amz-Algorithm", SigV4.algorithm), .init("X-Amz-Credential", "\(credentials.accessKeyID)/\(scope(moment))"),
      .init("X-Amz-Date", moment.text), .init("X-Amz-SignedHeaders", SigV4.canonicalHeaders(request.headers).names),
      .init("X-Amz-Expires", String(expiresAfter)),
    ]
    let token = credentials.sessionToken.map { SignedRequest.Pair("X-Amz-Security-Token", $0) }
    if let token, !omitsToken { signed.query.append(token) }
    let signature = signature(canonical(signed).text, credentials, moment)
    if let token, omitsToken { signed.query.append(token) }
    signed.query.append(.init("X-Amz-Signature", signature))
    return signed
  }

  // MARK: Canonical request

  func canonical(_ request: SignedRequest) -> (text: String, signedHeaders: String) {
    let path = normalizesPath ? URIText.normalized(request.path) : request.path
    let query = request.query.map { (URIText.encode($0.name), URIText.encode($0.value)) }.sorted { $0 < $1 }
    let headers = SigV4.canonicalHeaders(request.headers)
    let text = [
      request.method, encodesPath ? URIText.encode(path, keepsSlashes: true) : path,
      query.map { "\($0)=\($1)" }.joined(separator: "&"), headers.lines, headers.names, SigV4.hash(request.body),
    ].joined(separator: "\n")
    return (text, headers.names)
  }

  /// Names in lower case and in order; values of one name joined by commas; runs of white space are one space.
  private static func canonicalHeaders(_ headers: [SignedRequest.Pair]) -> (lines: String, names: String) {
    var values: [String: [String]] = [:]
    for header in headers {
      let name = header.name.lowercased()
      if unsigned.contains(name) { continue }
      let words = header.value.utf8.split { $0 == 0x20 || (0x09...0x0D).contains($0) }
      values[name, default: []].append(words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " "))
    }
    let names = values.keys.sorted()
    // Each line has an end of its own, so an empty line comes before the list of names.
    return (names.map { "\($0):\(values[$0]!.joined(separator: ","))\n" }.joined(), names.joined(separator: ";"))
  }

  // MARK: Signature

  private func signature(_ canonical: String, _ credentials: AWSCredentials, _ moment: Moment) -> String {
    RecordHeaders.hex(HMAC.sha256(key(credentials, moment), Array(stringToSign(canonical, moment).utf8)))
  }

  func stringToSign(_ canonical: String, _ moment: Moment) -> String {
    [SigV4.algorithm, moment.text, scope(moment), SigV4.hash(Array(canonical.utf8))].joined(separator: "\n")
  }

  private func scope(_ moment: Moment) -> String { "\(moment.day)/\(region)/\(service)/aws4_request" }

  private func key(_ credentials: AWSCredentials, _ moment: Moment) -> [UInt8] {
    [moment.day, region, service, "aws4_request"].reduce(Array("AWS4\(credentials.secretAccessKey)".utf8)) {
      HMAC.sha256($0, Array($1.utf8))
    }
  }

  private static func hash(_ bytes: [UInt8]) -> String { ContentHash(of: bytes).hex }

  /// A time in the two forms that a signature has.
  struct Moment {
    /// `20150830T123600Z`
    let text: String
    var day: String { String(text.prefix(8)) }

    init(_ seconds: Int64) {
      text = CivilTime.text(ofMicroseconds: seconds * 1_000_000).filter { $0 != "-" && $0 != ":" }
    }
  }
}

/// Keyed hash (RFC 2104).
enum HMAC {
  private static let blockBytes = 64

  static func sha256(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    var key = key.count > blockBytes ? digest(key) : key
    key += [UInt8](repeating: 0, count: blockBytes - key.count)
    return digest(key.map { $0 ^ 0x5C } + digest(key.map { $0 ^ 0x36 } + message))
  }

  private static func digest(_ bytes: [UInt8]) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 32)
    bytes.withUnsafeBytes { weir_sha256($0.baseAddress, $0.count, &out) }
    return out
  }
}
