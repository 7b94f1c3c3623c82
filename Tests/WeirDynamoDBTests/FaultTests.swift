import Foundation
import Testing
import WeirAWS
import WeirCore
import WeirDynamoDBSettings
import WeirTesting

@testable import WeirDynamoDB

/// A fault at each request of a list of work: what is there in the end is what a table in memory has.
@Suite struct FaultTests {
  private static func batch(_ rows: [String: String?], lane: String = "s/0", _ position: Int64) -> StateBatch {
    var batch = StateBatch(table: "t", lane: lane, fence: Fence(generation: 1, position: position))
    for (key, value) in rows.sorted(by: { $0.key < $1.key }) {
      let key = Array(key.utf8)
      if let value {
        batch.append(key: key[...]) { out in for byte in value.utf8 { out.write(byte) } }
      } else {
        batch.remove(key: key[...])
      }
    }
    return batch
  }

  /// Claims, small and large writes, values, a retraction, a replacement.
  static func work(_ table: any StateTable) async throws {
    let owner = Array("w".utf8)
    let owners = [("owner/s", owner)]
    try await table.claim([StateClaim(name: "owner/s", owner: owner, number: 1), StateClaim(name: "owner/r", owner: owner, number: 1)])
    try await table.write(StateWrite([batch(["a": "1", "b": "1"], 3)], meta: [("m", [1])], owners: owners))
    try await table.write(
      StateWrite(
        [batch(["a": "2", "c": "2", "d": "2", "e": nil, "f": "2"], 9), batch(["g": "old"], lane: "s/1", 1)],
        meta: [("m", [3]), ("n", [1])], owners: owners, intent: [("m", [2])]))
    try await table.retract(batch(["a": "back"], 5), beyond: Fence(generation: 1, position: 5), owners: owners)
    try await table.write(StateWrite([batch(["a": "3", "c": "3"], 6)], meta: [("m", [4])], owners: owners, settled: []))
    try await table.replace(tables: ["u"], with: [], meta: [("n", [2])], owners: owners)
    try await table.write(
      StateWrite([batch(["h": "4"], 7)], meta: [], owners: owners, settled: [("s/0", Fence(generation: 1, position: 7))]))
  }

  struct Outcome: Equatable {
    var rows: [StateRow]
    var meta: [String: [UInt8]]

    init(_ table: any StateTable) async throws {
      rows = try await table.rows(of: "t")
      meta = Dictionary(uniqueKeysWithValues: try await table.listMeta(prefix: "").map { ($0.name, $0.value) })
    }
  }

  private static func table(_ sender: ModelSender) -> DynamoDBStateTable {
    var bounds = DynamoDBConformanceTests.bounds
    (bounds.inFlight, bounds.transactionRows, bounds.buckets) = (1, 2, 2)
    return DynamoDBStateTable(table: "weir", sender: sender, clock: ManualClock(.ends), random: SeededRandom(3), bounds: bounds)
  }

  /// Every request of the work fails once, in runs of which each has every 11th of them: far enough apart to be recovered from alone.
  @Test(arguments: ModelSender.Fault.allCases) func `a fault at each request changes nothing`(fault: ModelSender.Fault) async throws {
    let memory = MemoryStateTable()
    try await FaultTests.work(memory)
    let expected = try await Outcome(memory)
    for first in 0..<11 {
      let model = DynamoDBModel()
      let sender = ModelSender(model) { count, _ in count % 11 == first ? fault : nil }
      let table = FaultTests.table(sender)
      try await FaultTests.work(table)
      #expect(sender.requests > 70, "the list of work is short")
      // What was on its way for all this time.
      sender.deliverLate()
      #expect(try await Outcome(FaultTests.table(ModelSender(model))) == expected, "\(fault) at every 11th request from \(first)")
    }
  }

  @Test func `a table that always throttles ends with an error that says so`() async throws {
    let table = FaultTests.table(ModelSender(DynamoDBModel()) { count, _ in count > 20 ? .throttled : nil })
    let error = await #expect(throws: WeirError.self) { try await FaultTests.work(table) }
    #expect(error?.code == .storage && error?.isRetriable == true, "\(String(describing: error))")
  }
}

/// The table itself, its bounds, and its layout as other programs see it.
@Suite struct DynamoDBTableTests {
  private func table(_ model: DynamoDBModel, create: Bool = true, readOnly: Bool = false) -> DynamoDBStateTable {
    DynamoDBStateTable(
      table: "weir", sender: ModelSender(model), clock: ManualClock(.moves), random: SeededRandom(9), readOnly: readOnly, create: create)
  }

