import WeirAWS

/// How long a command waits for services.
package enum ServicePatience {
  /// Runs a command that only looks: a service that does not answer fails it within seconds, and is asked once.
  package static func looking<T>(_ body: () async throws -> T) async rethrows -> T { try await AWSPatience.looking(body) }
}
