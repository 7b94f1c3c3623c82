import WeirCore

/// The requests for secrets (Secrets Manager 2017-10-17, SSM 2014-11-06, JSON 1.1), and what their answers mean.
///
/// No text of an answer is in an error: it may be the secret.
enum SecretRequest {
  /// Of a secret; both services have less (64 KiB and 8 KiB).
  private static let answerBytesMax = 256 << 10

  static func service(_ store: StoredSecret.Store) -> AWSService {
    switch store {
    case .secretsManager: .secretsmanager
    case .parameterStore: .ssm
    }
  }

  static func request(_ secret: StoredSecret) -> AWSRequest {
    switch secret.store {
    case .secretsManager: request("GetSecretValue", "secretsmanager", ["SecretId": .string(secret.name)])
    case .parameterStore:
      request("GetParameter", "AmazonSSM", ["Name": .string(secret.name), "WithDecryption": .bool(true)])
    }
  }

  private static func request(_ operation: String, _ target: String, _ members: KeyValuePairs<String, JSONValue>) -> AWSRequest {
    var request = AWSRequest(
      operation, method: "POST",
      headers: [.init("Content-Type", "application/x-amz-json-1.1"), .init("X-Amz-Target", "\(target).\(operation)")],
      body: JSONValue.object(members.map { .init($0.key, $0.value) }).bytes)
    request.answerBytesMax = answerBytesMax
    return request
  }

  /// The whole text of a secret, of which a member may be the value.
  static func text(_ secret: StoredSecret, _ response: AWSResponse) throws(WeirError) -> String {
    // A status that is an answer for S3 is an error of these services.
    if response.status != 200, let json = try? JSONValue(parsing: response.body), let code = json["__type"]?.string {
      let name = String(code.split(separator: "#").last ?? "").shortened(toBytes: 100)
      throw error(secret, AWSFailure(.fatal, code: name, message: "HTTP \(response.status) \(name)", status: response.status))
    }
    guard response.status == 200, let json = try? JSONValue(parsing: response.body) else {
      throw WeirError(
        .unavailable, "the answer about \(secret) (status \(response.status)) is not one of the service",
        advice: "Something between this machine and the service may answer in its place: check the endpoint.")
    }
    let found: String?
    switch secret.store {
    case .secretsManager: found = json["SecretString"]?.string
    case .parameterStore: found = json["Parameter"]?["Value"]?.string
    }
    guard let found, !found.isEmpty else {
      throw WeirError(.config, "\(secret) has no text", advice: "Store a text in it, not a binary secret.")
    }
    return found
  }

  /// What a consumer gets of the secret's text.
  static func value(_ secret: StoredSecret, in text: String) throws(WeirError) -> String {
    guard let member = secret.member else { return text }
    guard let json = try? JSONValue(parsing: text.utf8), json.members != nil else {
      throw WeirError(
        .config, "\(secret) is not a JSON object, and key names a member of it",
        advice: "Leave key out, or store a JSON object in the secret.")
    }
    guard let value = json[member] else {
      throw WeirError(.config, "\(secret) has no member \(member)", advice: "Check key: it is the name of a member of the secret's JSON.")
    }
    // A port or a PIN may be a number.
    let plain: String? =
      switch value {
      case .string(let text): text
      case .number(let text): text
      case .int(let number): String(number)
      default: nil
      }
    guard let plain, !plain.isEmpty else {
      throw WeirError(.config, "the member \(member) of \(secret) is not a text, or is empty", advice: "Store a text in it.")
    }
    return plain
  }

  /// - Parameter failure: of the client, whose message has no secret.
  static func error(_ secret: StoredSecret, _ failure: AWSFailure) -> WeirError {
    switch failure.code {
    case "ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound":
      WeirError(.config, "\(secret) does not exist (\(failure.message))", advice: "Check its name, the account and the region.")
    case "AccessDeniedException", "AccessDenied":
      WeirError(
        .config, "\(secret) may not be read: \(failure.message)",
        advice: "Allow \(action(secret)) on it to the worker's role or user, and kms:Decrypt on its key if the key is not AWS's own.")
    case "DecryptionFailure", "InvalidKeyId", "KMSAccessDeniedException":
      WeirError(
        .config, "\(secret) cannot be decrypted: \(failure.message)",
        advice: "Allow kms:Decrypt on the secret's key to the worker's role or user, and check that the key is enabled.")
    case "InvalidRequestException":
      WeirError(
        .config, "\(secret) cannot be read: \(failure.message)", advice: "Is it scheduled for deletion? Restore it, or name another.")
    case _ where failure.kind == .fatal && failure.status == 0:
      WeirError(.config, "\(secret) cannot be read: \(failure.message)", advice: "Check region, endpoint and credentials of AWS.")
    case _ where failure.kind == .fatal:
      WeirError(
        .config, "\(secret) cannot be read: \(failure.message)",
        advice: "Check its name, the account and the region, and that the worker's role or user has \(action(secret)).")
    default:
      WeirError(
        .unavailable, "\(secret) cannot be read now: \(failure.message)", advice: "Check the network and the service, then run again.")
    }
  }

  private static func action(_ secret: StoredSecret) -> Wording {
    switch secret.store {
    case .secretsManager: "secretsmanager:GetSecretValue"
    case .parameterStore: "ssm:GetParameter"
    }
  }
}
