import WeirCore
import WeirPlan
import WeirRuntime

/// Who may ask the admin endpoints what. Pure.
///
///     host of the request: an IP address, localhost, the host of `listen`, or one of `hosts`; else 421, for every route;
///     400 if it is malformed, missing (HTTP/1.1) or named twice
///     probes: no token      /metrics: a token if `metrics_token`      everything else: the token, if there is one
struct AdminAccess: Sendable {
  /// What a route needs.
  enum Need: Sendable { case nothing, metricsToken, token }

  /// Lower case, without a port.
  let hosts: Set<String>
  /// nil: nobody is asked for one.
  private(set) var token: [UInt8]?
  /// Where the token is, if it may change while the worker runs.
  private let renewable: SecretSpec?
  let protectsMetrics: Bool

  /// - Throws: `config` when an address that other machines reach has no token and is not called insecure, and when the token is not
  ///   there or too short.
  init(_ spec: AdminSpec, _ address: AdminAddress) throws {
    hosts = Set((spec.hosts ?? []).map { $0.lowercased() } + [address.host.lowercased()])
    protectsMetrics = spec.protectsMetrics ?? false
    guard let place = spec.token else {
      (token, renewable) = (nil, nil)
      guard address.isLoopback || spec.isInsecure == true else { throw AdminToken.missing(at: address) }
      return
    }
    let secret: String
    do throws(WeirError) { if let known = place.known { secret = known } else { secret = try place.read() } } catch {
      throw WeirError(.config, "admin.token: \(error.message)", advice: error.advice)
    }
    if let weakness = AdminToken.weakness(secret) { throw weakness }
    token = Array(secret.utf8)
    renewable = if case .stored = place { place } else { nil }
  }

  /// With the token that is known by now. One that is too weak is not taken.
  var renewed: AdminAccess {
    guard let text = renewable?.renewed, AdminToken.weakness(text) == nil else { return self }
    var access = self
    access.token = Array(text.utf8)
    return access
  }

  /// Why a request is refused; nil: it is not.
  func refusal(of request: AdminRequest, needs need: Need) -> AdminResponse? {
    switch request.host {
    // HTTP/1.0 has no Host header, and no browser speaks it.
    case .missing: break
    case .invalid(let reason): return .error(400, "host", "the request \(reason)")
    // A web page that makes a browser resolve its own name to this address (DNS rebinding) sends that name.
    case .named(let host):
      guard accepts(host) else {
        return .error(421, "host", "this server does not have that host name; admin: {hosts: [NAME]} in the pipeline adds one")
      }
    }
    guard let token, need == .token || need == .metricsToken && protectsMetrics else { return nil }
    guard let given = request.bearer, AdminAccess.equal(Array(given.utf8), token) else {
      var response = AdminResponse.error(401, "token", "this needs the header Authorization: Bearer TOKEN, with the token of admin.token")
      response.authenticate = "Bearer"
      return response
    }
    return nil
  }

  /// - Parameter host: lower case, without a port.
  private func accepts(_ host: String) -> Bool { host == "localhost" || hosts.contains(host) || HostAddress.isAddress(host) }

  /// In a time that depends on the length of `given` alone.
  static func equal(_ given: [UInt8], _ wanted: [UInt8]) -> Bool {
    precondition(!wanted.isEmpty)
    var difference: UInt8 = given.count == wanted.count ? 0 : 1
    for i in given.indices { difference |= given[i] ^ wanted[i % wanted.count] }
    return difference == 0
  }
}
