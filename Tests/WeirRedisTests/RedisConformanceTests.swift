import Testing
import WeirCore
import WeirTesting

@testable import WeirRedis

@Suite struct RedisConformanceTests {
  /// A table on a server in memory. The clock moves when it sleeps.
  static func table(
    _ server: RedisMemory, _ thread: BlockingThreads, isReader: Bool = false, partRows: Int = 7, partsAtOnce: Int = 1,
    clock: ManualClock = ManualClock(.moves), seed: UInt64 = 1, password: String? = nil,
    secret: (read: RedisServer.Text, refused: @Sendable () -> Bool)? = nil,
    notice: @escaping @Sendable (String) -> Void = { _ in }, onPart: @escaping @Sendable () async throws -> Void = {}
  ) -> RedisStateTable {
    var limits = RedisStateTable.Limits()
    (limits.partRows, limits.partsAtOnce) = (partRows, partsAtOnce)
    var settings = RedisServer(host: "cache", port: 6379, place: "redis://cache:6379/0")
    if let password { settings.password = { password } }
    if let secret { (settings.password, settings.refused) = (secret.read, secret.refused) }
    return RedisStateTable(
      settings, prefix: "p", connector: server, isReader: isReader, limits: limits, clock: clock, random: Numbers(seed), thread: thread,
      notice: notice, onPart: onPart)
  }

  @Test(arguments: StateTableConformance.cases, [1, 3]) func `a table on a Redis server does as every state table`(
    aCase: StateTableConformance.Case, partsAtOnce: Int
  ) async throws {
    let thread = BlockingThreads(count: 1)
    defer { thread.stop() }
    let server = RedisMemory()
    let kind = StateTableConformance.Kind(
      rowsOfParts: 50,
      reopen: { table in
        try await table.close()
        return RedisConformanceTests.table(server, thread, seed: 2)
      },
      make: { RedisConformanceTests.table(server, thread, partsAtOnce: partsAtOnce, onPart: $0) })
    try await aCase.run(on: kind)
  }

  /// Every seventh command is not executed, or its reply is lost, or the server loads its data. Callers see nothing of it.
  @Test(arguments: StateTableConformance.cases) func `a table on a server that often fails does as every state table`(
    aCase: StateTableConformance.Case
  ) async throws {
    let thread = BlockingThreads(count: 1)
    defer { thread.stop() }
    let server = RedisMemory()
    server.onCommand.withLock { hook in
      hook = { _, state in
        let count = state.commands.count
        guard state.faults.isEmpty, count % 7 == 0 else { return }
        state.faults = [[.lostReply, .lostRequest, .error("LOADING Redis is loading the dataset in memory")][count / 7 % 3]]
      }
    }
    let kind = StateTableConformance.Kind(
      rowsOfParts: 50, reopen: { table in RedisConformanceTests.table(server, thread, seed: 2) },
      make: { RedisConformanceTests.table(server, thread, onPart: $0) })
    try await aCase.run(on: kind)
  }
}

/// Numbers that differ from call to call, and from seed to seed.
final class Numbers: RandomSource {
  private let counting = CountingRandom()
  private let seed: UInt64

  init(_ seed: UInt64) { self.seed = seed }

  func next() -> UInt64 { seed << 32 | counting.next() }
}
