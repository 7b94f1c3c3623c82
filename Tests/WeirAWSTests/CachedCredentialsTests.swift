import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirAWS

@Suite(.timeLimit(.minutes(5))) struct CachedCredentialsTests {
  /// Gives numbered keys, or what the test says; a gate holds fetches.
  actor Source: AWSCredentialsSource {
    private(set) var fetches = 0
    private var next: [Result<FetchedCredentials?, AWSFailure>] = []
    private var gate: [CheckedContinuation<Void, Never>] = []
    private var isHeld = false
    private let clock: ManualClock

    init(_ clock: ManualClock) { self.clock = clock }

    func fail(_ kind: AWSFailure.Kind) { next.append(.failure(.credentials(kind, "no answer"))) }
    func none() { next.append(.success(nil)) }
    func hold() { isHeld = true }
    func open() {
      isHeld = false
      for waiter in gate { waiter.resume() }
      gate = []
    }

    func fetch() async throws(AWSFailure) -> FetchedCredentials? {
      fetches += 1
      let number = fetches
      if isHeld { await withCheckedContinuation { gate.append($0) } }
      if !next.isEmpty { return try next.removeFirst().get() }
      return FetchedCredentials(
        AWSCredentials(accessKeyID: "K\(number)", secretAccessKey: "s"), expiresAt: clock.wallMicroseconds / 1_000_000 + 3600, place: "test"
      )
    }
  }

  private let clock = ManualClock(.waits, now: TestMachine.start)
  private let source: Source
  private let cache: CachedCredentials

  init() {
    source = Source(clock)
    cache = CachedCredentials(source, clock: clock, random: CountingRandom())
  }

  private func advance(seconds: Int64) { clock.advance(by: seconds * 1_000_000_000) }
  private func id() async throws(AWSFailure) -> String { try await cache.credentials().accessKeyID }

  private struct NeverCame: Error {}

  /// Until that many fetches have begun. Bounded.
  private func began(_ count: Int) async throws {
    for _ in 0..<10_000 {
      if await source.fetches >= count { return }
      await Task.yield()
    }
    throw NeverCame()
  }

  /// Until the source's fetch has ended. Bounded.
  private func settle(_ id: String) async throws {
    for _ in 0..<10_000 {
      if try await self.id() == id { return }
      await Task.yield()
    }
    throw NeverCame()
  }

  @Test func `callers that come together wait for one fetch`() async throws {
    await source.hold()
    let callers = (0..<20).map { _ in Task { try await id() } }
    try await began(1)
    await source.open()
    for caller in callers { #expect(try await caller.value == "K1") }
    #expect(await source.fetches == 1)
  }

  @Test func `keys are used until shortly before they expire, and then while new ones come`() async throws {
    #expect(try await id() == "K1")
    try await began(1)
    advance(seconds: 3600 - 301 - 60)
    #expect(try await id() == "K1")
    #expect(await source.fetches == 1)
    await source.hold()
    advance(seconds: 62)
    // No pause: the fetch is held.
    for _ in 0..<5 { #expect(try await id() == "K1") }
    try await began(2)
    #expect(await source.fetches == 2)
    await source.open()
    try await settle("K2")
    #expect(await source.fetches == 2)
  }

  @Test func `while the source fails, keys are used until they expire, with pauses between the tries`() async throws {
    #expect(try await id() == "K1")
    try await began(1)
    advance(seconds: 3500)
    await source.fail(.retriable)
    #expect(try await id() == "K1")
    try await began(2)
    for _ in 0..<100 {
      #expect(try await id() == "K1")
      await Task.yield()
    }
    #expect(await source.fetches == 2)
    advance(seconds: 100)
    await source.fail(.retriable)
    await #expect(throws: AWSFailure.self) { try await id() }
    #expect(try await id() == "K4")
  }

  @Test func `keys that a service refused are not used again`() async throws {
    #expect(try await id() == "K1")
    await cache.refused(AWSCredentials(accessKeyID: "other", secretAccessKey: "s"))
    #expect(try await id() == "K1")
    await cache.refused(AWSCredentials(accessKeyID: "K1", secretAccessKey: "s"))
    #expect(try await id() == "K2")
  }

  @Test func `no keys at all is fatal, and keys that are gone for now is not`() async throws {
    await source.none()
    do throws(AWSFailure) {
      _ = try await id()
      Issue.record("there are keys")
    } catch { #expect(error.kind == .fatal) }
    #expect(try await id() == "K2")
    advance(seconds: 3601)
    await source.none()
    do throws(AWSFailure) {
      _ = try await id()
      Issue.record("there are keys")
    } catch { #expect(error.kind == .retriable) }
  }
}
