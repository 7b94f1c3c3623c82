import WeirAWS
import WeirCore
import WeirS3Settings

/// Looks at the settings of a lake's bucket: lifecycle rules, versioning, object lock, default encryption. Changes nothing.
///
/// A service that does not have one of these requests, or does not allow it, gets a notice: a lake needs none of them.
package struct BucketExamination: Sendable {
  private let connection: (requests: S3Requests, sender: any AWSSender, location: S3Location)
  private let sendsChecksums: Bool

  package init(_ settings: S3Settings, sender: any AWSSender) {
    connection = (S3Requests(settings, endpoint: sender.endpoint), sender, settings.location)
    sendsChecksums = settings.sendsChecksums
  }

  /// What a request about a setting found.
  enum Answer: Sendable {
    case document([UInt8])
    /// The bucket does not have the setting.
    case none
    /// Why it is not known.
    case unknown(String)
  }

  package func run() async -> [StoreFinding] {
    let requests = connection.requests
    let lifecycle = await ask(requests.lifecycle(), permission: "s3:GetLifecycleConfiguration")
    let versioning = await ask(requests.versioning(), permission: "s3:GetBucketVersioning")
    let lock = await ask(requests.objectLock(), permission: "s3:GetBucketObjectLockConfiguration")
    let encryption = await ask(requests.encryption(), permission: "s3:GetEncryptionConfiguration")
    let rules = BucketFindings.rules(lifecycle)
    return BucketFindings.lifecycle(lifecycle, connection.location)
      + [
        BucketFindings.versioning(versioning, removesNoncurrent: rules.contains { removes($0) }),
        BucketFindings.objectLock(lock, sendsChecksums: sendsChecksums), BucketFindings.encryption(encryption),
      ]
  }

  /// Whether a rule removes noncurrent versions of the lake's objects.
  private func removes(_ rule: LifecycleRule) -> Bool {
    rule.isEnabled && rule.removesNoncurrent && !rule.needsTags && rule.selected(of: connection.location) != nil
  }

  /// Codes of services for a setting that a bucket does not have.
  private static let absent: Set<String> = [
    "NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError", "ServerSideEncryptionConfigurationNotFoundError",
  ]

  private func ask(_ request: AWSRequest, permission: String) async -> Answer {
    do throws(AWSFailure) {
      let answer = try await connection.sender.send(request)
      if answer.status == 200 { return .document(answer.body) }
      let code = S3ErrorBody(answer.body)?.code ?? ""
      if BucketExamination.absent.contains(code) { return .none }
      return .unknown("\(request.operation) was answered with HTTP \(answer.status) \(Printable.text(code, bytesMax: 60))")
    } catch {
      if BucketExamination.absent.contains(error.code) { return .none }
      if error.status == 403 { return .unknown("the permission \(permission) is missing") }
      if [400, 405, 501].contains(error.status) { return .unknown("the service does not implement \(request.operation)") }
      return .unknown(error.message)
    }
  }
}

/// Findings from a bucket's settings. Pure.
enum BucketFindings {
  private static func unknown(_ what: String, _ why: String) -> StoreFinding {
    StoreFinding(what: what, notice: "could not be looked at: \(why)")
  }

  static func rules(_ answer: BucketExamination.Answer) -> [LifecycleRule] {
    if case .document(let bytes) = answer { return LifecycleRule.rules(bytes) ?? [] }
    return []
  }

  /// One finding for each rule that matters, else one.
  static func lifecycle(_ answer: BucketExamination.Answer, _ location: S3Location) -> [StoreFinding] {
    let good = "no lifecycle rule deletes or moves the lake's objects"
    switch answer {
    case .none: return [StoreFinding(what: good)]
    case .unknown(let why): return [unknown("lifecycle rules", why)]
    case .document(let bytes):
      guard let rules = LifecycleRule.rules(bytes) else { return [unknown("lifecycle rules", "the answer is not one of S3")] }
      let findings = rules.compactMap { $0.finding(of: location) }
      return findings.isEmpty ? [StoreFinding(what: good)] : findings
    }
  }

  /// - Parameter removesNoncurrent: a lifecycle rule deletes versions that were replaced or deleted.
  static func versioning(_ answer: BucketExamination.Answer, removesNoncurrent: Bool) -> StoreFinding {
    switch answer {
    case .unknown(let why): return unknown("versioning", why)
    case .none: return StoreFinding(what: "versioning is off")
    case .document(let bytes):
      guard let root = XMLElement(parsing: bytes), root.name == "VersioningConfiguration" else {
        return unknown("versioning", "the answer is not one of S3")
      }
      switch root["Status"] {
      case "Enabled" where !removesNoncurrent:
        return StoreFinding(
          what: "versioning is on",
          notice: "objects that a collection deletes stay as noncurrent versions, and cost storage: add a lifecycle rule with "
            + "NoncurrentVersionExpiration for them")
      case "Enabled": return StoreFinding(what: "versioning is on, and a lifecycle rule removes noncurrent versions")
      case "Suspended": return StoreFinding(what: "versioning is suspended")
      default: return StoreFinding(what: "versioning is off")
      }
    }
  }

  static func objectLock(_ answer: BucketExamination.Answer, sendsChecksums: Bool) -> StoreFinding {
    let off = StoreFinding(what: "object lock has no default retention")
    switch answer {
    case .unknown(let why): return unknown("object lock", why)
    case .none: return off
    case .document(let bytes):
      guard let root = XMLElement(parsing: bytes), root.name == "ObjectLockConfiguration" else {
        return unknown("object lock", "the answer is not one of S3")
      }
      guard let retention = root.all("Rule").first?.all("DefaultRetention").first else { return off }
      let time = retention["Days"].map { "\($0) days" } ?? retention["Years"].map { "\($0) years" } ?? "some time"
      let shown = Printable.text("\(retention["Mode"] ?? "") for \(time)", bytesMax: 60)
      guard sendsChecksums else {
        return StoreFinding(
          what: "object lock",
          problem:
            "the default retention (\(shown)) needs a checksum with each object, and checksums are off\n  Turn them on, "
            + "or remove the default retention.")
      }
      return StoreFinding(
        what: "object lock",
        notice:
          "the default retention (\(shown)) keeps each version: collections of the ledger leave delete markers and free no space until it ends"
      )
    }
  }

  static func encryption(_ answer: BucketExamination.Answer) -> StoreFinding {
    switch answer {
    case .unknown(let why): return unknown("default encryption", why)
    case .none: return StoreFinding(what: "the bucket has no default encryption of its own")
    case .document(let bytes):
      guard let root = XMLElement(parsing: bytes), root.name == "ServerSideEncryptionConfiguration",
        let rule = root.all("Rule").first, let by = rule.all("ApplyServerSideEncryptionByDefault").first
      else { return unknown("default encryption", "the answer is not one of S3") }
      let algorithm = Printable.text(by["SSEAlgorithm"] ?? "", bytesMax: 40)
      guard algorithm.hasPrefix("aws:kms") else { return StoreFinding(what: "the default encryption is \(algorithm)") }
      if rule["BucketKeyEnabled"] == "true" { return StoreFinding(what: "the default encryption is \(algorithm), with a bucket key") }
      return StoreFinding(
        what: "the default encryption is \(algorithm)",
        notice: "without a bucket key each object is a request to KMS, which costs money: enable the bucket key")
    }
  }
}
