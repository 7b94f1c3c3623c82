import Synchronization
import Testing
import WeirCore
import WeirTesting

@testable import WeirDynamoDB

/// Rows and keys that are larger than an item of DynamoDB: they are written without what does not fit, and hold up no other row.
@Suite struct OversizeRowTests {
  private let model = DynamoDBModel()
  private let notices = NoticeList()

  final class NoticeList: Sendable {
    let all = Mutex<[String]>([])
  }

  private func table(_ seed: UInt64 = 1, bounds: DynamoDBStateTable.Bounds = .init()) -> DynamoDBStateTable {
    DynamoDBStateTable(
      table: "weir", sender: ModelSender(model), clock: ManualClock(.moves), random: SeededRandom(seed), bounds: bounds,
      notice: { [notices] notice in notices.all.withLock { $0.append(notice) } })
  }

  private func batch(_ rows: [(key: [UInt8], value: [UInt8]?)], _ position: Int64, lane: String = "s/0") -> StateBatch {
    var batch = StateBatch(table: "orders", lane: lane, fence: Fence(generation: 1, position: position))
    for (key, value) in rows {
      if let value { batch.append(key: key[...]) { for byte in value { $0.write(byte) } } } else { batch.remove(key: key[...]) }
    }
    return batch
  }

  private func value(_ count: Int, _ byte: UInt8 = 7) -> [UInt8] { [1] + [UInt8](repeating: byte, count: count - 1) }

  /// By XXH3 alone, as the page on the table says.
  private func digest(_ key: [UInt8], _ value: [UInt8]) -> UInt128 {
    key.withUnsafeBytes { key in value.withUnsafeBytes { StateRow.digest(key, $0) } }
  }

  private let fat = Array("fat".utf8) + [0, 1]
  private let thin = Array("thin".utf8) + [0, 1]

  @Test(arguments: [1, 16]) func `a row that is too large is written without its values, and the others with theirs`(
    transactionRows: Int
  ) async throws {
    var bounds = DynamoDBStateTable.Bounds()
    bounds.transactionRows = transactionRows
    let table = table(bounds: bounds)
    try await table.put([batch([(fat, value(500_000)), (thin, value(10))], 5)], meta: [("m", [1])])
    let stored = try #require(try await table.read(table: "orders", key: fat))
    #expect(stored.fence.position == 5 && stored.lane == "s/0")
    let oversize = try #require(OversizeValue(stored.value ?? []))
    #expect(oversize.bytes == 500_000 && oversize.digest == digest(fat, value(500_000)))
    #expect(try await table.read(table: "orders", key: thin)?.value == value(10))
    #expect(try await table.rows(of: "orders").map(\.key) == [fat, thin])
    #expect(try await table.readMeta("m") == [1])
    #expect(table.oversizeRows == 1)
    let notice = try #require(notices.all.withLock { $0.first })
    #expect(notice.contains("\"fat\"") && notice.contains("orders") && notice.contains("500"), "\(notice)")
    // The next value fits again.
    try await table.put([batch([(fat, value(20))], 6)])
    #expect(try await table.read(table: "orders", key: fat)?.value == value(20))
    #expect(table.oversizeRows == 1)
  }

  @Test func `each row is named once, and a hundred of them`() async throws {
    let table = table()
    for position in 1...3 { try await table.put([batch([(fat, value(500_000))], Int64(position))]) }
    #expect(table.oversizeRows == 3 && notices.all.withLock { $0.count } == 1)
    for number in 0..<120 { try await table.put([batch([(Array("k\(number)".utf8), value(410_000))], 4)]) }
    #expect(table.oversizeRows == 123 && notices.all.withLock { $0.count } == 101)
  }

  @Test func `a rebuild and a retraction write such rows, too`() async throws {
    let table = table()
    try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
    let owners = [("owner/s", [UInt8(1)])]
    try await table.replace(tables: ["orders"], with: [batch([(fat, value(500_000)), (thin, value(5))], 5)], meta: [], owners: owners)
    #expect(try await table.read(table: "orders", key: fat).flatMap { OversizeValue($0.value ?? []) }?.bytes == 500_000)
    try await table.write(StateWrite([batch([(fat, value(9)), (thin, value(9))], 8)], meta: [], owners: owners))
    try await table.retract(
      batch([(fat, value(450_000)), (thin, value(5))], 6), beyond: Fence(generation: 1, position: 6), owners: owners)
    #expect(try await table.read(table: "orders", key: fat).flatMap { OversizeValue($0.value ?? []) }?.bytes == 450_000)
    #expect(try await table.read(table: "orders", key: thin)?.value == value(5))
    // An older fence does not replace it, a tombstone does.
    #expect(try await table.write(StateWrite([batch([(fat, value(3))], 5)], meta: [], owners: owners)) == 1)
    try await table.write(StateWrite([batch([(fat, nil)], 9)], meta: [], owners: owners))
    #expect(try await table.rows(of: "orders").map(\.key) == [thin])
  }

