import WeirCore

/// What a request asks for, and which server it is meant for (RFC 9112, section 3.2). Pure.
struct RequestTarget: Sendable, Hashable {
  enum Host: Sendable, Hashable {
    /// HTTP/1.0 without a Host header. A browser always sends one.
    case missing
    /// Lower case, without port, brackets and the dot at the end.
    case named(String)
    /// In words that follow "the request".
    case invalid(String)
  }

  var host: Host
  /// Path and query; empty if there is none.
  var path: Substring

  /// - Parameters:
  ///   - target: as the request line has it: `/path?query`, or `http://host/path?query`, whose host replaces the Host header's.
  ///   - hosts: the values of all Host headers.
  init(_ target: String, hosts: [String], isHTTP10: Bool) {
    let absolute = RequestTarget.absolute(target)
    path = absolute?.path ?? target[...]
    guard hosts.count <= 1 else {
      host = .invalid("has more than one Host header")
      return
    }
    // The header is checked also where the target replaces it: a request that means two servers is a mistake or an attack.
    let header = hosts.first.map { RequestTarget.named($0, "Host header") }
    if case .invalid(let reason)? = header {
      host = .invalid(reason)
    } else if let absolute {
      host = RequestTarget.named(absolute.authority, "target")
    } else if !target.hasPrefix("/"), target != "*" {
      host = .invalid("has a target that is neither a path nor http://HOST/PATH")
    } else {
      host = header ?? (isHTTP10 ? .missing : .invalid("has no Host header"))
    }
  }

  private static func named(_ authority: some StringProtocol, _ place: String) -> Host {
    guard let parts = HostAddress.parts(authority) else { return .invalid("has a \(place) that is not HOST or HOST:PORT") }
    let host = parts.host.lowercased()
    return .named(host.hasSuffix(".") ? String(host.dropLast()) : host)
  }

  /// Of `http://AUTHORITY/PATH`.
  private static func absolute(_ target: String) -> (authority: Substring, path: Substring)? {
    guard let scheme = ["http://", "https://"].first(where: { target.lowercased().hasPrefix($0) }) else { return nil }
    let rest = target.dropFirst(scheme.count)
    let end = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
    return (rest[..<end], rest[end...])
  }
}
