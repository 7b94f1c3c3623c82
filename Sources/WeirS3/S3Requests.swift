import WeirAWS
import WeirCore
import WeirS3Settings

/// Makes the requests for one bucket. Pure.
///
/// Source: Amazon S3 API Reference, version 2006-03-01.
struct S3Requests: Sendable {
  /// A part of an upload that the service has.
  struct Part: Sendable, Hashable {
    var number: Int
    var etag: String
    /// SHA-256 in base64; nil: none was sent.
    var checksum: String?
  }

  typealias Pair = SignedRequest.Pair

  /// Of an object: the random name of the call that made it.
  static let writerHeader = "x-amz-meta-weir-writer"

  let settings: S3Settings
  private let base: String
  private let hostPrefix: String

  /// - Parameter endpoint: such as `https://s3.eu-central-1.amazonaws.com`.
  init(_ settings: S3Settings, endpoint: String) {
    self.settings = settings
    let isPathStyle = settings.hasPathStyle(at: endpoint)
    base = isPathStyle ? "/\(settings.location.bucket)" : ""
    hostPrefix = isPathStyle ? "" : "\(settings.location.bucket)."
  }

  // MARK: Objects

  /// - Parameters:
  ///   - writer: see ``writerHeader``.
  ///   - ifAbsent: only if there is no object of this key.
  func put(_ key: String, _ body: [UInt8], writer: String, ifAbsent: Bool) -> AWSRequest {
    var headers = creation(writer)
    if settings.sendsChecksums { headers.append(Pair("x-amz-checksum-sha256", S3Checksum.base64(of: body))) }
    if ifAbsent { headers.append(Pair("If-None-Match", "*")) }
    return object("PutObject", "PUT", key, headers: headers, body: body, retries: ifAbsent ? .whileNotReceived : .always)
  }

  /// - Parameters:
  ///   - range: first and last byte; nil: all.
  ///   - ifMatch: the ETag that the object must have; else the answer is 412.
  func get(_ key: String, range: ClosedRange<Int64>? = nil, ifMatch: String? = nil) -> AWSRequest {
    var headers = range.map { [Pair("Range", "bytes=\($0.lowerBound)-\($0.upperBound)")] } ?? []
    if let ifMatch { headers.append(Pair("If-Match", ifMatch)) }
    return object("GetObject", "GET", key, headers: headers)
  }

  func delete(_ key: String) -> AWSRequest { object("DeleteObject", "DELETE", key) }

  // MARK: Listings

  /// - Parameters:
  ///   - after: keys up to this one are left out.
  ///   - token: of the page before.
  ///   - keysMax: of a page; nil: as many as the service sends.
  func list(_ prefix: String, after: String?, token: String?, keysMax: Int? = nil) -> AWSRequest {
    var query = [Pair("list-type", "2"), Pair("encoding-type", "url"), Pair("prefix", prefix)]
    if let keysMax { query.append(Pair("max-keys", String(keysMax))) }
    if let token { query.append(Pair("continuation-token", token)) } else if let after { query.append(Pair("start-after", after)) }
    return bucket("ListObjectsV2", query)
  }

  /// - Parameter marker: key and id of the last upload of the page before.
  func uploads(_ prefix: String, after marker: (key: String, id: String)?) -> AWSRequest {
    var query = [Pair("uploads", ""), Pair("encoding-type", "url"), Pair("prefix", prefix)]
    if let marker { query += [Pair("key-marker", marker.key), Pair("upload-id-marker", marker.id)] }
    return bucket("ListMultipartUploads", query)
  }

  // MARK: Settings of the bucket

  func lifecycle() -> AWSRequest { bucket("GetBucketLifecycleConfiguration", [Pair("lifecycle", "")]) }
  func versioning() -> AWSRequest { bucket("GetBucketVersioning", [Pair("versioning", "")]) }
  func objectLock() -> AWSRequest { bucket("GetObjectLockConfiguration", [Pair("object-lock", "")]) }
  func encryption() -> AWSRequest { bucket("GetBucketEncryption", [Pair("encryption", "")]) }