  /// Bars of earlier writes are attributes of the item: there must be room for some.
  @Test func `a row of the largest size can be barred many times`() async throws {
    let first = table()
    try await first.claim([StateClaim(name: "owner/s", owner: [0], number: 0)])
    let key = Array("edge".utf8)
    var size = 409_600
    while true {
      let before = first.oversizeRows
      try await first.put([batch([(key, value(size))], 1)])
      if first.oversizeRows == before { break }
      size -= 100
    }
    for number in 1...40 {
      let killed = table(UInt64(100 + number), bounds: small)
      try await killed.claim([StateClaim(name: "owner/s", owner: [UInt8(number)], number: Int64(number))])
      _ = try? await killedWrite(killed, key, UInt8(number))
    }
    try await table(7).claim([StateClaim(name: "owner/s", owner: [99], number: 99)])
    #expect(try await first.read(table: "orders", key: key)?.value?.count == size)
  }

  private var small: DynamoDBStateTable.Bounds {
    var bounds = DynamoDBStateTable.Bounds()
    (bounds.transactionRows, bounds.partRows) = (0, 1)
    return bounds
  }

  /// A write that is begun and not finished: the second part fails.
  private func killedWrite(_ table: DynamoDBStateTable, _ key: [UInt8], _ owner: UInt8) async throws {
    let stopped = DynamoDBStateTable(
      table: "weir", sender: ModelSender(model), clock: ManualClock(.moves), random: SeededRandom(UInt64(owner) + 1000), bounds: small,
      onPart: { throw Killed() })
    var old = StateBatch(table: "orders", lane: "s/0", fence: Fence(generation: 0, position: 1))
    for name in [Array("aaa".utf8), key] { old.append(key: name[...]) { $0.write(UInt8(1)) } }
    try await stopped.write(StateWrite([old], meta: [("m", [1])], owners: [("owner/s", [owner])]))
  }

  private struct Killed: Error {}

  // MARK: Keys

  private func long(_ count: Int, _ last: UInt8) -> [UInt8] { [UInt8](repeating: 0x6C, count: count - 1) + [last] }

  @Test(arguments: [1023, 1024, 5000, 300_000]) func `a key of any length has its row`(count: Int) async throws {
    let table = table()
    let (a, b) = (long(count, 1), long(count, 2))
    try await table.put([batch([(a, value(3, 1)), (b, value(3, 2)), (thin, value(3, 3))], 5)])
    #expect(try await table.read(table: "orders", key: a)?.value == value(3, 1))
    #expect(try await table.read(table: "orders", key: b)?.value == value(3, 2))
    #expect(try await table.read(table: "orders", key: long(count, 3)) == nil)
    #expect(Set(try await table.rows(of: "orders").map(\.key)) == [a, b, thin])
    #expect(table.oversizeRows == 0)
    // Page by page, and by a prefix that is longer than what DynamoDB has of the key.
    var (keys, start): ([[UInt8]], StateContinuation?) = ([], nil)
    repeat {
      let page = try await table.page(of: "orders", prefix: [], from: start, rowsMax: 1)
      (keys, start) = (keys + page.rows.map(\.key), page.next)
    } while start != nil
    #expect(keys.count == 3 && Set(keys) == [a, b, thin])
    let prefixed = try await table.page(of: "orders", prefix: a, from: nil, rowsMax: 10)
    #expect(prefixed.rows.map(\.key) == [a])
    // What runs ahead is taken back.
    try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
    try await table.retract(
      batch([(a, value(4, 4))], 3), beyond: Fence(generation: 1, position: 3), owners: [("owner/s", [1])])
    #expect(try await table.read(table: "orders", key: a)?.value == value(4, 4))
    #expect(try await table.read(table: "orders", key: b) == nil)
  }

  @Test func `a key that is larger than an item has a row without values, and holds up no other`() async throws {
    let table = table()
    let (a, b) = (long(600_000, 1), long(600_000, 2))
    try await table.put([batch([(a, value(3)), (b, nil), (thin, value(3))], 5)])
    let row = try #require(try await table.read(table: "orders", key: a))
    #expect(row.key == a && OversizeValue(row.value ?? [])?.digest == digest(a, value(3)))
    #expect(try await table.read(table: "orders", key: long(600_000, 3)) == nil)
    let rows = try await table.rows(of: "orders")
    #expect(rows.count == 2 && rows.contains { $0.key == thin })
  }

  @Test func `keys are shown as text where they are one`() {
    #expect(StateKey.shown(StateKey.encode([.string("a b")])) == "\"a b\"")
    #expect(StateKey.shown(StateKey.encode([.string("a"), .string("bü")])) == "\"a|bü\"")
    #expect(StateKey.shown(StateKey.encode([.string("a\u{0}b\n")])).hasPrefix("0x"))
    #expect(StateKey.shown(StateKey.encode([.string("a\nb")])) == "\"a\\nb\"")
    #expect(StateKey.shown(StateKey.encode([.int64(7)])) == "0x018000000000000007")
    #expect(StateKey.shown([0xAB, 0xCD]) == "0xabcd")
    #expect(StateKey.shown([UInt8](repeating: 0x61, count: 70)) == "\"\(String(repeating: "a", count: 64))\"… (70 bytes)")
    #expect(StateKey.shown([0x61] + Array(String(repeating: "ü", count: 40).utf8)).hasPrefix("\"aüü"))
  }
}
