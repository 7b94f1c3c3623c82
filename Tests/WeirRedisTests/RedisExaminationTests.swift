import Testing
import WeirCore

@testable import WeirRedis

/// What `weir doctor` says of a server's settings: the text of INFO in, findings out.
@Suite struct RedisExaminationTests {
  private static func findings(_ lines: String...) -> [StoreFinding] {
    RedisExamination.server(RedisInfo((["redis_version:7.0.15"] + lines).joined(separator: "\r\n")))
  }

  @Test func `eviction is a problem only where there is a bound on memory`() {
    let evicting = RedisExaminationTests.findings("maxmemory:100", "maxmemory_policy:allkeys-lru", "aof_enabled:1", "role:master")
    #expect(evicting.filter { $0.problem != nil }.map(\.what) == ["eviction"])
    let boundless = RedisExaminationTests.findings("maxmemory:0", "maxmemory_policy:allkeys-lru", "aof_enabled:1", "role:master")
    #expect(boundless.allSatisfy { $0.problem == nil } && boundless[0].notice?.contains("allkeys-lru") == true, "\(boundless)")
    let good = RedisExaminationTests.findings("maxmemory:100", "maxmemory_policy:noeviction", "aof_enabled:1", "role:master")
    #expect(good.count == 2 && good.allSatisfy { $0.problem == nil && $0.notice == nil }, "\(good)")
  }

  @Test func `a server without an append-only file gets a notice, a replica is a problem`() {
    let findings = RedisExaminationTests.findings("maxmemory_policy:noeviction", "aof_enabled:0", "role:slave")
    #expect(findings.first { $0.what == "persistence" }?.notice != nil && findings.first { $0.what == "role" }?.problem != nil)
  }

  @Test func `a server that does not show its settings gets a notice`() {
    #expect(RedisExamination.server(nil).map { $0.notice != nil && $0.problem == nil } == [true])
    #expect(RedisExamination.server(RedisInfo("")).count == 1)
  }
}
