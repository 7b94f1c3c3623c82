import WeirAWS
import WeirCore
import WeirS3Settings

/// Failures of requests as errors that say where, and what to do.
struct S3Errors: Sendable {
  let location: S3Location
  let endpoint: String

  /// - Parameters:
  ///   - what: a verb: `read`, `create`.
  ///   - key: nil: the request is for the bucket.
  func error(_ what: String, _ key: String?, _ failure: AWSFailure) -> WeirError {
    let place = key.map { S3Location.scheme + location.bucket + "/" + $0 } ?? location.description
    let body = S3ErrorBody(failure.body)
    var message = "cannot \(what) \(Printable.text(place, bytesMax: 600)): \(failure.message)"
    if let id = failure.requestID { message += " (request \(id))" }
    let (code, advice) = judged(failure, body, key)
    return WeirError(code, message, advice: advice)
  }

  /// An answer that the caller cannot use, as a failure.
  func failure(_ request: AWSRequest, _ response: AWSResponse) -> AWSFailure {
    let body = S3ErrorBody(response.body)
    let code = body?.code ?? "Status\(response.status)"
    let text = body.map { "\($0.code): \($0.message)" } ?? "status \(response.status)"
    return AWSFailure(
      S3Errors.kind(code, response.status), code: code, message: "\(request.operation) at \(endpoint) answered \(text)",
      status: response.status, requestID: response.header("x-amz-request-id"), body: response.body)
  }

  /// An answer of 200 that is not what the request asked for: cut short, or of another kind of server.
  func unreadable(_ request: AWSRequest) -> AWSFailure {
    AWSFailure(
      .unknown, code: "UnreadableAnswer",
      message: "\(request.operation) at \(endpoint) has an answer that cannot be read, or was cut short")
  }

  /// Codes that come with an answer of 200, or with a status that a caller asked for.
  private static func kind(_ code: String, _ status: Int) -> AWSFailure.Kind {
    switch code {
    case "SlowDown", "ServiceUnavailable", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict": .retriable
    case "InternalError": .unknown
    default: status >= 500 ? .unknown : .fatal
    }
  }

  private func judged(_ failure: AWSFailure, _ body: S3ErrorBody?, _ key: String?) -> (WeirError.Code, Wording) {
    if failure.kind == .retriable || failure.kind == .unknown {
      let rest: Wording = AWSPatience.isLooking ? "then run again." : "then run again: it resumes from the ledger."
      return (.storage, "Check the network, the endpoint and the service's state, \(rest)")
    }
    return switch failure.code {
    case "NoSuchBucket": (.storageRefused, "Create the bucket, or correct its name; is \(endpoint) the right endpoint?")
    case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect", "Redirect":
      (.storageRefused, region(body))
    case "RequestTimeTooSkewed": (.storageRefused, "Set this machine's clock: it differs from the service's by more than 15 minutes.")
    case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
      (.storageRefused, "Check the credentials that this process has (environment, profile or role): the service does not accept them.")
    case "Credentials": (.storageRefused, "Give this process credentials: in the environment, in a profile, or by a role.")
    case "Configuration", "Endpoint", "TransportConfiguration":
      (.storageRefused, "Check the settings of AWS: environment, profiles, endpoint, authorities, proxy.")
    case "InvalidObjectState":
      (
        .storageRefused,
        "The object is archived (storage class Glacier or an archive tier of Intelligent-Tiering): restore it (`aws s3api restore-object`), and exclude the prefix from the rule that archives."
      )
    case "NotImplemented", "InvalidRequest", "InvalidArgument", "MethodNotAllowed":
      (
        .storageRefused,
        "The store at \(endpoint) may lack this function. Is it a supported one, and must checksums or encryption be off for it?"
      )
    case "QuotaExceeded", "QuotaExceededException", "XMinioStorageFull", "InsufficientStorage":
      (.fullDisk, "Free some space in the store and run again: it resumes from the ledger.")
    case let code where code.hasPrefix("KMS."):
      (.storageRefused, "Check that the key of KMS exists, is enabled and in the bucket's region.")
    default:
      failure.status == 403
        ? (.storageRefused, permission(failure, key))
        : (.storageRefused, "Check the bucket, its policy and the settings of the lake.")
    }
  }

  private func region(_ body: S3ErrorBody?) -> Wording {
    if let region = body?.region { return "The bucket is in the region \(Printable.text(region, bytesMax: 40)): set AWS_REGION to it." }
    return "The bucket is in another region: set AWS_REGION to the bucket's."
  }

  /// The action that is missing, as policies name it. The operation is the first word of a failure's message.
  private func permission(_ failure: AWSFailure, _ key: String?) -> Wording {
    let operation = failure.message.prefix { $0 != " " && $0 != ":" }
    let objects = "arn:aws:s3:::\(location.bucket)/\(location.key("*"))"
    let (action, resource) =
      switch operation {
      case "GetObject": ("s3:GetObject (and s3:ListBucket, without which a missing object is answered like a forbidden one)", objects)
      case "DeleteObject": ("s3:DeleteObject", objects)
      case "AbortMultipartUpload": ("s3:AbortMultipartUpload", objects)
      case "ListObjectsV2": ("s3:ListBucket", "arn:aws:s3:::\(location.bucket)")
      case "ListMultipartUploads": ("s3:ListBucketMultipartUploads", "arn:aws:s3:::\(location.bucket)")
      default: ("s3:PutObject (and kms:GenerateDataKey and kms:Decrypt where a key of KMS encrypts)", objects)
      }
    return "Allow \(action) on \(resource)."
  }
}