  // MARK: Uploads

  func createUpload(_ key: String, writer: String) -> AWSRequest {
    var headers = creation(writer)
    if settings.sendsChecksums { headers.append(Pair("x-amz-checksum-algorithm", "SHA256")) }
    return object("CreateMultipartUpload", "POST", key, query: [Pair("uploads", "")], headers: headers)
  }

  func part(_ key: String, of upload: String, number: Int, _ body: [UInt8]) -> AWSRequest {
    var headers = [S3Requests.contentType]
    if settings.sendsChecksums { headers.append(Pair("x-amz-checksum-sha256", S3Checksum.base64(of: body))) }
    return object(
      "UploadPart", "PUT", key, query: [Pair("partNumber", String(number)), Pair("uploadId", upload)], headers: headers, body: body)
  }

  /// - Parameter parts: in order of their numbers.
  func complete(_ key: String, of upload: String, _ parts: [Part], ifAbsent: Bool) -> AWSRequest {
    var text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    for part in parts {
      text += "<Part><PartNumber>\(part.number)</PartNumber><ETag>\(XMLElement.escaped(part.etag))</ETag>"
      if let checksum = part.checksum { text += "<ChecksumSHA256>\(checksum)</ChecksumSHA256>" }
      text += "</Part>"
    }
    text += "</CompleteMultipartUpload>"
    var headers = [Pair("Content-Type", "application/xml")]
    if ifAbsent { headers.append(Pair("If-None-Match", "*")) }
    return object(
      "CompleteMultipartUpload", "POST", key, query: [Pair("uploadId", upload)], headers: headers, body: Array(text.utf8),
      retries: .whileNotReceived)
  }

  func abort(_ key: String, of upload: String) -> AWSRequest {
    object("AbortMultipartUpload", "DELETE", key, query: [Pair("uploadId", upload)])
  }

  // MARK: Parts of requests

  /// Without it some clients and stores take the body for a form.
  private static let contentType = Pair("Content-Type", "application/octet-stream")

  private func creation(_ writer: String) -> [Pair] {
    var headers = [S3Requests.contentType, Pair(S3Requests.writerHeader, writer)]
    switch settings.encryption {
    case .bucketDefault: break
    case .s3: headers.append(Pair("x-amz-server-side-encryption", "AES256"))
    case .kms(let key, let bucketKey):
      headers.append(Pair("x-amz-server-side-encryption", "aws:kms"))
      if let key { headers.append(Pair("x-amz-server-side-encryption-aws-kms-key-id", key)) }
      if let bucketKey { headers.append(Pair("x-amz-server-side-encryption-bucket-key-enabled", bucketKey ? "true" : "false")) }
    }
    return headers
  }

  private func object(
    _ operation: String, _ method: String, _ key: String, query: [Pair] = [], headers: [Pair] = [], body: [UInt8] = [],
    retries: AWSRequest.Retries = .always
  ) -> AWSRequest {
    AWSRequest(
      operation, method: method, path: "\(base)/\(key)", query: query, headers: headers, body: body, hostPrefix: hostPrefix,
      retries: retries)
  }

  private func bucket(_ operation: String, _ query: [Pair]) -> AWSRequest {
    AWSRequest(operation, method: "GET", path: base.isEmpty ? "/" : base, query: query, hostPrefix: hostPrefix)
  }
}

/// SHA-256 as S3 writes it.
enum S3Checksum {
  static func base64(of bytes: [UInt8]) -> String { Base64.encode(digest(ContentHash(of: bytes))) }

  private static func digest(_ hash: ContentHash) -> [UInt8] {
    var (out, high) = ([UInt8](), UInt8?.none)
    for digit in hash.hex.utf8 {
      let value = digit < 0x3A ? digit - 0x30 : digit - 0x57
      if let first = high { out.append(first << 4 | value) }
      high = high == nil ? value : nil
    }
    return out
  }
}
