import WeirCore

/// The place of a state table on a Redis server: an address that names secrets and holds none, such as
/// `redis://cache:6379/0?prefix=ads&password_env=REDIS_PASSWORD`. It is what commands accept, and what messages show.
extension RedisSettings {
  /// Parameters of an address, as a command line or another process passes them on.
  private enum Parameter: String, CaseIterable {
    case prefix, timeout_ms, user_env, user_file, user_aws, password_env, password_file, password_aws, url_env
    case ca, certificate, key_env, key_file, key_aws, key_password_env, key_password_file, key_password_aws, verify_host
  }

  /// Whether a place is on a Redis server.
  package static func accepts(_ place: String) -> Bool { RedisAddress.isMeant(place) }

  /// Reads what ``place`` wrote, or a user.
  package init(place text: String) throws(RedisSettingProblem) {
    let address = try RedisAddress(text)
    try self.init(address)
    for (name, value) in address.parameters { try set(name, value) }
    guard host.isEmpty == (addressVariable != nil) else {
      throw addressVariable == nil
        ? RedisAddress.withoutServer
        : RedisSettingProblem(reason: "the server is named twice", advice: "Leave url_env or the host out.")
    }
    if let problem = problems.first { throw problem }
  }

  /// Without the parameters.
  /// - Throws: if a password is in it.
  package init(_ address: RedisAddress) throws(RedisSettingProblem) {
    guard address.password == nil else {
      throw RedisSettingProblem(
        reason: "a password must not be in the address",
        advice: "Name the environment variable or the file that holds it (password_env=NAME or password_file=PATH in an address).")
    }
    self.init(host: address.host)
    (user, port, database) = (address.user, address.port ?? RedisSettings.defaultPort, address.database ?? 0)
    if address.isTLS { tls = TLSSpec() }
  }

  /// With everything that is not a secret.
  package var place: String {
    var parameters: [(Parameter, String)] = []
    func name(_ secret: SecretSpec?, _ variable: Parameter, _ file: Parameter, _ stored: Parameter) {
      switch secret {
      case .environment(let name): parameters.append((variable, name))
      case .file(let path): parameters.append((file, path))
      case .stored(let secret): parameters.append((stored, secret.text))
      case nil: break
      }
    }
    if prefix != RedisSettings.defaultPrefix { parameters.append((.prefix, prefix)) }
    if replyMilliseconds != RedisSettings.defaultReplyMilliseconds { parameters.append((.timeout_ms, String(replyMilliseconds))) }
    if let addressVariable { parameters.append((.url_env, addressVariable)) }
    name(userSecret, .user_env, .user_file, .user_aws)
    name(password, .password_env, .password_file, .password_aws)
    if let tls {
      if let authorities = tls.authorities { parameters.append((.ca, authorities)) }
      if let certificate = tls.certificate { parameters.append((.certificate, certificate)) }
      name(tls.key, .key_env, .key_file, .key_aws)
      name(tls.keyPassword, .key_password_env, .key_password_file, .key_password_aws)
      if !tls.checksHostName { parameters.append((.verify_host, "false")) }
    }
    let user = user.map { RedisAddress.encoded($0) + "@" } ?? ""
    let server = addressVariable == nil ? "\(user)\(hostAndPort)/\(database)" : ""
    let query = parameters.map { "\($0.0.rawValue)=\(RedisAddress.encoded($0.1))" }.joined(separator: "&")
    return "\(tls == nil ? "redis" : "rediss")://\(server)\(query.isEmpty ? "" : "?" + query)"
  }

