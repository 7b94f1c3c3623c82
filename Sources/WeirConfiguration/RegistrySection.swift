import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// `record: {format, registry}`.
extension PipelineLoader {
  func loadFormat(_ members: [String: Node]) {
    builder.format(
      members["format"].map(format) ?? RecordFormats.byDefault.format, at: members["format"]?.span,
      registry: members["registry"].flatMap(registry), hasRegistry: members["registry"] != nil, registrySpan: members["registry"]?.span)
  }

  private func registry(_ node: Node) -> RegistrySpec? {
    let what = "record.registry"
    let members = reader.mapping(node, what, .registry)
    guard let at = reader.required(members, "url", of: what, at: node), let url = text(at, "\(what).url") else { return nil }
    guard !url.contains("@"), !url.contains("?") else {
      reader.report(
        "\(what).url: a secret must not be in an address: use user: {env: NAME}, password: {env: NAME}, or token", "bad_value", at: at)
      return nil
    }
    guard PipelineLoader.isRegistry(url) else {
      reader.report("\(what).url: \(shown(url, at)) is not an address such as http://host:8081", "bad_value", at: at)
      return nil
    }
    var spec = RegistrySpec(url: url.hasSuffix("/") ? String(url.dropLast()) : url)
    spec.tls = members["tls"].map { tls($0, "\(what).tls") }
    spec.identity = identity(members, what, node)
    return spec
  }

  /// `http://` or `https://`, a host, perhaps a port and a path.
  private static func isRegistry(_ url: String) -> Bool {
    guard let scheme = ["http://", "https://"].first(where: url.hasPrefix), url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 })
    else {
      return false
    }
    return HostAddress.parts(url.dropFirst(scheme.utf8.count).prefix { $0 != "/" }).map { $0.port != 0 } ?? false
  }

  private func identity(_ members: [String: Node], _ what: String, _ node: Node) -> RegistrySpec.Identity? {
    if let token = members["token"] {
      if members["user"] != nil { reader.report("\(what): either user and password, or token, not both", "bad_value", at: token) }
      return secret(token, "\(what).token").map { .bearer($0) }
    }
    guard members["user"] != nil || members["password"] != nil else { return nil }
    guard let user = reader.required(members, "user", of: what, at: node),
      let password = reader.required(members, "password", of: what, at: node)
    else { return nil }
    guard let user = secret(user, "\(what).user"), let password = secret(password, "\(what).password") else { return nil }
    return .basic(user: user, password: password)
  }
}
