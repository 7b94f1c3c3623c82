import WeirCore

/// Where the admin server listens.
public struct AdminAddress: Sendable, Hashable {
  public static let portDefault = 9464
  public var host: String
  /// 0: any free one.
  public var port: Int

  /// Reads `HOST:PORT`, `[IPV6]:PORT`, `HOST` or `PORT`; what is left out is 127.0.0.1 and 9464.
  /// - Throws: `config`.
  public init(_ text: String) throws(WeirError) {
    let isPort = !text.isEmpty && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
    // `:PORT` and `PORT` leave out the host.
    let whole = isPort ? "127.0.0.1:" + text : text.hasPrefix(":") ? "127.0.0.1" + text : text.isEmpty ? "127.0.0.1" : text
    guard let parts = HostAddress.parts(whole) else {
      throw WeirError(.config, "\(text) is not an address: HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    }
    host = String(parts.host)
    port = parts.port.map(Int.init) ?? AdminAddress.portDefault
  }

  public var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  /// Only programs of this machine get in.
  public var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") && HostAddress.isAddress(host) }
}

/// A request, as far as the admin endpoints look at one.
public struct AdminRequest: Sendable {
  public var method: String
  /// Decoded parts of the path; empty ones only below `/state`.
  public var path: [String]
  /// Values by name, in their order.
  public var query: [(name: String, value: String)]
  /// A browser sent it, on behalf of a page.
  public var hasOrigin: Bool
  /// The server that it is meant for.
  var host: RequestTarget.Host
  /// The token of `Authorization: Bearer`.
  public var bearer: String?
  /// A part of the path, or of the query, that is no UTF-8 or ends in the middle of an escape.
  public var isMalformed: Bool

  /// - Parameters:
  ///   - target: as the request line has it.
  ///   - hosts: the values of all Host headers.
  ///   - isHTTP10: the request may lack a Host header.
  ///   - authorization: the header's value.
  public init(
    method: String, target: String, hosts: [String], isHTTP10: Bool = false, hasOrigin: Bool = false, authorization: String? = nil
  ) {
    self.method = method
    self.hasOrigin = hasOrigin
    let parsed = RequestTarget(target, hosts: hosts, isHTTP10: isHTTP10)
    host = parsed.host
    if let authorization, authorization.prefix(7).lowercased() == "bearer " { bearer = String(authorization.dropFirst(7)) }
    let halves = parsed.path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    let all = (halves.first ?? "").split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    // A key may be the empty text; elsewhere a slash at the end says nothing.
    let parts = (all.first == "state" ? Array(all) : all.filter { !$0.isEmpty }).map(AdminRequest.decode)
    let pairs = (halves.count > 1 ? halves[1] : "").split(separator: "&").map { pair -> (String?, String?) in
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (AdminRequest.decode(sides[0]), AdminRequest.decode(sides.count > 1 ? sides[1] : ""))
    }
    path = parts.compactMap { $0 }
    query = pairs.compactMap { name, value in name.flatMap { name in value.map { (name, $0) } } }
    isMalformed = path.count != parts.count || query.count != pairs.count
  }

  /// Undoes percent-encoding; nil if there is no text behind it.
  private static func decode(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

public struct AdminResponse: Sendable {
  public var status: Int
  public var contentType: String
  public var body: [UInt8]
  /// The methods that would be right, where the one of the request was not.
  public var allow: String?
  /// `WWW-Authenticate`.
  public var authenticate: String?

  static func json(_ status: Int, _ value: JSONValue, allow: String? = nil) -> AdminResponse {
    AdminResponse(
      status: status, contentType: "application/json", body: Array(TerminalText.escape(value.bytes[...])) + [0x0A], allow: allow)
  }

  static func error(_ status: Int, _ code: String, _ message: String, allow: String? = nil) -> AdminResponse {
    json(status, .members(["error": .string(code), "message": .string(message)]), allow: allow)
  }
}

/// An HTTP server for the admin endpoints.
public protocol AdminHost: Sendable {
  /// Binds and serves until ``stop()``. Returns the port.
  /// - Throws: `admin` when the address cannot be had.
  func start(_ address: AdminAddress, respond: @escaping @Sendable (AdminRequest) async -> AdminResponse) async throws -> Int
  func stop() async
}
