import Foundation
import Testing
import WeirCore
import WeirTesting

@testable import WeirRedis

/// The suite on a real server, where one is named: `WEIR_REDIS_TEST=HOST:PORT`, whose keys `{conformance-…` it replaces. It shows that the
/// Lua scripts do what the functions of ``RedisMemory`` do.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["WEIR_REDIS_TEST"] != nil), .serialized) struct RealServerTests {
  private static let address = ProcessInfo.processInfo.environment["WEIR_REDIS_TEST"] ?? ""

  private struct Instant: Clock {
    var monotonicNanoseconds: Int64 { 0 }
    var wallMicroseconds: Int64 { 0 }
    func sleep(nanoseconds: Int64) async {}
  }

  private struct Dice: RandomSource { func next() -> UInt64 { UInt64.random(in: .min ... .max) } }

  static func table(
    _ prefix: String, _ thread: BlockingThreads, partRows: Int = RedisWriteParts.rowsMax, partsAtOnce: Int = 16,
    onPart: @escaping @Sendable () async throws -> Void = {}
  ) throws -> RedisStateTable {
    let (host, port) = try #require(HostAddress.parts(address))
    let server = RedisServer(host: String(host), port: port ?? 6379, place: "redis://\(address)/0")
    var limits = RedisStateTable.Limits()
    (limits.partRows, limits.partsAtOnce) = (partRows, partsAtOnce)
    return RedisStateTable(
      server, prefix: prefix, connector: RedisSocketConnector(replyMilliseconds: 15_000), limits: limits, clock: Instant(), random: Dice(),
      thread: thread, notice: { _ in }, onPart: onPart)
  }

  @Test(arguments: StateTableConformance.cases, [1, 3]) func `a real server does as every state table`(
    aCase: StateTableConformance.Case, partsAtOnce: Int
  ) async throws {
    let thread = BlockingThreads(count: 1)
    defer { thread.stop() }
    let prefix = "conformance-\(Dice().next())"
    let kind = StateTableConformance.Kind(
      rowsOfParts: 50,
      reopen: { table in
        try await table.close()
        return try RealServerTests.table(prefix, thread)
      },
      make: { try RealServerTests.table(prefix, thread, partRows: 7, partsAtOnce: partsAtOnce, onPart: $0) })
    try await aCase.run(on: kind)
  }
}
