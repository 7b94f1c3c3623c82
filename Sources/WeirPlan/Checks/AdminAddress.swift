import WeirCore

/// Where the admin server listens.
package struct AdminAddress: Sendable, Hashable {
  package static let portDefault = 9464
  package var host: String
  /// 0: any free one.
  package var port: Int

  /// Reads `HOST:PORT`, `[IPV6]:PORT`, `HOST` or `PORT`; what is left out is 127.0.0.1 and 9464.
  /// - Throws: `config`.
  package init(_ text: String) throws(WeirError) {
    let isPort = !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    // `:PORT` and `PORT` leave out the host.
    let whole = isPort ? "127.0.0.1:" + text : text.hasPrefix(":") ? "127.0.0.1" + text : text.isEmpty ? "127.0.0.1" : text
    guard let parts = HostAddress.parts(whole) else {
      throw WeirError(.config, "\(text) is not an address: HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    }
    host = String(parts.host)
    port = parts.port.map(Int.init) ?? AdminAddress.portDefault
  }

  package var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  /// Only programs of this machine get in.
  package var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") && HostAddress.isAddress(host) }
}

/// The secret that the admin server asks for.
package enum AdminToken {
  /// Shorter tokens can be guessed.
  package static let bytesMin = 16

  /// Why a token cannot be used; nil: it can.
  package static func weakness(_ token: String) -> WeirError? {
    if token.utf8.count < bytesMin {
      return WeirError(
        .config, "admin.token: the token is shorter than \(bytesMin) bytes",
        advice: "Make one, for instance with `openssl rand -hex 32`.")
    }
    // Clients and proxies drop spaces at the ends of a header, and cannot send control characters.
    guard token.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
      return WeirError(
        .config, "admin.token: the token has a space, a line end or a control character, which an Authorization header cannot carry",
        advice: "Make one, for instance with `openssl rand -hex 32`.")
    }
    return nil
  }

  /// An address that other machines reach needs a token.
  package static func missing(at address: AdminAddress) -> WeirError {
    WeirError(
      .config, "\(address.text) can be reached from other machines, and no token is set",
      advice: "Set admin: {token: {env: NAME}}, listen on 127.0.0.1, or write admin: {insecure: true} where only trusted programs reach it."
    )
  }
}
