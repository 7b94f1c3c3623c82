import WeirCore

/// The settings of a plan, `lake: {path: s3://…, s3: {region: …}}`, as texts by name.
extension S3Settings {
  /// What a pipeline file may set.
  package enum Option: String, Sendable, CaseIterable {
    case region, endpoint, sse
    case kmsKey = "kms_key"
    case bucketKey = "bucket_key"
    case pathStyle = "path_style"
    case checksum
  }

  /// - Parameter options: by ``Option``.
  /// - Throws: `config`: an option is unknown, or its value is none that it may have.
  package init(_ location: S3Location, options: [String: String]) throws(WeirError) {
    self.init(location)
    for name in options.keys.sorted() {
      guard let option = Option(rawValue: name), let text = options[name] else {
        throw S3Settings.refused("\(name) is unknown", "It may have \(Option.allCases.map(\.rawValue).joined(separator: ", ")).")
      }
      try set(option, text, options)
    }
  }

  private mutating func set(_ option: Option, _ text: String, _ options: [String: String]) throws(WeirError) {
    switch option {
    case .region:
      // Stores with the interface of S3 have names of their own.
      guard HostAddress.isLabel(text.replacing("_", with: "-").replacing(".", with: "-")) else {
        throw S3Settings.refused("region is \(Printable.text(text, bytesMax: 100))", "A region is a name such as eu-central-1.")
      }
      region = text
    case .endpoint:
      guard HostAddress.isWebAddress(text) else {
        throw S3Settings.refused("endpoint is \(Printable.text(text, bytesMax: 100))", "Write https://HOST:PORT, with a port up to 65535.")
      }
      endpoint = text
    case .sse: encryption = try S3Settings.encryption(text, options)
    case .kmsKey, .bucketKey:
      if options[Option.sse.rawValue] != "aws:kms" {
        throw S3Settings.refused("\(option.rawValue) without a key of KMS", "Set sse: aws:kms.")
      }
      if option == .bucketKey { _ = try S3Settings.bool(option, text) }
    case .pathStyle: usesPathStyle = try S3Settings.bool(option, text)
    case .checksum:
      guard text == "sha256" || text == "none" else { throw S3Settings.refused("checksum is \(text)", "It may be sha256 or none.") }
      sendsChecksums = text == "sha256"
    }
  }

  private static func encryption(_ text: String, _ options: [String: String]) throws(WeirError) -> Encryption {
    switch text {
    case "none": return .bucketDefault
    case "AES256": return .s3
    case "aws:kms":
      let bucketKey = options[Option.bucketKey.rawValue]
      return .kms(
        key: options[Option.kmsKey.rawValue], bucketKey: bucketKey == nil ? nil : try bool(.bucketKey, bucketKey ?? ""))
    default: throw refused("sse is \(Printable.text(text, bytesMax: 40))", "It may be none, AES256 or aws:kms.")
    }
  }

  private static func bool(_ option: Option, _ text: String) throws(WeirError) -> Bool {
    guard text == "true" || text == "false" else {
      throw refused("\(option.rawValue) is \(Printable.text(text, bytesMax: 40))", "It may be true or false.")
    }
    return text == "true"
  }

  private static func refused(_ what: String, _ advice: String) -> WeirError {
    WeirError(.config, "the settings of S3: \(what)", advice: Wording(advice))
  }
}
