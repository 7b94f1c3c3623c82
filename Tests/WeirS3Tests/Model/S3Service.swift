import WeirAWS
import WeirCore
import WeirTesting

/// What ``S3Model`` keeps, and how it serves a request. Pure.
struct S3Service: Sendable {
  struct Object: Sendable {
    var bytes: [UInt8]
    var headers: [SignedRequest.Pair]
    var modified: Int64
  }

  struct Upload: Sendable {
    var key: [UInt8]
    var headers: [SignedRequest.Pair]
    var begun: Int64
    var parts: [Int: [UInt8]] = [:]
  }

  typealias Outcome = Result<AWSResponse, AWSFailure>

  let bucket: String
  let flaws: S3Model.Flaws
  let pageMax: Int
  let partBytesMin: Int
  let clock: any Clock
  /// By the key's bytes: Strings that are canonically equivalent are equal, and yet two keys.
  private(set) var objects: [[UInt8]: Object] = [:]
  private var uploads: [String: Upload] = [:]
  private var uploadsMade = 0

  init(bucket: String, flaws: S3Model.Flaws, pageMax: Int, partBytesMin: Int, clock: any Clock) {
    (self.bucket, self.flaws, self.pageMax, self.partBytesMin, self.clock) = (bucket, flaws, pageMax, partBytesMin, clock)
  }

  var all: [String: [UInt8]] {
    Dictionary(uniqueKeysWithValues: objects.map { (String(decoding: $0.key, as: UTF8.self), $0.value.bytes) })
  }
  var uploadsCount: Int { uploads.count }
  func headers(of key: String) -> [SignedRequest.Pair] { objects[Array(key.utf8)]?.headers ?? [] }
  func has(_ request: AWSRequest) -> Bool { place(request).map { objects[$0.key] != nil } ?? false }

  // MARK: Serve

  mutating func serve(_ request: AWSRequest) -> Outcome {
    guard let (name, key) = place(request), name == bucket else { return .success(S3Service.error(404, "NoSuchBucket")) }
    guard key.count <= 1024 else { return S3Service.failure(request, 400, "KeyTooLongError") }
    if let sum = request.headers.first(where: { $0.name == "x-amz-checksum-sha256" }), !S3Service.fits(sum.value, request.body) {
      return S3Service.failure(request, 400, "BadDigest")
    }
    let query = Dictionary(request.query.map { ($0.name, $0.value) }) { first, _ in first }
    switch (request.method, request.operation) {
    case ("PUT", "PutObject"): return put(request, key)
    case ("GET", "GetObject"): return get(request, key)
    case ("DELETE", "DeleteObject"):
      objects[key] = nil
      return .success(AWSResponse(status: 204))
    case ("GET", "ListObjectsV2") where query["list-type"] == "2": return .success(list(query))
    case ("POST", "CreateMultipartUpload") where query["uploads"] == "": return .success(begin(request, key))
    case ("PUT", "UploadPart"): return part(request, query)
    case ("POST", "CompleteMultipartUpload"): return complete(request, key, query)
    case ("DELETE", "AbortMultipartUpload"):
      guard uploads.removeValue(forKey: query["uploadId"] ?? "") != nil else { return .success(S3Service.error(404, "NoSuchUpload")) }
      return .success(AWSResponse(status: 204))
    case ("GET", "ListMultipartUploads") where query["uploads"] == "": return .success(listUploads(query))
    default: return S3Service.failure(request, 405, "MethodNotAllowed")
    }
  }

  private func place(_ request: AWSRequest) -> (bucket: String, key: [UInt8])? {
    let path = Array(request.path.utf8)
    guard path.first == UInt8(ascii: "/") else { return nil }
    if !request.hostPrefix.isEmpty { return (String(request.hostPrefix.dropLast()), Array(path.dropFirst())) }
    let name = path.dropFirst().prefix { $0 != UInt8(ascii: "/") }
    return (String(decoding: name, as: UTF8.self), Array(path.dropFirst(name.count + 2)))
  }

  static func error(_ status: Int, _ code: String) -> AWSResponse {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>as the model says</Message></Error>"
    return AWSResponse(status: status, body: Array(text.utf8))
  }

  private static func failure(_ request: AWSRequest, _ status: Int, _ code: String) -> Outcome {
    .failure(
      AWSFailure(
        .fatal, code: code, message: "\(request.operation) at the model: \(code)", status: status, body: error(status, code).body))
  }

  private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values = Dictionary(uniqueKeysWithValues: digits.enumerated().map { ($1, UInt32($0)) })

  /// Whether a checksum in base64 is the body's SHA-256.
  private static func fits(_ sum: String, _ body: [UInt8]) -> Bool {
    var (bits, count, out) = (UInt32(0), 0, [UInt8]())
    for byte in sum.utf8 where byte != UInt8(ascii: "=") {
      guard let value = values[byte] else { return false }
      (bits, count) = (bits << 6 | value, count + 6)
      guard count >= 8 else { continue }
      count -= 8
      out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
    }
    return RecordHeaders.hex(out) == ContentHash(of: body).hex
  }

