import WeirCore

/// `store: {dynamodb: TABLE}`, as a plan holds it. Apart from the table itself, so that plans link no client.
package struct DynamoDBSettings: StateTableSettings {
  package static let adapter = "dynamodb"

  /// The table's name: 3 to 255 characters of `a-z A-Z 0-9 _ - .` (DynamoDB, "Naming rules").
  package var table: String
  /// nil: as the environment and the shared configuration say.
  package var region: String?
  /// Another address than the service's own, such as that of a local server.
  package var endpoint: String?
  /// Makes the table where it is missing.
  package var create: Bool

  package init(table: String, region: String? = nil, endpoint: String? = nil, create: Bool = true) {
    (self.table, self.region, self.endpoint, self.create) = (table, region, endpoint, create)
  }

  /// Whether DynamoDB takes a name for a table.
  package static func isName(_ text: String) -> Bool {
    (3...255).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
      }
  }

  // MARK: Place

  private static let scheme = "dynamodb://"

  /// Whether a text, such as the command line has it, names a table of this kind.
  package static func accepts(_ place: String) -> Bool { place.lowercased().hasPrefix(scheme) }

  /// `dynamodb://TABLE`, with what differs from the environment: `?region=REGION&endpoint=URL&create=false`.
  package var place: String {
    let parameters = [region.map { "region=\($0)" }, endpoint.map { "endpoint=\($0)" }, create ? nil : "create=false"].compactMap { $0 }
    return DynamoDBSettings.scheme + table + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
  }

  /// Reads ``place``.
  /// - Throws: what is wrong with it.
  package init(place: String) throws(DynamoDBSettingProblem) {
    let parts = place.dropFirst(DynamoDBSettings.scheme.count).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(table: String(parts[0]))
    for parameter in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let pair = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      switch (pair[0], pair.count > 1 ? pair[1] : "") {
      case ("region", let value): region = value
      case ("endpoint", let value): endpoint = value
      case ("create", "true"): create = true
      case ("create", "false"): create = false
      default: throw DynamoDBSettingProblem(setting: nil, reason: "\(parameter) is not one of region=, endpoint= and create=true|false")
      }
    }
    if let problem { throw problem }
  }

  /// nil: all settings can be right.
  package var problem: DynamoDBSettingProblem? {
    guard DynamoDBSettings.isName(table) else {
      return DynamoDBSettingProblem(
        setting: "table", reason: "a DynamoDB table's name has 3 to 255 letters, digits, underscores, hyphens and dots")
    }
    if let region, !HostAddress.isLabel(region) {
      return DynamoDBSettingProblem(setting: "region", reason: "a region is a name such as eu-central-1")
    }
    if let endpoint, !HostAddress.isWebAddress(endpoint) {
      return DynamoDBSettingProblem(
        setting: "endpoint",
        reason:
          "an endpoint is an address http://HOST:PORT or https://HOST, with a port up to 65535, without user and parameters")
    }
    return nil
  }
}

/// What is wrong with a setting.
package struct DynamoDBSettingProblem: Error, Sendable {
  /// nil: with the place as a whole.
  package var setting: String?
  package var reason: String
}
