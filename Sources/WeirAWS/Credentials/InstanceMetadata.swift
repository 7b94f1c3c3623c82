import WeirCore

/// The metadata service of an EC2 instance, version 2: a token first, then requests with it. Version 1 is not used.
struct InstanceMetadata: Sendable {
  private static let ipv4 = "http://169.254.169.254"
  private static let ipv6 = "http://[fd00:ec2::254]"
  private static let tokenSeconds = 21_600
  /// A machine outside of EC2 has no such address, and waits for this long.
  private static let milliseconds = 1000
  private static let attemptsMax = 2
  private static let keysPath = "/latest/meta-data/iam/security-credentials/"
  static let place = "the instance's metadata service"

  private let machine: any AWSMachine
  private let base: String

  init(_ machine: any AWSMachine, _ profile: AWSProfile) {
    self.machine = machine
    let own = machine.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? profile["ec2_metadata_service_endpoint"]
    let mode = machine.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") ?? profile["ec2_metadata_service_endpoint_mode"]
    base = own ?? (mode?.lowercased() == "ipv6" ? InstanceMetadata.ipv6 : InstanceMetadata.ipv4)
  }

  /// nil: not on an EC2 instance, switched off, or a container that is one hop too far.
  private func token() async throws(AWSFailure) -> String? {
    if machine.isTrue("AWS_EC2_METADATA_DISABLED") ?? false { return nil }
    let header = SignedRequest.Pair("x-aws-ec2-metadata-token-ttl-seconds", String(InstanceMetadata.tokenSeconds))
    guard let answer = try await send("PUT", "/latest/api/token", header), answer.status == 200, !answer.body.isEmpty else { return nil }
    return String(decoding: answer.body, as: UTF8.self)
  }

  /// The region; nil: unknown.
  func region() async -> String? {
    guard let token = try? await token(), let answer = try? await get("/latest/meta-data/placement/region", token), answer.status == 200
    else { return nil }
    let text = String(decoding: answer.body, as: UTF8.self)
    return (try? AWSEndpoint.of(.sts, region: text, isFIPS: false, isDualStack: false)) == nil ? nil : text
  }

  /// The keys of the instance's role; nil: not on an instance, or one without a role.
  func credentials() async throws(AWSFailure) -> FetchedCredentials? {
    guard let token = try await token() else { return nil }
    guard let list = try await get(InstanceMetadata.keysPath, token), list.status == 200 else { return nil }
    let role = String(decoding: list.body.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self)
    guard !role.isEmpty, role.utf8.count <= 200 else { return nil }
    let path = InstanceMetadata.keysPath + URIText.encode(role)
    guard let answer = try await get(path, token) else { throw .credentials(.retriable, "\(InstanceMetadata.place): no answer") }
    guard answer.status == 200 else { throw .credentials(.retriable, "\(InstanceMetadata.place): HTTP \(answer.status)") }
    let json = try CredentialsDocument.parsed(answer.body, place: InstanceMetadata.place)
    if let code = json["Code"]?.string, code != "Success" {
      throw .credentials(.retriable, "\(InstanceMetadata.place): \(Printable.text(code, bytesMax: 100))")
    }
    return try CredentialsDocument.read(json, .init(), place: InstanceMetadata.place)
  }

  private func get(_ path: String, _ token: String) async throws(AWSFailure) -> AWSResponse? {
    try await send("GET", path, SignedRequest.Pair("x-aws-ec2-metadata-token", token))
  }

  /// nil: no answer.
  private func send(_ method: String, _ path: String, _ header: SignedRequest.Pair) async throws(AWSFailure) -> AWSResponse? {
    var text = base
    while text.hasSuffix("/") { text.removeLast() }
    guard let address = AddressParts(text + path) else {
      throw .credentials(.fatal, "the endpoint of the EC2 metadata service is not an http address")
    }
    for _ in 1...InstanceMetadata.attemptsMax {
      let request = CredentialsRequest.local(method, address, [header], milliseconds: InstanceMetadata.milliseconds)
      guard let answer = try? await machine.transport.send(request) else { continue }
      if answer.status < 500 { return answer }
    }
    return nil
  }
}

/// Keys of the instance's role.
struct InstanceCredentials: AWSCredentialsSource {
  private let machine: any AWSMachine
  private let metadata: InstanceMetadata

  init(_ machine: any AWSMachine, _ profile: AWSProfile) {
    self.machine = machine
    metadata = InstanceMetadata(machine, profile)
  }

  /// The service may give keys that have expired while it cannot renew them. Most services still accept these: they are used, and
  /// fetched again soon (AWS SDKs: static stability).
  private static let extensionSeconds: Int64 = 600

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    guard var keys = try await metadata.credentials() else { return nil }
    if let expiry = keys.expiresAt, expiry <= machine.seconds { keys.expiresAt = machine.seconds + InstanceCredentials.extensionSeconds }
    return keys
  }
}
