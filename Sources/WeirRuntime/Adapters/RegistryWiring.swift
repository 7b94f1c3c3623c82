import WeirCore
import WeirLocal
import WeirRegistry

/// A plan's schema registry as the adapter's.
package enum RegistryWiring {
  /// Requests at once; each thread may wait for one.
  private static let threads = 2

  /// What the engine asks for schemas; nil for a plan whose records carry no ids.
  package static func environment(_ plan: Plan, tell: @escaping @Sendable (WeirError) -> Void) -> RegistryEnvironment? {
    guard plan.record.recordFormat.carriesSchemaIDs, let spec = plan.record.registry else { return nil }
    let transport = CurlTransport(threads: BlockingThreads(count: threads), tls: spec.tls.map(tls))
    return RegistryEnvironment(
      registry: ConfluentRegistry(
        url: spec.url, identity: spec.identity.map(identity), transport: transport,
        refused: SecretService.refusal(of: spec.secrets)), tell: tell)
  }

  private static func identity(_ spec: RegistrySpec.Identity) -> ConfluentRegistry.Identity {
    switch spec {
    case .basic(let user, let password): .basic(user: value(user), password: value(password))
    case .bearer(let token): .bearer(value(token))
    }
  }

  /// Before each request. A value that the registry refuses is read again where that may help.
  private static func value(_ spec: SecretSpec) -> ConfluentRegistry.Identity.Text {
    {
      do throws(WeirError) { return try await spec.value() } catch {
        throw WeirError(error.code == .unavailable ? .unavailable : .registry, error.message, advice: error.advice)
      }
    }
  }

  private static func tls(_ spec: TLSSpec) -> CurlTransport.TLS {
    var tls = CurlTransport.TLS()
    tls.authorities = spec.authorities
    tls.certificate = spec.certificate
    tls.key = spec.key.map(text)
    tls.keyPassword = spec.keyPassword.map(text)
    tls.checksHostName = spec.checksHostName
    return tls
  }

  /// Read when it is used, on a thread that may block; an error names the place and never the value.
  private static func text(_ spec: SecretSpec) -> @Sendable () throws -> String {
    {
      do throws(WeirError) { return try spec.read() } catch {
        throw WeirError(.registry, error.message, advice: error.advice)
      }
    }
  }
}
