import WeirCore

/// The keys that a profile leads to. The order is botocore's: a role to assume, web identity, IAM Identity Center, keys in the credentials
/// file, a program, keys in the config file.
struct ProfileCredentials: AWSCredentialsSource {
  private let machine: any AWSMachine
  private let profile: AWSProfile
  private let region: String?
  /// Web identity may come from the environment: not in profiles that another one names.
  private let allowsEnvironment: Bool
  /// Names of profiles that led here.
  private let visited: [String]

  private static let visitedMax = 10
  private static let processSeconds = 60

  init(_ machine: any AWSMachine, _ profile: AWSProfile, region: String?, allowsEnvironment: Bool, visited: [String] = []) {
    self.machine = machine
    self.profile = profile
    self.region = region
    self.allowsEnvironment = allowsEnvironment
    self.visited = visited
  }

  func fetch() async throws(AWSFailure) -> FetchedCredentials? {
    // A profile that names itself as its source has keys of its own, which are meant then.
    let isOwnSource = visited.last == profile.name
    if profile["role_arn"] != nil, profile["web_identity_token_file"] == nil, !(isOwnSource || isSourceWithKeys) {
      return try await assumedRole()
    }
    if let keys = try await webIdentity() { return keys }
    if let keys = try await SSOCredentials(machine, profile).fetch() { return keys }
    if let keys = try keys(profile.config.credentialProfiles[profile.name], profile.config.credentialsPath) { return keys }
    if let keys = try await process() { return keys }
    return try keys(profile.config.configProfiles[profile.name], profile.config.configPath)
  }

  private var isSourceWithKeys: Bool {
    !visited.isEmpty && (profile["aws_access_key_id"] != nil || profile["aws_secret_access_key"] != nil)
  }

  // MARK: Keys

  private func keys(_ section: SharedConfig.Keys?, _ path: String) throws(AWSFailure) -> FetchedCredentials? {
    guard let section, let id = section["aws_access_key_id"] else { return nil }
    let place = "the profile \(profile.name) in \(path)"
    guard let secret = section["aws_secret_access_key"], !id.isEmpty, !secret.isEmpty else {
      throw .credentials(.fatal, "\(place) has aws_access_key_id, but not aws_secret_access_key")
    }
    let token = section["aws_security_token"] ?? section["aws_session_token"]
    return FetchedCredentials(
      AWSCredentials(accessKeyID: id, secretAccessKey: secret, sessionToken: token), expiresAt: nil, place: place)
  }

  // MARK: A program

  private func process() async throws(AWSFailure) -> FetchedCredentials? {
    guard let command = profile["credential_process"] else { return nil }
    let place = "credential_process of the profile \(profile.name)"
    guard let words = ShellWords.split(command), !words.isEmpty else {
      throw .credentials(.fatal, "\(place): a quotation mark has no end")
    }
    let output: [UInt8]
    do { output = try await machine.run(words, seconds: ProfileCredentials.processSeconds) } catch {
      throw .credentials(.retriable, "\(place): \(error.message)")
    }
    let json = try CredentialsDocument.parsed(output, place: place)
    guard json["Version"]?.int == 1 else { throw .credentials(.fatal, "\(place): the document's Version is not 1") }
    return try CredentialsDocument.read(json, .init(token: "SessionToken"), place: place)
  }

  // MARK: Roles

  private func assumedRole() async throws(AWSFailure) -> FetchedCredentials {
    let source = try await roleSource()
    guard profile["mfa_serial"] == nil else {
      throw .credentials(.fatal, "the profile \(profile.name) asks for a code (mfa_serial), which a service cannot enter")
    }
    return try await sts.assumeRole(
      profile["role_arn"] ?? "", session: profile["role_session_name"], with: source.credentials,
      seconds: profile["duration_seconds"].flatMap { Int($0) }, externalID: profile["external_id"])
  }

  private var sts: SecurityTokens { SecurityTokens(machine, profile, region: region) }

  private func roleSource() async throws(AWSFailure) -> FetchedCredentials {
    switch (profile["source_profile"], profile["credential_source"]) {
    case (nil, nil):
      throw .credentials(.fatal, "the profile \(profile.name) has role_arn, but neither source_profile nor credential_source")
    case (_?, _?):
      throw .credentials(.fatal, "the profile \(profile.name) has both source_profile and credential_source: remove one")
    case (let name?, nil): return try await sourceProfile(name)
    case (nil, let name?): return try await namedSource(name)
    }
  }

  private func sourceProfile(_ name: String) async throws(AWSFailure) -> FetchedCredentials {
    guard profile.config.profiles[name] != nil else {
      throw .credentials(.fatal, "the profile \(profile.name) names the source_profile \(name), which does not exist")
    }
    let isItself = name == profile.name
    let hasKeys = profile["aws_access_key_id"] != nil || profile["aws_secret_access_key"] != nil
    guard isItself ? hasKeys : !visited.contains(name), visited.count < ProfileCredentials.visitedMax else {
      throw .credentials(.fatal, "the profiles \((visited + [profile.name, name]).joined(separator: " -> ")) lead in a circle")
    }
    var source = profile
    source.name = name
    let keys = try await ProfileCredentials(
      machine, source, region: region, allowsEnvironment: false, visited: visited + [profile.name]
    ).fetch()
    guard let keys else { throw .credentials(.fatal, "the source_profile \(name) of the profile \(profile.name) has no credentials") }
    return keys
  }

  private func namedSource(_ name: String) async throws(AWSFailure) -> FetchedCredentials {
    let source: any AWSCredentialsSource
    switch name.lowercased() {
    case "environment": source = EnvironmentCredentials(machine)
    case "ecscontainer": source = ContainerCredentials(machine)
    case "ec2instancemetadata": source = InstanceCredentials(machine, profile)
    default:
      throw .credentials(
        .fatal, "the credential_source of the profile \(profile.name) must be Environment, EcsContainer or Ec2InstanceMetadata")
    }
    guard let keys = try await source.fetch() else {
      throw .credentials(.fatal, "the credential_source \(name) of the profile \(profile.name) has no credentials")
    }
    return keys
  }

  // MARK: Web identity

  private func webIdentity() async throws(AWSFailure) -> FetchedCredentials? {
    func setting(_ variable: String, _ key: String) -> String? { (allowsEnvironment ? machine.variable(variable) : nil) ?? profile[key] }
    guard let path = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file") else { return nil }
    guard let role = setting("AWS_ROLE_ARN", "role_arn") else {
      throw .credentials(.fatal, "a web identity token is configured, but no role: set AWS_ROLE_ARN, or role_arn in the profile")
    }
    let file = machine.expanded(path)
    guard let bytes = try await machine.read(file) else {
      throw .credentials(.retriable, "the web identity token \(file) does not exist")
    }
    let token = String(decoding: bytes, as: UTF8.self)
    return try await sts.assumeRole(role, session: setting("AWS_ROLE_SESSION_NAME", "role_session_name"), webIdentity: token)
  }
}