  private func row(_ key: [UInt8], _ value: [UInt8], lane: String = "s/0", _ position: Int64 = 5) -> StateBatch {
    var batch = StateBatch(table: "orders", lane: lane, fence: Fence(generation: 2, position: position))
    batch.append(key: key[...]) { out in for byte in value { out.write(byte) } }
    return batch
  }

  @Test func `the table is made once, also by two workers at a time`() async throws {
    let model = DynamoDBModel()
    async let first: Void = table(model).writeMeta([("a", [1])])
    async let second: Void = table(model).writeMeta([("b", [2])])
    _ = try await (first, second)
    #expect(try await table(model, create: false).listMeta(prefix: "").map(\.name) == ["a", "b"])
    #expect(model.tableNames == ["weir"])
  }

  @Test func `a table that is not there is an error where it is not to be made`() async throws {
    for (create, readOnly) in [(false, false), (true, true)] {
      let model = DynamoDBModel()
      let error = await #expect(throws: WeirError.self) { try await table(model, create: create, readOnly: readOnly).check() }
      #expect(error?.code == .stateMissing)
      #expect(model.tableNames.isEmpty)
    }
  }

  @Test func `a table with other keys is refused with their names`() async throws {
    let model = DynamoDBModel()
    model.make("weir", keys: [("id", "HASH", "S")])
    let error = await #expect(throws: WeirError.self) { try await table(model).readMeta("a") }
    #expect(error?.code == .config && error?.message.contains("id (S, HASH)") == true, "\(String(describing: error))")
  }

  @Test func `a table that is deleted while a worker uses it is an error with the way on`() async throws {
    let model = DynamoDBModel()
    let table = table(model)
    try await table.put([row([1], [1])])
    model.drop("weir")
    let error = await #expect(throws: WeirError.self) { try await table.put([row([2], [1])]) }
    #expect(error?.code == .stateRemoved && error?.advice?.contains("makes the table") == true, "\(String(describing: error))")
  }

  @Test func `a row of a table whose name is too long is refused, and nothing is written`() async throws {
    let model = DynamoDBModel()
    let table = table(model)
    var batch = StateBatch(table: String(repeating: "n", count: 2048), lane: "s/0", fence: Fence(generation: 2, position: 5))
    batch.append(key: [1]) { $0.write(UInt8(1)) }
    let both = [row([1], [1]), batch]
    let error = await #expect(throws: WeirError.self) { try await table.put(both) }
    #expect(error?.code == .storageRefused && error?.message.contains("nnn") == true)
    #expect(try await table.rows(of: "orders").isEmpty)
  }

  /// An hour of throttling is not waited for; a minute is.
  @Test(arguments: [(60, true), (3600, false)]) func `a request is repeated for two minutes`(seconds: Int64, ends: Bool) async throws {
    let clock = ManualClock(.moves)
    let end = clock.monotonicNanoseconds + seconds * 1_000_000_000
    let sender = ModelSender(DynamoDBModel()) { number, _ in number > 4 && clock.monotonicNanoseconds < end ? .throttled : nil }
    let table = DynamoDBStateTable(table: "weir", sender: sender, clock: clock, random: SeededRandom(9))
    var code: WeirError.Code?
    do { try await table.put([row([1], [1])]) } catch let error as WeirError { code = error.code }
    #expect(code == (ends ? nil : .storage))
  }

