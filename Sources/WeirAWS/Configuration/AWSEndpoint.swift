import WeirCore

/// Where the requests of a client go.
package struct AWSEndpoint: Sendable, Hashable {
  package var scheme: String
  /// Host, and port unless it is the scheme's own.
  package var authority: String
  /// Empty, or begins with `/` and does not end with one. Not encoded.
  package var path: String
  /// For signatures.
  package var region: String
  /// Configured by a person: buckets are then named in the path unless they ask otherwise.
  package var isCustom: Bool

  /// `https://s3.eu-central-1.amazonaws.com`
  package var text: String { "\(scheme)://\(authority)\(path)" }

  // MARK: Custom ones

  /// - Parameter text: `http://` or `https://`, host, perhaps a port and a path.
  /// - Throws: `fatal`; the text is not shown if it contains a password.
  package init(_ text: String, region: String) throws(AWSFailure) {
    guard let parts = AddressParts(text) else {
      throw .endpoint(
        "not an address of a service: \(text.contains("@") ? "it contains a password" : Printable.text(text, bytesMax: 200)); write https://HOST or https://HOST:PORT, with a port from 1 to 65535"
      )
    }
    // Stores with the interfaces of AWS have names of their own.
    guard HostAddress.isLabel(region.replacing("_", with: "-").replacing(".", with: "-")) else { throw notRegion(region) }
    guard parts.query.isEmpty else { throw .endpoint("the address of a service has no query: \(Printable.text(text, bytesMax: 200))") }
    scheme = parts.scheme
    authority = parts.authority
    var path = parts.path
    while path.hasSuffix("/") { path.removeLast() }
    self.path = path
    self.region = region
    isCustom = true
  }

  private init(host: String, region: String) {
    (scheme, authority, path, isCustom) = ("https", host, "", false)
    self.region = region
  }

  // MARK: AWS's own

  /// Source: botocore 1.44, data/<service>/endpoint-rule-set-1.json.
  /// - Throws: `fatal`: there is no such endpoint.
  static func of(_ service: AWSService, region: String, isFIPS: Bool, isDualStack: Bool) throws(AWSFailure) -> AWSEndpoint {
    guard HostAddress.isLabel(region) else { throw notRegion(region) }
    let partition = AWSPartition.of(region)
    if service == .s3 { return try s3(region, partition, isFIPS: isFIPS, isDualStack: isDualStack) }
    let isGovernment = partition.name == "aws-us-gov"
    // Some of the government's ordinary hosts are FIPS hosts.
    let namesFIPS = isFIPS && !(isGovernment && (isDualStack ? service == .monitoring : plainInGovernment.contains(service)))
    var domain = isDualStack ? partition.dualStackDomain : partition.domain
    if service == .secretsmanager, isDualStack, ["aws", "aws-us-gov"].contains(partition.name) || partition.name == "aws-cn" && !isFIPS {
      domain = partition.domain
    }
    return AWSEndpoint(host: "\(service.hostName)\(namesFIPS ? "-fips" : "").\(region).\(domain)", region: region)
  }

  private static let plainInGovernment: Set<AWSService> = [.dynamodb, .kinesis, .sts, .ssm, .monitoring, .sso]

  private static func s3(_ region: String, _ partition: AWSPartition, isFIPS: Bool, isDualStack: Bool) throws(AWSFailure) -> AWSEndpoint {
    if isFIPS, partition.name == "aws-cn" { throw .endpoint("S3 has no FIPS endpoint in \(region)") }
    return AWSEndpoint(host: "s3\(isFIPS ? "-fips" : "")\(isDualStack ? ".dualstack" : "").\(region).\(partition.domain)", region: region)
  }

}

/// The parts of an http or https address (RFC 3986).
struct AddressParts: Equatable {
  var scheme: String
  /// In brackets if it is IPv6's.
  var host: String
  var port: Int?
  /// Begins with `/`, or is empty.
  var path: String
  /// Without `?`.
  var query = ""

  /// Host, and port unless it is the scheme's own.
  var authority: String {
    guard let port, port != (scheme == "https" ? 443 : 80) else { return host }
    return "\(host):\(port)"
  }

  /// nil: not such an address, or one with a user or a fragment.
  init?(_ text: String) {
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let mark = text.firstRange(of: "://") else { return nil }
    scheme = text[..<mark.lowerBound].lowercased()
    guard scheme == "http" || scheme == "https" else { return nil }
    let rest = text[mark.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard let parts = HostAddress.parts(authority), parts.port != 0, !rest.contains("#") else { return nil }
    host = parts.host.contains(":") ? "[\(parts.host)]" : String(parts.host)
    port = parts.port.map(Int.init)
    let tail = rest[authority.endIndex...]
    path = String(tail.prefix { $0 != "?" })
    query = String(tail.dropFirst(path.count + 1))
  }
}

/// The region is part of host names and signatures.
private func notRegion(_ text: String) -> AWSFailure {
  .endpoint("not a region: \(Printable.text(text, bytesMax: 60)); a region is a name such as eu-central-1, of letters, digits and hyphens")
}

extension AWSFailure {
  static func endpoint(_ message: String) -> AWSFailure { AWSFailure(.fatal, code: "Endpoint", message: message) }
  static func configuration(_ message: String) -> AWSFailure { AWSFailure(.fatal, code: "Configuration", message: message) }
}
