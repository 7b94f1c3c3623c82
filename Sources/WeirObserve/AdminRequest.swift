import WeirCore
import WeirPlan
import WeirReport

/// A request, as far as the admin endpoints look at one.
package struct AdminRequest: Sendable {
  package var method: String
  /// Decoded parts of the path; empty ones only below `/state`.
  package var path: [String]
  /// Values by name, in their order.
  package var query: [(name: String, value: String)]
  /// A browser sent it, on behalf of a page.
  package var hasOrigin: Bool
  /// The server that it is meant for.
  var host: RequestTarget.Host
  /// The token of `Authorization: Bearer`.
  package var bearer: String?
  /// A part of the path, or of the query, that is no UTF-8 or ends in the middle of an escape.
  package var isMalformed: Bool

  /// - Parameters:
  ///   - target: as the request line has it.
  ///   - hosts: the values of all Host headers.
  ///   - isHTTP10: the request may lack a Host header.
  ///   - authorization: the header's value.
  package init(
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

package struct AdminResponse: Sendable {
  package var status: Int
  package var contentType: String
  package var body: [UInt8]
  /// The methods that would be right, where the one of the request was not.
  package var allow: String?
  /// `WWW-Authenticate`.
  package var authenticate: String?

  static func json(_ status: Int, _ value: JSONValue, allow: String? = nil) -> AdminResponse {
    AdminResponse(
      status: status, contentType: "application/json", body: Array(TerminalText.escape(value.bytes[...])) + [0x0A], allow: allow)
  }

  /// To a request that no route sees.
  /// - Parameter why: in words.
  package static func malformed(_ why: String) -> AdminResponse { error(400, "malformed", why) }

  static func error(_ status: Int, _ code: String, _ message: String, allow: String? = nil) -> AdminResponse {
    json(status, .members(["error": .string(code), "message": .string(message)]), allow: allow)
  }
}

/// An HTTP server for the admin endpoints.
package protocol AdminHost: Sendable {
  /// Binds and serves until ``stop()``. Returns the port.
  /// - Throws: `admin` when the address cannot be had.
  func start(_ address: AdminAddress, respond: @escaping @Sendable (AdminRequest) async -> AdminResponse) async throws -> Int
  func stop() async
}
