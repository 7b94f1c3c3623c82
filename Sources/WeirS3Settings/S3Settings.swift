import WeirCore

/// A bucket and the prefix of a lake's keys in it: `s3://bucket/prefix`.
package struct S3Location: Sendable, Hashable, CustomStringConvertible {
  package let bucket: String
  /// A lake's has no slashes at its ends; empty: the whole bucket.
  package let prefix: String

  /// S3's own bound for a key is 1,024 bytes; the rest is for the paths in the lake.
  package static let prefixBytesMax = 512
  package static let scheme = "s3://"

  /// Whether a text is meant as an address of this kind.
  package static func accepts(_ text: String) -> Bool { text.lowercased().hasPrefix(scheme) }

  /// - Parameter text: `s3://bucket/prefix`. As in other tools, the prefix is taken as it is: `%20` are three characters.
  /// - Throws: `config`.
  package init(_ text: String) throws(WeirError) { try self.init(text, isExact: false) }

  /// The address of an object, or of keys that begin in the same way. Keys may begin with a slash, and contain empty parts: those of
  /// `s3://bucket//k` are `/k` and what is below.
  /// - Throws: `config`.
  package init(objects text: String) throws(WeirError) { try self.init(text, isExact: true) }

  /// - Parameter isExact: at each end of the prefix, one slash is not part of it; else all of them.
  private init(_ text: String, isExact: Bool) throws(WeirError) {
    guard S3Location.accepts(text) else {
      throw WeirError(.config, "\(text) is not an address of S3", advice: "Write s3://BUCKET/PREFIX.")
    }
    let rest = text.dropFirst(S3Location.scheme.count)
    let bucket = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(bucket.count)
    self.bucket = String(bucket)
    if isExact {
      let prefix = path.dropFirst()
      self.prefix = String(prefix.last == "/" ? prefix.dropLast() : prefix)
    } else {
      self.prefix = String(path.drop { $0 == "/" }.reversed().drop { $0 == "/" }.reversed())
    }
    // An empty variable leaves such an address, and its user does not mean the whole bucket.
    if path.count > 1, path.allSatisfy({ $0 == "/" }) {
      throw WeirError(
        .config, "\(text): there are only slashes after the bucket",
        advice: "Write \(S3Location.scheme)\(bucket) for the whole bucket, or s3://BUCKET/PREFIX.")
    }
    if let problem = problem { throw WeirError(.config, "\(text): \(problem)", advice: "Write s3://BUCKET/PREFIX.") }
  }

  /// Of S3 itself; other stores, and S3 until 2018, accept capital letters, underscores and longer names.
  fileprivate static let bucketForm = "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit first and last"

  /// Whether S3 makes buckets of this name (Amazon S3 User Guide, "General purpose bucket naming rules").
  fileprivate var isBucketOfS3: Bool {
    let isName = bucket.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte) || [0x2D, 0x2E].contains(byte)
    }
    return isName && bucket.utf8.count <= 63 && !HostAddress.isAddress(bucket)
  }

  private var problem: String? {
    let isName = bucket.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || [0x2D, 0x2E, 0x5F].contains(byte)
    }
    if bucket.isEmpty { return "the bucket is missing" }
    let ends = ["-", "."].contains { bucket.hasPrefix($0) || bucket.hasSuffix($0) }
    if !isName || !(3...255).contains(bucket.utf8.count) || ends || bucket.contains("..") {
      return "\(Printable.text(bucket, bytesMax: 100)) is not the name of a bucket, which has \(S3Location.bucketForm)"
    }
    if prefix.utf8.count > S3Location.prefixBytesMax { return "the prefix is longer than \(S3Location.prefixBytesMax) bytes" }
    // Answers are XML, which has no such characters.
    if prefix.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return "the prefix has a control character" }
    return nil
  }

  /// Whether a text is what may follow `s3://`.
  package static func isPlace(_ text: some StringProtocol) -> Bool { (try? S3Location(scheme + text)) != nil }

  package var description: String { S3Location.scheme + bucket + (prefix.isEmpty ? "" : "/" + prefix) }

  /// Of a key, by S3.
  package static let keyBytesMax = 1024
  /// Of a path in the lake.
  package var pathBytesMax: Int { S3Location.keyBytesMax - (prefix.isEmpty ? 0 : prefix.utf8.count + 1) }

  /// The key of a path in the lake.
  package func key(_ path: String) -> String { prefix.isEmpty ? path : prefix + "/" + path }
  /// The path in the lake of a key; nil: the key is outside.
  package func path(ofKey key: String) -> String? {
    guard !prefix.isEmpty else { return key }
    let start = prefix + "/"
    // By bytes: Strings that are canonically equivalent are equal, and yet two keys.
    guard key.utf8.starts(with: start.utf8) else { return nil }
    return String(decoding: key.utf8.dropFirst(start.utf8.count), as: UTF8.self)
  }
}

/// How objects are sent to a bucket.
package struct S3Settings: Sendable, Hashable {
  /// What the service encrypts objects with.
  package enum Encryption: Sendable, Hashable {
    /// What the bucket has as its default.
    case bucketDefault
    /// Keys of S3 (SSE-S3).
    case s3
    /// A key of KMS.
    /// - Parameters:
    ///   - key: id, ARN or alias; nil: the account's key for S3.
    ///   - bucketKey: fewer requests to KMS; nil: as the bucket says.
    case kms(key: String?, bucketKey: Bool?)
  }

  package var location: S3Location
  /// nil: as the environment says.
  package var region: String?
  package var endpoint: String?
  /// The bucket is in the path and not in the host's name; nil: where the endpoint is not one of AWS, or the name has dots, which no
  /// certificate covers.
  package var usesPathStyle: Bool?
  package var encryption: Encryption
  /// Sends SHA-256 checksums, which the service checks and keeps. Some stores refuse them.
  package var sendsChecksums: Bool
  /// Bytes of a part of an upload; S3 wants 5 MiB at least. Later parts are larger.
  package var partBytes: Int

  package init(_ location: S3Location) {
    self.location = location
    (region, endpoint, usesPathStyle) = (nil, nil, nil)
    encryption = .bucketDefault
    sendsChecksums = true
    partBytes = 8 << 20
  }

  /// - Parameter endpoint: of the service.
  /// - Throws: `config` where it is S3 itself, which has no bucket of this name.
  package func checkBucket(at endpoint: String) throws(WeirError) {
    guard S3Settings.isAWS(endpoint), usesPathStyle != true, !location.isBucketOfS3 else { return }
    throw WeirError(
      .config, "\(location): S3 has no bucket \(Printable.text(location.bucket, bytesMax: 100)): a name has \(S3Location.bucketForm)",
      advice:
        "Correct the name. For another store with the interface of S3, set its endpoint: AWS_ENDPOINT_URL_S3, or lake.s3.endpoint. For a bucket that was made in us-east-1 before 2018, set lake.s3.path_style: true."
    )
  }

  /// An address of S3 itself.
  static func isAWS(_ endpoint: String) -> Bool {
    let host = endpoint.split(separator: "/").dropFirst().first.map { $0.prefix { $0 != ":" }.lowercased() } ?? ""
    return [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"].contains { host.hasSuffix($0) }
  }

  package func hasPathStyle(at endpoint: String) -> Bool {
    if let usesPathStyle { return usesPathStyle }
    return !S3Settings.isAWS(endpoint) || location.bucket.contains(".")
  }
}
