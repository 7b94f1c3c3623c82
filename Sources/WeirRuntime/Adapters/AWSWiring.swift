import WeirAWS
import WeirCore
import WeirLocal

/// What the environment and the profiles say of AWS (keys, region, endpoints, authorities, proxy), read once for all services of the process:
/// they share one chain of keys, and one thread for their connections.
actor AWSWiring {
  private static let shared = AWSWiring()

  private let machine = SystemAWSMachine.standard(clock: SystemClock(), random: SystemRandom(), threads: BlockingThreads(count: 1))
  /// By the region that is asked for; nil: the configured one.
  private var loaded: [String?: AWSConfiguration] = [:]

  /// - Parameter region: wins over the environment's.
  /// - Throws: `fatal` for files that cannot be read and profiles that do not exist; the next call tries again.
  static func configuration(region: String?) async throws(AWSFailure) -> AWSConfiguration { try await shared.configuration(region) }

  private func configuration(_ region: String?) async throws(AWSFailure) -> AWSConfiguration {
    if let known = loaded[region] { return known }
    let made = try await AWSConfiguration.load(machine, region: region)
    // Another call may have read it meanwhile.
    let kept = loaded[region] ?? made
    loaded[region] = kept
    return kept
  }

  /// - Parameters:
  ///   - endpoint: wins over the environment's.
  ///   - region: the same.
  /// - Throws: `config`.
  static func client(of service: AWSService, endpoint: String?, region: String?) async throws(WeirError) -> AWSClient {
    do throws(AWSFailure) {
      return try await configuration(region: region).client(of: service, endpoint: endpoint, region: region)
    } catch {
      throw WeirError(.config, error.message, advice: "Check the settings of AWS: environment, profiles, endpoint.")
    }
  }
}
