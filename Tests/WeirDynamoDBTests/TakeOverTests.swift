import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirDynamoDB

/// A worker that was paused or killed in the middle of a write, and the one that takes its lane over.
@Suite struct TakeOverTests {
  /// What differs between runs.
  struct Course: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Of the rows of A, B and C.
    var generations: [Int64]
    /// A's rows in one transaction.
    var isSmall: Bool
    /// Writes note an intent before their rows.
    var hasIntent = true
  }

  static let courses = [
    Course(testDescription: "a generation each", generations: [1, 2, 3], isSmall: false),
    Course(testDescription: "one generation for all", generations: [1, 1, 1], isSmall: false),
    Course(testDescription: "one generation for all, no intents", generations: [1, 1, 1], isSmall: false, hasIntent: false),
    Course(testDescription: "a generation each, small writes", generations: [1, 2, 3], isSmall: true),
    Course(testDescription: "one generation for all, small writes", generations: [1, 1, 1], isSmall: true),
  ]

  private static let committed: Int64 = 5
  private static let ahead: Int64 = 9

  /// A worker of the lane: its client, its table, its claim.
  private struct Worker: Sendable {
    let name: String
    let number: Int64
    let generation: Int64
    let hasIntent: Bool
    let table: DynamoDBStateTable

    init(_ name: String, _ number: Int64, _ course: Course, _ sender: ModelSender) {
      var bounds = DynamoDBConformanceTests.bounds
      (bounds.inFlight, bounds.partRows, bounds.buckets) = (1, 3, 2)
      bounds.transactionRows = course.isSmall ? 16 : 0
      self.name = name
      self.number = number
      generation = course.generations[Int(number) - 1]
      hasIntent = course.hasIntent
      table = DynamoDBStateTable(
        table: "weir", sender: sender, clock: ManualClock(.ends), random: SeededRandom(UInt64(number)), bounds: bounds)
    }

    var owners: [(String, [UInt8])] { [("owner/s", Array(name.utf8))] }

    func batch(_ rows: [String: String?], _ position: Int64, _ generation: Int64? = nil) -> StateBatch {
      var batch = StateBatch(table: "t", lane: "s/0", fence: Fence(generation: generation ?? self.generation, position: position))
      for (key, value) in rows.sorted(by: { $0.key < $1.key }) {
        let key = Array(key.utf8)
        if let value { batch.append(key: key[...]) { $0.write(raw: value) } } else { batch.remove(key: key[...]) }
      }
      return batch
    }

    func claim() async throws {
      try await table.claim([StateClaim(name: "owner/s", owner: Array(name.utf8), number: number)])
    }

    func write(_ rows: [String: String?], _ position: Int64) async throws {
      try await table.write(
        StateWrite(
          [batch(rows, position)], meta: [("flushed/s/0", Array("\(generation)/\(position)".utf8))], owners: owners,
          intent: hasIntent ? [("flushed/s/0", Array("begun".utf8))] : []))
    }

    /// What every worker that takes the lane over does: the ledger has what was committed, whatever the table has.
    func takeOver(from generation: Int64) async throws {
      try await claim()
      try await table.retract(
        batch(["kept": "5", "back": "5"], committed), beyond: Fence(generation: generation, position: committed), owners: owners)
      try await write(["kept": "5", "back": "5", "own": name], committed + 1)
    }
  }

  /// The rows that the ledger has, and A's that run ahead of it.
  private static func begin(_ worker: Worker) async throws {
    try await worker.claim()
    try await worker.write(["kept": "5", "back": "5", "untouched": "5"], committed)
  }

  private static func runAhead(_ worker: Worker) async throws {
    try await worker.write(["back": "9", "own": "9", "gone": "9", "more": "9", "deleted": nil], ahead)
  }

  private static func contents(_ table: DynamoDBStateTable) async throws -> [String: String] {
    Dictionary(
      uniqueKeysWithValues: try await table.rows(of: "t").map {
        (String(decoding: $0.key, as: UTF8.self), String(decoding: $0.value ?? [], as: UTF8.self))
      })
  }

  /// Does something before the request of a number arrives.
  private static func sender(_ model: DynamoDBModel, at number: Int, _ body: @escaping @Sendable () async throws -> Void) -> ModelSender {
    ModelSender(model) { count, _ in
      if count == number { try await body() }
      return nil
    }
  }

  /// Requests that a worker makes for all it does, with nothing in between.
  private static func requests(_ course: Course, _ number: Int64, _ body: (Worker) async throws -> Void) async throws -> Int {
    let sender = ModelSender(DynamoDBModel())
    try await body(Worker("x", number, course, sender))
    return sender.requests
  }

  /// Runs A; at one of its requests B takes over, and A continues after that.
  private static func zombie(_ course: Course, at number: Int) async throws -> (rows: [String: String], mark: [UInt8]?) {
    let model = DynamoDBModel()
    let b = Worker("b", 2, course, ModelSender(model))
    let a = Worker("a", 1, course, sender(model, at: number) { try await b.takeOver(from: course.generations[0]) })
    do {
      try await begin(a)
      try await runAhead(a)
    } catch let error as WeirError where error.code == .stateFenced {}
    let isOver = try await b.table.readMeta("owner/s") == Array("b".utf8)
    if !isOver { try await b.takeOver(from: course.generations[0]) }
    return (try await contents(b.table), try await b.table.readMeta("flushed/s/0"))
  }

  private static func expected(_ name: String, untouched: Bool = true) -> [String: String] {
    ["kept": "5", "back": "5", "own": name].merging(untouched ? ["untouched": "5"] : [:]) { $1 }
  }

  @Test(arguments: courses) func `a paused worker leaves no row, at whatever request it was paused`(course: Course) async throws {
    let first = try await TakeOverTests.requests(course, 1) { try await TakeOverTests.begin($0) }
    let all = try await TakeOverTests.requests(course, 1) {
      try await TakeOverTests.begin($0)
      try await TakeOverTests.runAhead($0)
    }
    #expect(all - first >= (course.isSmall ? 2 : 9), "the work list is too short: \(all)")
    for number in first...all {
      let (rows, mark) = try await TakeOverTests.zombie(course, at: number)
      #expect(rows == TakeOverTests.expected("b"), "taken over at request \(number) of \(all)")
      #expect(mark == Array("\(course.generations[1])/6".utf8), "taken over at request \(number) of \(all)")
    }
  }

  /// Requests of A's have arrived or will, or arrive twice; A was killed at that request, or only after it had finished.
  @Test(arguments: courses) func `a killed worker leaves no row, at whatever request it was killed`(course: Course) async throws {
    let first = try await TakeOverTests.requests(course, 1) { try await TakeOverTests.begin($0) }
    let all = try await TakeOverTests.requests(course, 1) {
      try await TakeOverTests.begin($0)
      try await TakeOverTests.runAhead($0)
    }
    for number in first..<all {
      for (fault, isKilled) in [(ModelSender.Fault.late, true), (.twice, true), (.twice, false)] {
        let model = DynamoDBModel()
        let sender = ModelSender(model) { count, _ in
          if count == number { return fault }
          if isKilled, count > number { throw AWSFailure(.fatal, code: "Killed", message: "killed") }
          return nil
        }
        let a = Worker("a", 1, course, sender)
        try await TakeOverTests.begin(a)
        do { try await TakeOverTests.runAhead(a) } catch is WeirError { #expect(isKilled) }
        let b = Worker("b", 2, course, ModelSender(model))
        try await b.takeOver(from: course.generations[0])
        sender.deliverLate()
        let what: Comment = "request \(number) came \(fault), \(isKilled ? "killed at it" : "killed later")"
        #expect(try await TakeOverTests.contents(b.table) == TakeOverTests.expected("b"), what)
        #expect(try await b.table.readMeta("flushed/s/0") == Array("\(course.generations[1])/6".utf8), what)
      }
    }
  }

  /// A is killed in the middle of its rows, B takes over and is paused at every request of that, C takes over from B.
  @Test(arguments: courses) func `a worker that is paused in its own take-over leaves nothing wrong`(course: Course) async throws {
    func run(at number: Int) async throws -> Int {
      let model = DynamoDBModel()
      let killed = Atomic<Int>(.max)
      let senderA = ModelSender(model) { count, _ in
        if count == killed.load(ordering: .relaxed) { return .twice }
        if count > killed.load(ordering: .relaxed) { throw AWSFailure(.fatal, code: "Killed", message: "killed") }
        return nil
      }
      let a = Worker("a", 1, course, senderA)
      try await TakeOverTests.begin(a)
      // In the middle of the rows, or at the transaction.
      killed.store(senderA.requests + (course.isSmall ? 1 : 6), ordering: .relaxed)
      do { try await TakeOverTests.runAhead(a) } catch is WeirError {}
      let c = Worker("c", 3, course, ModelSender(model))
      let senderB = TakeOverTests.sender(model, at: number) {
        try await c.takeOver(from: course.generations[0])
        senderA.deliverLate()
      }
      let b = Worker("b", 2, course, senderB)
      do { try await b.takeOver(from: course.generations[0]) } catch let error as WeirError where error.code == .stateFenced {}
      if try await c.table.readMeta("owner/s") != Array("c".utf8) {
        try await c.claim()
        try await c.table.retract(
          c.batch(["kept": "5", "back": "5"], TakeOverTests.committed),
          beyond: Fence(generation: course.generations[0], position: TakeOverTests.committed), owners: c.owners)
        try await c.write(["kept": "5", "back": "5", "own": "c"], TakeOverTests.committed + 1)
      }
      #expect(try await TakeOverTests.contents(c.table) == TakeOverTests.expected("c"), "B was paused at request \(number)")
      #expect(try await c.table.readMeta("flushed/s/0") == Array("\(course.generations[2])/6".utf8), "B was paused at request \(number)")
      return senderB.requests
    }
    let all = try await run(at: .max)
    for number in 0..<all { _ = try await run(at: number) }
  }

  /// A is killed in the middle of its rows. B, of the same generation, writes the same keys at the same positions, so that its rows keep what bars
  /// A's. Then C takes over, and one of B's requests arrives once more.
  @Test func `a request of a finished write changes nothing after its rows were taken back`() async throws {
    let course = TakeOverTests.courses[1]
    func run(at number: Int) async throws -> (before: Int, all: Int) {
      let model = DynamoDBModel()
      let killed = Atomic<Int>(.max)
      let senderA = ModelSender(model) { count, _ in
        if count > killed.load(ordering: .relaxed) { throw AWSFailure(.fatal, code: "Killed", message: "killed") }
        return nil
      }
      let a = Worker("a", 1, course, senderA)
      try await TakeOverTests.begin(a)
      killed.store(senderA.requests + 6, ordering: .relaxed)
      do { try await TakeOverTests.runAhead(a) } catch is WeirError {}
      let senderB = ModelSender(model) { count, _ in count == number ? .twice : nil }
      let b = Worker("b", 2, course, senderB)
      try await b.takeOver(from: course.generations[0])
      let before = senderB.requests
      try await TakeOverTests.runAhead(b)
      let all = senderB.requests
      let c = Worker("c", 3, course, ModelSender(model))
      try await c.takeOver(from: course.generations[0])
      senderB.deliverLate()
      #expect(try await TakeOverTests.contents(c.table) == TakeOverTests.expected("c"), "request \(number) of B came twice")
      #expect(try await c.table.readMeta("flushed/s/0") == Array("1/6".utf8), "request \(number) of B came twice")
      return (before, all)
    }
    let (before, all) = try await run(at: .max)
    #expect(all - before > 15, "B's rows are not guarded: \(all - before) requests")
    for number in before..<all { _ = try await run(at: number) }
  }
}

extension ByteWriter {
  fileprivate mutating func write(raw text: String) { for byte in text.utf8 { write(byte) } }
}
