import CWeirHash
import WeirCore

/// Keys of IAM Identity Center, with the token that `aws sso login` has stored. The token is read, never renewed: a service does not open a
/// browser.
struct SSOCredentials: AWSCredentialsSource {
  private let machine: any AWSMachine
  private let profile: AWSProfile

  init(_ machine: any AWSMachine, _ profile: AWSProfile) {
    self.machine = machine
    self.profile = profile
  }

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    guard profile["sso_account_id"] != nil || profile["sso_role_name"] != nil else { return nil }
    let session = profile["sso_session"]
    if let session, profile.config.ssoSessions[session] == nil {
      throw .credentials(.fatal, "the profile \(profile.name) names the sso-session \(session), which does not exist")
    }
    func setting(_ key: String) throws(AWSFailure) -> String {
      let value = session.flatMap { profile.config.ssoSessions[$0]?[key] } ?? profile[key]
      guard let value, !value.isEmpty else { throw .credentials(.fatal, "the profile \(profile.name) has no \(key), which SSO needs") }
      return value
    }
    let (account, role) = (try setting("sso_account_id"), try setting("sso_role_name"))
    let (region, start) = (try setting("sso_region"), try setting("sso_start_url"))
    let token = try await token(session ?? start)
    return try await keys(account, role, region, token)
  }

  /// From the cache of the AWS command line: `~/.aws/sso/cache/<SHA-1 of the session's name or the start URL>.json`.
  private func token(_ name: String) async throws(AWSFailure) -> String {
    var hash = [UInt8](repeating: 0, count: 20)
    let bytes = Array(name.utf8)
    bytes.withUnsafeBytes { weir_sha1($0.baseAddress, $0.count, &hash) }
    let path = machine.expanded("~/.aws/sso/cache/\(RecordHeaders.hex(hash)).json")
    let advice = "run  aws sso login --profile \(profile.name)"
    guard let file = try await machine.read(path) else { throw .credentials(.fatal, "there is no SSO token: \(advice)") }
    let json = try CredentialsDocument.parsed(file, place: path)
    guard let token = json["accessToken"]?.string, let expiry = json["expiresAt"]?.string.flatMap(HTTPDate.iso8601Seconds) else {
      throw .credentials(.fatal, "\(path) contains no SSO token: \(advice)")
    }
    guard expiry > machine.seconds else { throw .credentials(.fatal, "the SSO token has expired: \(advice)") }
    return token
  }

  private func keys(_ account: String, _ role: String, _ region: String, _ token: String) async throws(AWSFailure) -> FetchedCredentials {
    let place = "the role \(role) of IAM Identity Center"
    let client = AWSClient(
      .sso, try EndpointResolver(machine, profile).endpoint(of: .sso, region: region), credentials: nil,
      parts: .init(transport: machine.transport, clock: machine.clock, random: machine.random, counter: AWSRequestCounter()),
      settings: CredentialsRequest.settings)
    let answer: AWSResponse
    do throws(AWSFailure) {
      answer = try await client.send(
        AWSRequest(
          "GetRoleCredentials", method: "GET", path: "/federation/credentials",
          query: [.init("role_name", role), .init("account_id", account)], headers: [.init("x-amz-sso_bearer_token", token)]))
    } catch {
      throw .credentials(error.kind, "\(place): \(error.message)")
    }
    let json = try CredentialsDocument.parsed(answer.body, place: place)
    let names = CredentialsDocument.Names(id: "accessKeyId", secret: "secretAccessKey", token: "sessionToken", expiry: "expiration")
    return try CredentialsDocument.read(json["roleCredentials"] ?? .null, names, place: place)
  }
}
