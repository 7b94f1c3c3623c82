/// The profiles of the config file and the credentials file.
struct SharedConfig {
  typealias Keys = SharedConfigFile.Keys

  /// Keys of both files; those of the credentials file win.
  private(set) var profiles: [String: Keys] = [:]
  /// Of the config file alone.
  private(set) var configProfiles: [String: Keys] = [:]
  /// Of the credentials file alone.
  private(set) var credentialProfiles: [String: Keys] = [:]
  private(set) var ssoSessions: [String: Keys] = [:]
  private(set) var services: [String: Keys] = [:]
  /// Paths, for errors.
  private(set) var configPath = ""
  private(set) var credentialsPath = ""

  init() {}

  /// Reads `AWS_CONFIG_FILE` (`~/.aws/config`) and `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`). Missing files are empty.
  static func load(_ machine: any AWSMachine) async throws(AWSFailure) -> SharedConfig {
    var all = SharedConfig()
    all.configPath = machine.expanded(machine.variable("AWS_CONFIG_FILE") ?? "~/.aws/config")
    all.credentialsPath = machine.expanded(machine.variable("AWS_SHARED_CREDENTIALS_FILE") ?? "~/.aws/credentials")
    if let bytes = try await machine.read(all.configPath) { all.add(config: try SharedConfigFile(bytes, place: all.configPath)) }
    if let bytes = try await machine.read(all.credentialsPath) {
      all.add(credentials: try SharedConfigFile(bytes, place: all.credentialsPath))
    }
    return all
  }

  /// `[default]`, `[profile NAME]`, `[sso-session NAME]`, `[services NAME]`; all other sections are of no meaning here.
  mutating func add(config file: SharedConfigFile) {
    for name in file.names {
      let keys = file.keys(name)
      let words = ShellWords.split(name) ?? []
      switch (words.first, words.count) {
      case ("profile", 2): configProfiles[words[1]] = keys
      case ("sso-session", 2): ssoSessions[words[1]] = keys
      case ("services", 2): services[words[1]] = keys
      case ("default", 1): configProfiles["default"] = keys
      default: break
      }
    }
    merge()
  }

  /// Every section is a profile.
  mutating func add(credentials file: SharedConfigFile) {
    for name in file.names { credentialProfiles[name] = file.keys(name) }
    merge()
  }

  private mutating func merge() { profiles = configProfiles.merging(credentialProfiles) { $0.merging($1) { $1 } } }
}
