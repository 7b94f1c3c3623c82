import WeirAWS
import WeirCore

/// Clients of AWS with what the environment and the profiles say: keys, region, endpoints, authorities, proxy.
enum AWSWiring {
  /// - Parameters:
  ///   - endpoint: wins over the environment's.
  ///   - region: the same.
  /// - Throws: `config`.
  static func client(of service: AWSService, endpoint: String?, region: String?, _ effects: LakeEffects) async throws(WeirError)
    -> AWSClient
  {
    let machine = SystemAWSMachine.standard(clock: effects.clock, random: effects.random, threads: effects.threads)
    do throws(AWSFailure) {
      return try await AWSConfiguration.load(machine, region: region).client(of: service, endpoint: endpoint, region: region)
    } catch {
      throw WeirError(.config, error.message, advice: "Check the settings of AWS: environment, profiles, endpoint.")
    }
  }
}
