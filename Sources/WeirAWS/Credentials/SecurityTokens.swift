import WeirCore

/// AWS STS: temporary keys of roles.
struct SecurityTokens: Sendable {
  private let machine: any AWSMachine
  private let profile: AWSProfile
  private let region: String?

  init(_ machine: any AWSMachine, _ profile: AWSProfile, region: String?) {
    self.machine = machine
    self.profile = profile
    self.region = region
  }

  /// - Parameters:
  ///   - session: the session's name; nil: one with the time.
  ///   - seconds: nil: an hour.
  func assumeRole(
    _ role: String, session: String?, with keys: AWSCredentials, seconds: Int?, externalID: String?
  ) async throws(AWSFailure) -> FetchedCredentials {
    var form = form("AssumeRole", role, session)
    if let seconds { form.append(.init("DurationSeconds", String(seconds))) }
    if let externalID { form.append(.init("ExternalId", externalID)) }
    return try await send("AssumeRole", form, role, StaticCredentials(keys))
  }

  func assumeRole(_ role: String, session: String?, webIdentity token: String) async throws(AWSFailure) -> FetchedCredentials {
    let form = form("AssumeRoleWithWebIdentity", role, session) + [.init("WebIdentityToken", token)]
    return try await send("AssumeRoleWithWebIdentity", form, role, nil)
  }

  private func form(_ action: String, _ role: String, _ session: String?) -> [SignedRequest.Pair] {
    [
      .init("Action", action), .init("Version", "2011-06-15"), .init("RoleArn", role),
      .init("RoleSessionName", session ?? "weir-\(machine.seconds)"),
    ]
  }

  private func send(
    _ action: String, _ form: [SignedRequest.Pair], _ role: String, _ keys: (any AWSCredentialsProvider)?
  ) async throws(AWSFailure) -> FetchedCredentials {
    guard let region else {
      throw .configuration("no AWS region, which roles need: set AWS_REGION, or region in the profile \(profile.name)")
    }
    let place = "the role \(Printable.text(role, bytesMax: 200))"
    let client = AWSClient(
      .sts, try EndpointResolver(machine, profile).endpoint(of: .sts, region: region), credentials: keys,
      parts: .init(transport: machine.transport, clock: machine.clock, random: machine.random, counter: AWSRequestCounter()),
      settings: CredentialsRequest.settings)
    let text = form.map { URIText.encode($0.name) + "=" + URIText.encode($0.value) }.joined(separator: "&")
    let answer: AWSResponse
    do throws(AWSFailure) {
      answer = try await client.send(
        AWSRequest(
          action, method: "POST", headers: [.init("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
          body: Array(text.utf8)))
    } catch {
      // The body may quote what was sent.
      throw .credentials(error.kind, "\(place): \(error.message)")
    }
    return try SecurityTokens.keys(answer, place)
  }

  private static func keys(_ answer: AWSResponse, _ place: String) throws(AWSFailure) -> FetchedCredentials {
    let xml = XMLText(answer.body)
    guard answer.status == 200, let id = xml.first("AccessKeyId"), let secret = xml.first("SecretAccessKey"),
      let token = xml.first("SessionToken"), let expiry = xml.first("Expiration").flatMap(HTTPDate.iso8601Seconds)
    else { throw .credentials(.fatal, "\(place): STS gives no keys (HTTP \(answer.status))") }
    return FetchedCredentials(
      AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token), expiresAt: expiry, place: place)
  }
}

/// Requests on the way to keys: small answers, short times.
enum CredentialsRequest {
  static let answerBytesMax = 1 << 20

  static let settings: AWSRetrySettings = {
    var settings = AWSRetrySettings()
    (settings.attemptsMax, settings.totalMilliseconds, settings.attemptMilliseconds) = (3, 30_000, 10_000)
    return settings
  }()

  /// One request to a service of the machine or of a container, which is not reached through a proxy.
  /// - Parameter address: with its path and query.
  static func local(_ method: String, _ address: AddressParts, _ headers: [SignedRequest.Pair], milliseconds: Int) -> AWSTransportRequest {
    var request = AWSTransportRequest(
      method: method, origin: "\(address.scheme)://\(address.authority)",
      target: (address.path.isEmpty ? "/" : address.path) + (address.query.isEmpty ? "" : "?\(address.query)"),
      headers: [.init("Host", address.authority), .init("User-Agent", "weir")] + headers)
    request.answerBytesMax = answerBytesMax
    (request.connectMilliseconds, request.totalMilliseconds) = (milliseconds, milliseconds)
    request.usesProxy = false
    return request
  }
}