  /// By the page "State tables in DynamoDB" alone.
  @Test func `a row is where the documented layout says`() async throws {
    let model = DynamoDBModel()
    let table = table(model)
    let key = Array("c-17".utf8) + [0, 1]
    try await table.put([row(key, [9, 8])])
    var hash: UInt32 = 2_166_136_261
    for byte in key { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let item = try #require(model.items(of: "weir")[.init(partition: "row#orders#0#\(hash % 16)", sort: [0x6B] + key)])
    #expect(item["measures"] == .b([9, 8]) && item["lane"] == .s("s/0"))
    #expect(item["fence"] == .b([0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 5]))
    try await table.writeMeta([("schema/orders", [1, 2])])
    #expect(model.items(of: "weir")[.init(partition: "meta", sort: Array("schema/orders".utf8))]?["value"] == .b([1, 2]))
  }

  @Test func `a flush makes one request a row, and few others`() async throws {
    let model = DynamoDBModel()
    let table = table(model)
    try await table.claim([StateClaim(name: "owner/s", owner: [1], number: 1)])
    let before = model.counts
    var batch = StateBatch(table: "orders", lane: "s/0", fence: Fence(generation: 1, position: 1))
    for number in 0..<500 { batch.append(key: Array("key-\(number)".utf8)[...]) { $0.write(UInt8(1)) } }
    try await table.write(
      StateWrite([batch], meta: [("flushed/s/0", [2])], owners: [("owner/s", [1])], intent: [("flushed/s/0", [1])]))
    let made = model.counts.merging(before) { $0 - $1 }.filter { $0.value > 0 }
    // Rows, list of keys, note of the write, two marks; the note goes; layout, owner, the mark as it was.
    #expect(made == ["PutItem": 500 + 1 + 1 + 2, "DeleteItem": 1, "GetItem": 3])
  }

  @Test func `the log of writes is as long as what runs ahead of the ledger`() async throws {
    let model = DynamoDBModel()
    func lists() -> Int { model.items(of: "weir").keys.count { $0.partition.hasPrefix("log#") } }
    let first = table(model)
    for position in 1...3 { try await first.put([row([1], [1], Int64(position))]) }
    #expect(lists() == 3)
    // Another process: it deletes what others have left, and its own.
    let second = DynamoDBStateTable(table: "weir", sender: ModelSender(model), clock: ManualClock(.moves), random: SeededRandom(10))
    try await second.put([row([1], [1], 4)])
    try await second.put([row([1], [1], 5)])
    try await second.write(StateWrite([], meta: [("m", [1])], owners: [], settled: [("s/0", Fence(generation: 2, position: 4))]))
    #expect(lists() == 1)
    try await second.write(StateWrite([], meta: [("m", [2])], owners: [], settled: [("s/0", Fence(generation: 2, position: 5))]))
    #expect(lists() == 0)
    #expect(!model.items(of: "weir").keys.contains { $0.partition == "pending" })
  }

  @Test func `claims of more lanes than a transaction has items are all there`() async throws {
    let model = DynamoDBModel()
    let table = table(model)
    let claims = (0..<130).map { StateClaim(name: "owner/s/\($0)", owner: [1], number: 4) }
    try await table.claim(claims)
    let marks = (0..<130).map { ("flushed/s/\($0)", [UInt8(1)]) }
    try await table.write(StateWrite([], meta: marks, owners: claims.map { ($0.name, $0.owner) }))
    #expect(try await table.listMeta(prefix: "flushed/").count == 130)
    try await table.replace(tables: ["orders"], with: [row([1], [1])], meta: marks, owners: claims.map { ($0.name, $0.owner) })
    #expect(try await table.rows(of: "orders").count == 1)
    let late = await #expect(throws: WeirError.self) { try await table.claim([StateClaim(name: "owner/s/129", owner: [2], number: 3)]) }
    #expect(late?.code == .stateFenced)
  }

  @Test func `bytes are written and read as base64`() throws {
    var random = SplitMix64(seed: 4)
    for count in 0..<70 {
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      var out: [UInt8] = []
      Base64.write(bytes, into: &out)
      #expect(String(decoding: out, as: UTF8.self) == Data(bytes).base64EncodedString())
      #expect(Base64.read(String(decoding: out, as: UTF8.self)) == bytes)
    }
    for text in ["A", "AB", "ABC", "A===", "====", "AB=C", "AAA*", "AAAAA", "AA==AAAA"] { #expect(Base64.read(text) == nil, "\(text)") }
  }

  @Test func `a place holds all settings`() throws {
    for settings in [
      DynamoDBSettings(table: "weir-state"), DynamoDBSettings(table: "a.b", region: "eu-central-1"),
      DynamoDBSettings(table: "abc", region: "us-east-1", endpoint: "http://127.0.0.1:4566", create: false),
    ] {
      let read = try DynamoDBSettings(place: settings.place)
      #expect(DynamoDBSettings.accepts(settings.place) && read == settings)
    }
    for place in ["dynamodb://", "dynamodb://ab", "dynamodb://a/b/c", "dynamodb://abc?x=1", "dynamodb://abc?endpoint=ftp://h"] {
      #expect(throws: DynamoDBSettingProblem.self) { try DynamoDBSettings(place: place) }
    }
  }
}
