import WeirCore

/// The ways to keys, in the order of the SDKs (AWS SDKs and Tools Reference Guide, "Credential provider chain"; botocore, credentials.py):
///
/// 1. the environment, unless a profile is named by the caller
/// 2. the profile (see ``ProfileCredentials``), and EKS's web identity from the environment
/// 3. the container: ECS, EKS Pod Identity
/// 4. the instance: EC2
///
/// The first one that is configured decides, also if it fails.
struct CredentialsChain: AWSCredentialsSource {
  private let sources: [any AWSCredentialsSource]

  init(_ machine: any AWSMachine, _ profile: AWSProfile, region: String?) {
    let environment: [any AWSCredentialsSource] = profile.isExplicit ? [] : [EnvironmentCredentials(machine)]
    sources =
      environment + [
        ProfileCredentials(machine, profile, region: region, allowsEnvironment: !profile.isExplicit), ContainerCredentials(machine),
        InstanceCredentials(machine, profile),
      ]
  }

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    for source in sources { if let keys = try await source.fetch() { return keys } }
    return nil
  }
}

/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
struct EnvironmentCredentials: AWSCredentialsSource {
  private let machine: any AWSMachine

  init(_ machine: any AWSMachine) { self.machine = machine }

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    guard let id = machine.variable("AWS_ACCESS_KEY_ID") else { return nil }
    guard let secret = machine.variable("AWS_SECRET_ACCESS_KEY") else {
      throw .credentials(.fatal, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")
    }
    let token = machine.variable("AWS_SECURITY_TOKEN") ?? machine.variable("AWS_SESSION_TOKEN")
    return FetchedCredentials(
      AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token), expiresAt: nil, place: "the environment")
  }
}

/// Keys as services and programs give them, in JSON.
struct CredentialsDocument {
  /// The names of a document's members.
  struct Names: Sendable {
    var id = "AccessKeyId"
    var secret = "SecretAccessKey"
    var token = "Token"
    var expiry = "Expiration"
  }

  /// - Parameters:
  ///   - place: for errors, which never show the document.
  /// - Throws: `fatal`: not such a document.
  static func read(_ json: JSONValue, _ names: Names, place: String) throws(AWSFailure) -> FetchedCredentials {
    guard let id = json[names.id]?.string, let secret = json[names.secret]?.string, !id.isEmpty, !secret.isEmpty else {
      throw .credentials(.fatal, "\(place) gives no keys: \(names.id) or \(names.secret) is missing")
    }
    var expiresAt: Int64?
    switch json[names.expiry] {
    case .string(let text)?:
      guard let seconds = HTTPDate.iso8601Seconds(text) else {
        throw .credentials(.fatal, "\(place) gives an \(names.expiry) that is not a time (ISO 8601)")
      }
      expiresAt = seconds
    case .int(let milliseconds)?: expiresAt = milliseconds / 1000
    default: break
    }
    let keys = AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: json[names.token]?.string)
    return FetchedCredentials(keys, expiresAt: expiresAt, place: place)
  }

  static func parsed(_ bytes: [UInt8], place: String) throws(AWSFailure) -> JSONValue {
    do { return try JSONValue(parsing: bytes) } catch {
      throw .credentials(.fatal, "\(place) does not give a JSON document")
    }
  }
}