  // MARK: Objects

  private func kept(_ headers: [SignedRequest.Pair]) -> [SignedRequest.Pair] {
    headers.filter { $0.name.hasPrefix("x-amz-") && !(flaws.contains(.dropsMetadata) && $0.name.hasPrefix("x-amz-meta-")) }
  }

  private static func isConditional(_ request: AWSRequest) -> Bool {
    request.headers.contains { $0.name == "If-None-Match" && $0.value == "*" }
  }

  private mutating func put(_ request: AWSRequest, _ key: [UInt8]) -> Outcome {
    if S3Service.isConditional(request), !flaws.contains(.ignoresConditions), objects[key] != nil {
      return .success(S3Service.error(412, "PreconditionFailed"))
    }
    make(key, request.body, kept(request.headers))
    return .success(AWSResponse(status: 200, headers: [.init("ETag", S3Service.etag(request.body))]))
  }

  private mutating func make(_ key: [UInt8], _ bytes: [UInt8], _ headers: [SignedRequest.Pair]) {
    if flaws.contains(.readsOldObjects), objects[key] != nil { return }
    objects[key] = Object(bytes: bytes, headers: headers, modified: clock.wallMicroseconds)
  }

  private static func etag(_ bytes: [UInt8]) -> String { "\"\(bytes.withUnsafeBytes { Hash128($0) }.hex)\"" }

  private func get(_ request: AWSRequest, _ key: [UInt8]) -> Outcome {
    guard let object = objects[key] else { return .success(S3Service.error(404, "NoSuchKey")) }
    let etag = S3Service.etag(object.bytes)
    if let wanted = request.headers.first(where: { $0.name == "If-Match" })?.value, wanted != etag {
      return .success(S3Service.error(412, "PreconditionFailed"))
    }
    let own = object.headers + [.init("ETag", etag)]
    guard let range = request.headers.first(where: { $0.name == "Range" })?.value, !flaws.contains(.ignoresRanges) else {
      return .success(AWSResponse(status: 200, headers: own, body: object.bytes))
    }
    let ends = range.dropFirst("bytes=".count).split(separator: "-").compactMap { Int64($0) }
    guard ends.count == 2, ends[0] <= ends[1] else { return S3Service.failure(request, 400, "InvalidArgument") }
    guard ends[0] < object.bytes.count else { return S3Service.failure(request, 416, "InvalidRange") }
    let last = Int(min(ends[1], Int64(object.bytes.count) - 1))
    let headers = own + [.init("Content-Range", "bytes \(ends[0])-\(last)/\(object.bytes.count)")]
    return .success(AWSResponse(status: 206, headers: headers, body: Array(object.bytes[Int(ends[0])...last])))
  }

  // MARK: Listings

  private func text(_ key: [UInt8]) -> String {
    if flaws.contains(.listsPlainKeys) {
      return String(decoding: key, as: UTF8.self).replacing("&", with: "&amp;").replacing("<", with: "&lt;")
    }
    var out = ""
    for byte in key {
      let isPlain =
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || [0x2D, 0x2E, 0x5F, 0x2A, 0x2F].contains(byte)
      if isPlain {
        out.unicodeScalars.append(Unicode.Scalar(byte))
      } else if byte == 0x20 {
        out += "+"
      } else {
        out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return out
  }

  private var encoding: String { flaws.contains(.listsPlainKeys) ? "" : "<EncodingType>url</EncodingType>" }

  private func list(_ query: [String: String]) -> AWSResponse {
    let prefix = Array((query["prefix"] ?? "").utf8)
    // A token is the last key of the page before.
    let after = query["continuation-token"].map { Array($0.dropFirst().utf8) } ?? query["start-after"].map { Array($0.utf8) }
    let keys =
      flaws.contains(.listsNothing)
      ? []
      : objects.keys.filter { key in
        key.starts(with: prefix) && after.map { $0.lexicographicallyPrecedes(key) } ?? true
      }.sorted { $0.lexicographicallyPrecedes($1) }
    var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(encoding)"
    let pageMax = min(pageMax, query["max-keys"].flatMap { Int($0) } ?? pageMax)
    for key in keys.prefix(pageMax) {
      let object = objects[key]!
      out += "<Contents><Key>\(text(key))</Key><LastModified>\(CivilTime.text(ofMicroseconds: object.modified))</LastModified>"
      out += "<ETag>\(S3Service.etag(object.bytes).replacing("\"", with: "&quot;"))</ETag>"
      out += "<Size>\(object.bytes.count)</Size><StorageClass>STANDARD</StorageClass></Contents>"
    }
    let isTruncated = keys.count > pageMax
    if isTruncated {
      let token = String(decoding: [0x3E] + keys[pageMax - 1], as: UTF8.self)
      out += "<NextContinuationToken>\(token.replacing("&", with: "&amp;").replacing("<", with: "&lt;"))</NextContinuationToken>"
    }
    out += "<IsTruncated>\(isTruncated)</IsTruncated></ListBucketResult>"
    return AWSResponse(status: 200, body: Array(out.utf8))
  }