  private mutating func set(_ name: String, _ value: String) throws(RedisSettingProblem) {
    guard let parameter = Parameter(rawValue: name) else {
      throw RedisSettingProblem(
        reason: "the address has an unknown parameter",
        advice: "The parameters are \(Parameter.allCases.map(\.rawValue).joined(separator: ", ")).")
    }
    guard !value.isEmpty else {
      throw RedisSettingProblem(reason: "the parameter \(name) of the address has no value", advice: "Give it a value or leave it out.")
    }
    switch parameter {
    case .prefix:
      if let problem = RedisSettings.problem(ofPrefix: value) { throw problem }
      prefix = value
    case .timeout_ms:
      guard let number = Int64(value) else {
        throw RedisSettingProblem(reason: "timeout_ms is not a number of milliseconds", advice: "Write a number, such as 15000.")
      }
      replyMilliseconds = number
    case .user_env: userSecret = .environment(value)
    case .user_file: userSecret = .file(value)
    case .password_env: password = .environment(value)
    case .password_file: password = .file(value)
    case .user_aws: userSecret = try RedisSettings.stored(parameter, value)
    case .password_aws: password = try RedisSettings.stored(parameter, value)
    case .url_env: addressVariable = value
    default: try setTLS(parameter, value)
    }
  }

  private static func stored(_ parameter: Parameter, _ value: String) throws(RedisSettingProblem) -> SecretSpec {
    guard let secret = StoredSecret(text: value) else {
      throw RedisSettingProblem(
        reason: "\(parameter.rawValue) does not name a secret of AWS", advice: "Write secretsmanager:NAME#MEMBER or ssm:NAME.")
    }
    return .stored(secret)
  }

  private mutating func setTLS(_ parameter: Parameter, _ value: String) throws(RedisSettingProblem) {
    guard tls != nil else {
      throw RedisSettingProblem(
        reason: "the parameter \(parameter.rawValue) is of TLS, and the address begins with redis://", advice: "Write rediss:// for TLS.")
    }
    switch parameter {
    case .ca: tls?.authorities = value
    case .certificate: tls?.certificate = value
    case .key_env: tls?.key = .environment(value)
    case .key_file: tls?.key = .file(value)
    case .key_password_env: tls?.keyPassword = .environment(value)
    case .key_password_file: tls?.keyPassword = .file(value)
    case .key_aws: tls?.key = try RedisSettings.stored(parameter, value)
    case .key_password_aws: tls?.keyPassword = try RedisSettings.stored(parameter, value)
    default:
      guard value == "true" || value == "false" else {
        throw RedisSettingProblem(reason: "verify_host is neither true nor false", advice: "Write one of them.")
      }
      tls?.checksHostName = value == "true"
    }
  }
}

extension RedisSettings {
  /// What a client connects to.
  package struct Resolved: Sendable {
    package var settings: RedisSettings
    /// Of the address in the environment variable; never shown.
    package var password: String?
  }

  /// With the address that the environment variable has, where one is named.
  /// - Parameter variable: reads a variable; nil: it is not set.
  package func resolved(_ variable: (String) -> String?) throws(RedisSettingProblem) -> Resolved {
    guard let addressVariable else { return Resolved(settings: self) }
    guard let text = variable(addressVariable), !text.isEmpty else {
      throw RedisSettingProblem(
        reason: "the environment variable \(addressVariable) is not set, or empty", advice: "Set it to redis://HOST:PORT/N.")
    }
    var address = try RedisAddress(text)
    guard address.parameters.isEmpty else {
      throw RedisSettingProblem(
        reason: "the address in \(addressVariable) has parameters", advice: "Leave out what follows the question mark.")
    }
    guard !address.host.isEmpty else { throw RedisAddress.withoutServer }
    guard tls == nil || address.isTLS else {
      throw RedisSettingProblem(
        reason: "there are settings for TLS, and the address in \(addressVariable) begins with redis://",
        advice: "Write rediss:// for TLS.")
    }
    let secret = address.password
    address.password = nil
    let server = try RedisSettings(address)
    var settings = self
    (settings.host, settings.port, settings.database) = (server.host, server.port, server.database)
    if settings.userSecret == nil { settings.user = server.user }
    settings.tls = tls ?? server.tls
    if secret == nil, let problem = settings.problems.first { throw problem }
    return Resolved(settings: settings, password: secret)
  }
}
