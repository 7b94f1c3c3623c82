import Synchronization
import WeirCore

/// When keys are fetched: pure.
///
///     none, refused, expired      callers wait for the fetch that runs, or for a new one
///     within the window           the keys are used, and one fetch runs next to the requests
///     before it                   the keys are used
struct CredentialsRefresh {
  enum Decision: Equatable { case use, useAndFetch, waitForFetch }

  /// Before the expiry; a part of up to a minute more is chosen per fetch, so that workers do not ask together.
  static let windowSeconds: Int64 = 300
  static let jitterSeconds: UInt64 = 60
  /// Between two tries while the keys are still valid.
  static let pauseSeconds: Int64 = 10

  private(set) var keys: FetchedCredentials?
  private var isRefused = false
  private var windowSeconds = CredentialsRefresh.windowSeconds
  private var notBefore: Int64 = .min

  func decision(at now: Int64) -> Decision {
    guard let keys, !isRefused else { return .waitForFetch }
    guard let expiry = keys.expiresAt else { return .use }
    if now >= expiry { return .waitForFetch }
    return now >= expiry - windowSeconds && now >= notBefore ? .useAndFetch : .use
  }

  mutating func fetched(_ new: FetchedCredentials, at now: Int64, random: UInt64) {
    keys = new
    isRefused = false
    windowSeconds = CredentialsRefresh.windowSeconds + Int64(random % CredentialsRefresh.jitterSeconds)
    // Sources that cache give the same keys again for a while.
    notBefore = now + CredentialsRefresh.pauseSeconds
  }

  mutating func failed(at now: Int64) { notBefore = now + CredentialsRefresh.pauseSeconds }

  mutating func refused(_ used: AWSCredentials) { if keys?.credentials == used { isRefused = true } }
}

/// Keeps the keys of a source and renews them: one fetch at a time, without a pause for requests while the old keys are valid.
package actor CachedCredentials: AWSCredentialsProvider {
  private let source: any AWSCredentialsSource
  private let clock: any Clock
  private let random: any RandomSource
  private var refresh = CredentialsRefresh()
  private var running: Task<Result<FetchedCredentials, AWSFailure>, Never>?

  package init(_ source: any AWSCredentialsSource, clock: any Clock, random: any RandomSource) {
    self.source = source
    self.clock = clock
    self.random = random
  }

  package func credentials() async throws(AWSFailure) -> AWSCredentials { try await fetched().credentials }

  /// The keys and where they are from.
  package func fetched() async throws(AWSFailure) -> FetchedCredentials {
    switch refresh.decision(at: clock.wallMicroseconds / 1_000_000) {
    case .use: break
    case .useAndFetch: _ = fetch()
    case .waitForFetch: return try await fetch().value.get()
    }
    guard let keys = refresh.keys else { throw .credentials(.fatal, "no AWS credentials") }
    return keys
  }

  package func refused(_ credentials: AWSCredentials) { refresh.refused(credentials) }

  /// The fetch that runs, or a new one. It outlives the request that began it: others wait for it too.
  private func fetch() -> Task<Result<FetchedCredentials, AWSFailure>, Never> {
    if let running { return running }
    let task = Task { await self.fetchNow() }
    running = task
    return task
  }

  private func fetchNow() async -> Result<FetchedCredentials, AWSFailure> {
    defer { running = nil }
    do throws(AWSFailure) {
      guard let keys = try await source.fetch() else {
        if refresh.keys == nil { throw CachedCredentials.noneFound }
        throw .credentials(.retriable, "the AWS credentials cannot be renewed at the moment")
      }
      refresh.fetched(keys, at: clock.wallMicroseconds / 1_000_000, random: random.next())
      return .success(keys)
    } catch {
      refresh.failed(at: clock.wallMicroseconds / 1_000_000)
      return .failure(error)
    }
  }

  private static let noneFound = AWSFailure.credentials(
    .fatal,
    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a role of ECS, EKS or EC2"
  )
}

/// Keys that do not change: for tests and tools.
package struct StaticCredentials: AWSCredentialsProvider {
  private let keys: AWSCredentials
  package init(_ keys: AWSCredentials) { self.keys = keys }
  package func credentials() async throws(AWSFailure) -> AWSCredentials { keys }
  package func refused(_ credentials: AWSCredentials) async {}
}
