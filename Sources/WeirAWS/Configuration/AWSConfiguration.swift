import WeirCore

/// What the environment and the profiles say about AWS: region, endpoints, keys.
///
/// Read once, when a pipeline starts; keys are fetched when they are needed and renewed for as long as the process runs.
package struct AWSConfiguration: Sendable {
  /// nil: none is configured; clients then need one of their own.
  package private(set) var region: String?
  /// One for all clients, so that keys are fetched once.
  package private(set) var credentials: any AWSCredentialsProvider
  /// Requests of all clients.
  package let counter: AWSRequestCounter
  package var retries = AWSRetrySettings()
  let machine: any AWSMachine
  let profile: AWSProfile

  /// - Parameters:
  ///   - profile: nil: `AWS_PROFILE`, or `default`. A profile that is named here wins over keys in the environment.
  ///   - region: nil: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, that of the EC2 instance.
  /// - Throws: `fatal` for files that cannot be read and profiles that do not exist.
  package static func load(
    _ machine: any AWSMachine, profile: String? = nil, region: String? = nil, counter: AWSRequestCounter = AWSRequestCounter()
  ) async throws(AWSFailure) -> AWSConfiguration {
    let loaded = try await AWSProfile.load(machine, named: profile)
    var found = region ?? machine.variable("AWS_REGION") ?? machine.variable("AWS_DEFAULT_REGION") ?? loaded["region"]
    if found == nil { found = await InstanceMetadata(machine, loaded).region() }
    return try AWSConfiguration(machine, loaded, region: found, counter)
  }

  private init(
    _ machine: any AWSMachine, _ profile: AWSProfile, region: String?, _ counter: AWSRequestCounter
  ) throws(AWSFailure) {
    self.machine = machine
    self.profile = profile
    self.region = region
    self.counter = counter
    retries = try AWSConfiguration.retries(machine, profile)
    let chain = CredentialsChain(machine, profile, region: region)
    credentials = CachedCredentials(chain, clock: machine.clock, random: machine.random)
  }

  /// `AWS_MAX_ATTEMPTS`, `max_attempts`.
  private static func retries(_ machine: any AWSMachine, _ profile: AWSProfile) throws(AWSFailure) -> AWSRetrySettings {
    var settings = AWSRetrySettings()
    guard let text = machine.variable("AWS_MAX_ATTEMPTS") ?? profile["max_attempts"] else { return settings }
    guard let count = Int(text), (1...100).contains(count) else {
      throw .configuration("AWS_MAX_ATTEMPTS is \(Printable.text(text, bytesMax: 40)); it must be a number from 1 to 100")
    }
    settings.attemptsMax = count
    return settings
  }

  // MARK: Endpoints

  /// - Parameters:
  ///   - endpoint: an address that wins over all configured ones.
  ///   - region: nil: the configuration's.
  /// - Throws: `fatal`: no region, an address that is not one, FIPS or dual-stack with an address of one's own.
  package func endpoint(of service: AWSService, endpoint: String? = nil, region: String? = nil) throws(AWSFailure) -> AWSEndpoint {
    guard let region = region ?? self.region else {
      throw .configuration("no AWS region: set AWS_REGION, or region in the profile \(profile.name)")
    }
    let resolver = EndpointResolver(machine, profile)
    return try resolver.endpoint(of: service, region: region, own: endpoint)
  }

  /// A client of a service, with the configuration's keys.
  package func client(of service: AWSService, endpoint: String? = nil, region: String? = nil) throws(AWSFailure) -> AWSClient {
    AWSClient(
      service, try self.endpoint(of: service, endpoint: endpoint, region: region), credentials: credentials,
      parts: .init(transport: machine.transport, clock: machine.clock, random: machine.random, counter: counter), settings: retries)
  }
}

/// One profile, with the files that it is from.
struct AWSProfile: Sendable {
  var name: String
  var config: SharedConfig
  /// Named by the caller, not by the environment.
  var isExplicit: Bool

  /// A key of the profile, in lower case.
  subscript(_ key: String) -> String? { config.profiles[name]?[key].flatMap { $0.isEmpty ? nil : $0 } }

  static func load(_ machine: any AWSMachine, named: String?) async throws(AWSFailure) -> AWSProfile {
    let config = try await SharedConfig.load(machine)
    let name = named ?? machine.variable("AWS_PROFILE") ?? machine.variable("AWS_DEFAULT_PROFILE")
    if let name, config.profiles[name] == nil {
      throw .configuration(
        "there is no profile \(Printable.text(name, bytesMax: 100)) in \(config.configPath) and \(config.credentialsPath)")
    }
    return AWSProfile(name: name ?? "default", config: config, isExplicit: named != nil)
  }
}

/// Addresses of services.
struct EndpointResolver: Sendable {
  private let machine: any AWSMachine
  private let profile: AWSProfile

  init(_ machine: any AWSMachine, _ profile: AWSProfile) {
    self.machine = machine
    self.profile = profile
  }

  /// - Parameter own: wins over all that is configured.
  func endpoint(of service: AWSService, region: String, own: String? = nil) throws(AWSFailure) -> AWSEndpoint {
    let isFIPS = machine.isTrue("AWS_USE_FIPS_ENDPOINT") ?? isTrue("use_fips_endpoint")
    let isDualStack = machine.isTrue("AWS_USE_DUALSTACK_ENDPOINT") ?? isTrue("use_dualstack_endpoint")
    var address = own
    if address == nil { address = try configured(service) }
    guard let text = address else {
      return try AWSEndpoint.of(service, region: region, isFIPS: isFIPS, isDualStack: isDualStack)
    }
    if isFIPS || isDualStack {
      let other = isFIPS ? "FIPS" : "dual-stack"
      throw .endpoint("\(service.rawValue) has a configured endpoint, which cannot be combined with \(other) endpoints: remove one")
    }
    return try AWSEndpoint(text, region: region)
  }

  /// In the order of the SDKs (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
  private func configured(_ service: AWSService) throws(AWSFailure) -> String? {
    if machine.isTrue("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") ?? isTrue("ignore_configured_endpoint_urls") { return nil }
    if let text = machine.variable("AWS_ENDPOINT_URL_\(service.id)") ?? machine.variable("AWS_ENDPOINT_URL") { return text }
    if let name = profile["services"] {
      guard let section = profile.config.services[name] else {
        throw .configuration(
          "the profile \(profile.name) names the section services \(name), which \(profile.config.configPath) does not have")
      }
      if let text = SharedConfigFile.nested(section[service.id.lowercased()] ?? "")["endpoint_url"] { return text }
    }
    return profile["endpoint_url"]
  }

  private func isTrue(_ key: String) -> Bool { profile[key]?.lowercased() == "true" }
}
