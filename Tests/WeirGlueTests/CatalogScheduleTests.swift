import Testing
import WeirCore
import WeirEngine

@Suite struct CatalogScheduleTests {
  private static let second: Int64 = 1_000_000_000
  private let a = CatalogTable(path: "gold/a", columns: [ColumnSchema("k", .string)], location: "s3://b/gold/a")
  private let b = CatalogTable(path: "gold/b", columns: [ColumnSchema("k", .string)], location: "s3://b/gold/b")

  @Test func `tables are due once the lake has them, until they are registered`() {
    var schedule = CatalogSchedule([a, b])
    #expect(schedule.due(at: 0) { _ in false }.isEmpty)
    #expect(schedule.due(at: 1) { $0 == "gold/a" } == [a])
    schedule.registered(a)
    schedule.ended(at: 1, random: 0)
    #expect(schedule.due(at: 1) { _ in true } == [b])
    schedule.registered(b)
    schedule.ended(at: 1, random: 0)
    #expect(schedule.due(at: .max) { _ in true }.isEmpty && schedule.failures == 0)
  }

  @Test func `failures are tried again at a rate that falls to one in ten minutes`() {
    var schedule = CatalogSchedule([a])
    var (now, rounds): (Int64, [Int64]) = (0, [])
    while now < 3 * 3600 * CatalogScheduleTests.second {
      if !schedule.due(at: now, exists: { _ in true }).isEmpty {
        rounds.append(now)
        schedule.failed(a, "no")
        schedule.ended(at: now, random: UInt64(now))
      }
      now += CatalogScheduleTests.second
    }
    let pauses = zip(rounds.dropFirst(), rounds).map { ($0 - $1) / CatalogScheduleTests.second }
    #expect(pauses.first.map { (15...31).contains($0) } == true && pauses.suffix(5).allSatisfy { (300...601).contains($0) }, "\(pauses)")
    #expect(schedule.failures == Int64(rounds.count) && schedule.entries[0].state == .failed("no"))
    schedule.registered(a)
    schedule.ended(at: now, random: 0)
    #expect(schedule.due(at: .max) { _ in true }.isEmpty)
  }

  @Test func `a table with other columns is due at once, and an answer about its old ones does not count`() {
    var schedule = CatalogSchedule([a])
    schedule.failed(a, "no")
    schedule.ended(at: 0, random: 0)
    var grown = a
    grown.columns.append(ColumnSchema("n", .int64))
    schedule.changed(grown)
    #expect(schedule.due(at: 1) { _ in true } == [grown])
    schedule.registered(a)
    #expect(schedule.due(at: 1) { _ in true } == [grown])
    schedule.registered(grown)
    schedule.changed(grown)
    #expect(schedule.due(at: 1) { _ in true }.isEmpty)
  }
}