  private func listUploads(_ query: [String: String]) -> AWSResponse {
    let prefix = Array((query["prefix"] ?? "").utf8)
    let after = (key: Array((query["key-marker"] ?? "").utf8), id: query["upload-id-marker"] ?? "")
    func precedes(_ a: (key: [UInt8], id: String), _ b: (key: [UInt8], id: String)) -> Bool {
      a.key == b.key ? a.id < b.id : a.key.lexicographicallyPrecedes(b.key)
    }
    let found = uploads.map { (key: $0.value.key, id: $0.key) }.filter { $0.key.starts(with: prefix) && precedes(after, $0) }.sorted(
      by: precedes)
    var out = "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\(encoding)"
    for (key, id) in found.prefix(pageMax) {
      let begun = CivilTime.text(ofMicroseconds: uploads[id]!.begun)
      out += "<Upload><Key>\(text(key))</Key><UploadId>\(id)</UploadId><Initiated>\(begun)</Initiated></Upload>"
    }
    if found.count > pageMax {
      let last = found[pageMax - 1]
      out += "<NextKeyMarker>\(text(last.key))</NextKeyMarker><NextUploadIdMarker>\(last.id)</NextUploadIdMarker>"
    }
    out += "<IsTruncated>\(found.count > pageMax)</IsTruncated></ListMultipartUploadsResult>"
    return AWSResponse(status: 200, body: Array(out.utf8))
  }

  // MARK: Uploads

  private mutating func begin(_ request: AWSRequest, _ key: [UInt8]) -> AWSResponse {
    uploadsMade += 1
    let id = "upload-\(1000 + uploadsMade)"
    uploads[id] = Upload(key: key, headers: kept(request.headers), begun: clock.wallMicroseconds)
    let text = "<InitiateMultipartUploadResult><Bucket>\(bucket)</Bucket><UploadId>\(id)</UploadId></InitiateMultipartUploadResult>"
    return AWSResponse(status: 200, body: Array(text.utf8))
  }

  private mutating func part(_ request: AWSRequest, _ query: [String: String]) -> Outcome {
    guard let id = query["uploadId"], uploads[id] != nil else { return .success(S3Service.error(404, "NoSuchUpload")) }
    guard let number = query["partNumber"].flatMap({ Int($0) }), (1...10_000).contains(number) else {
      return S3Service.failure(request, 400, "InvalidArgument")
    }
    uploads[id]?.parts[number] = request.body
    return .success(AWSResponse(status: 200, headers: [.init("ETag", S3Service.etag(request.body))]))
  }

  private mutating func complete(_ request: AWSRequest, _ key: [UInt8], _ query: [String: String]) -> Outcome {
    guard let id = query["uploadId"], let upload = uploads[id], upload.key == key else {
      return .success(S3Service.error(404, "NoSuchUpload"))
    }
    if S3Service.isConditional(request), !flaws.contains(.ignoresConditionsOfUploads), objects[key] != nil {
      return .success(S3Service.error(412, "PreconditionFailed"))
    }
    let numbers = S3Service.between("<PartNumber>", "</PartNumber>", request.body).compactMap { Int($0) }
    let etags = S3Service.between("<ETag>", "</ETag>", request.body).map { $0.replacing("&quot;", with: "\"") }
    let bodies = numbers.compactMap { upload.parts[$0] }
    guard !numbers.isEmpty, bodies.count == numbers.count, etags == bodies.map(S3Service.etag) else {
      return S3Service.failure(request, 400, "InvalidPart")
    }
    guard zip(numbers, numbers.dropFirst()).allSatisfy({ $0 < $1 }) else { return S3Service.failure(request, 400, "InvalidPartOrder") }
    guard bodies.dropLast().allSatisfy({ $0.count >= partBytesMin }) else { return S3Service.failure(request, 400, "EntityTooSmall") }
    uploads[id] = nil
    make(key, Array(bodies.joined()), upload.headers)
    let text = "\n \n<CompleteMultipartUploadResult><ETag>&quot;x-\(bodies.count)&quot;</ETag></CompleteMultipartUploadResult>"
    return .success(AWSResponse(status: 200, body: Array(text.utf8)))
  }

  private static func between(_ start: String, _ end: String, _ bytes: [UInt8]) -> [String] {
    String(decoding: bytes, as: UTF8.self).split(separator: start).dropFirst().compactMap { piece in
      piece.firstRange(of: end).map { String(piece[..<$0.lowerBound]) }
    }
  }
}
