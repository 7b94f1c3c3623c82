import Dispatch
import Synchronization
import WeirAWS
import WeirCore
import WeirKafka
import WeirLocal

/// `sasl: {mechanism: AWS_MSK_IAM}`: tokens for Amazon MSK, signed with the keys of AWS that the worker has.
///
/// A client asks for a token on its own thread, at its start and when four fifths of a token's 15 minutes are over. Keys come from AWS's
/// chain, which renews them; what the environment and the profiles say is read once.
final class MSKSigner: Sendable {
  private let region: String?
  private let clock = SystemClock()

  /// - Parameter region: of the cluster; nil: the configured one.
  init(region: String?) { self.region = region }

  static func tokens(region: String?) -> KafkaTokens {
    let signer = MSKSigner(region: region)
    return KafkaTokens("IAM token\(region.map { " for \($0)" } ?? "")") { () throws(WeirError) in try signer.token() }
  }

  /// Blocks its thread, which is none of the pool, until the keys are there: some seconds at most, by the time limits of their services.
  private func token() throws(WeirError) -> KafkaTokens.Token {
    let answer = Answer()
    Task {
      let result = await signed()
      answer.result.withLock { $0 = result }
      answer.isThere.signal()
    }
    answer.isThere.wait()
    guard let result = answer.result.withLock({ $0 }) else { throw WeirError(.internal, "a token was signalled and is not there") }
    return try result.get()
  }

  private final class Answer: Sendable {
    let result = Mutex<Result<KafkaTokens.Token, WeirError>?>(nil)
    let isThere = DispatchSemaphore(value: 0)
  }

  private func signed() async -> Result<KafkaTokens.Token, WeirError> {
    do throws(AWSFailure) {
      let configuration = try await AWSWiring.configuration(region: region)
      guard let region = region ?? configuration.region else {
        return .failure(
          WeirError(
            .config, "no region is known for AWS_MSK_IAM", advice: "Write sasl: {mechanism: AWS_MSK_IAM, region: …}, or set AWS_REGION."))
      }
      let keys = try await configuration.credentials.credentials()
      let signed = MSKToken.sign(region: region, credentials: keys, at: clock.wallMicroseconds / 1_000_000)
      return .success(KafkaTokens.Token(signed.token, expirySeconds: signed.expiresAt))
    } catch {
      return .failure(WeirError(error.kind == .retriable ? .unavailable : .config, "no keys for AWS_MSK_IAM: \(error.message)"))
    }
  }
}
