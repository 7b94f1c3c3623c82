import Testing
import WeirCore

@testable import WeirKinesis

struct FanOutMachineTests {
  private static let second: Int64 = 1_000_000_000

  private func answer(_ digits: [String], next: String? = "n", behind: Int64? = 0) -> RecordsAnswer {
    var answer = RecordsAnswer()
    answer.records = digits.compactMap { SequenceNumber($0) }.map { OuterRecord(sequence: $0, key: "k", data: []) }
    (answer.next, answer.millisecondsBehind) = (next, behind)
    return answer
  }

  private func machine(_ text: String) throws -> FanOutMachine {
    FanOutMachine(try #require(KinesisPlace(place(text))), .init())
  }

  private func open(_ machine: inout FanOutMachine, at now: Int64) {
    machine.asked(at: now)
    machine.opened(at: now)
  }

  @Test(arguments: [
    ("0@0:0", IteratorStart.trimHorizon), ("0@0:1700000000123", .time(1_700_000_000_123)), ("7@55:1", .at("55")), ("7@55:0", .at("55")),
  ])
  func `a subscription begins where the position says`(_ text: String, _ start: IteratorStart) throws {
    var machine = try machine(text)
    let found = machine.step(at: 0)
    #expect(found == .subscribe(start))
  }

  @Test func `the next subscription continues after the number of the last event, also when it had no records`() throws {
    var machine = try machine("7@55:1")
    open(&machine, at: 0)
    let first = machine.heard(answer(["55", "58"], next: "58", behind: 9), at: 0)
    machine.moved(to: .record(number("58", sub: 1)))
    let second = machine.heard(answer([], next: "77", behind: 0), at: FanOutMachineTests.second)
    #expect(first == .records && second == .nothing(isAtEnd: true))
    machine.ended(at: 20 * FanOutMachineTests.second)
    let found = machine.step(at: 20 * FanOutMachineTests.second)
    #expect(found == .subscribe(.after("77")))
  }

  @Test func `while the record of the position was not seen it is asked for again`() throws {
    var machine = try machine("7@55:1")
    open(&machine, at: 0)
    let nothing = machine.heard(answer([], next: "77", behind: 5), at: 0)
    #expect(nothing == .nothing(isAtEnd: false))
    machine.ended(at: 20 * FanOutMachineTests.second)
    let found = machine.step(at: 20 * FanOutMachineTests.second)
    #expect(found == .subscribe(.at("55")))
    open(&machine, at: 20 * FanOutMachineTests.second)
    let trimmed = machine.heard(answer(["58"]), at: 21 * FanOutMachineTests.second)
    #expect(trimmed == .trimmed(number("58")))
  }

  @Test func `a silent subscription is replaced, and events without records are no silence`() throws {
    var machine = try machine("0@0:0")
    open(&machine, at: 0)
    let s = FanOutMachineTests.second
    _ = machine.heard(answer([]), at: 25 * s)
    let found1 = machine.step(at: 54 * s)
    #expect(found1 == .listen(until: 55 * s))
    let found2 = machine.step(at: 55 * s)
    #expect(found2 == .close(.silence))
    let found3 = machine.step(at: 55 * s)
    #expect(found3 == .subscribe(.trimHorizon))
    open(&machine, at: 55 * s)
    // The engine took its time.
    machine.resumed(at: 100 * s)
    let found4 = machine.step(at: 100 * s)
    #expect(found4 == .listen(until: 130 * s))
  }

  @Test func `a subscription is replaced before its five minutes are over`() throws {
    var machine = try machine("0@0:0")
    open(&machine, at: 0)
    let s = FanOutMachineTests.second
    _ = machine.heard(answer(["5"], next: "5"), at: 289 * s)
    machine.moved(to: .record(number("5", sub: 1)))
    let found1 = machine.step(at: 289 * s)
    #expect(found1 == .listen(until: 290 * s))
    let found2 = machine.step(at: 290 * s)
    #expect(found2 == .close(.renewal))
    let found3 = machine.step(at: 290 * s)
    #expect(found3 == .subscribe(.after("5")))
  }

  @Test func `no subscription is asked for within five seconds after the one before`() throws {
    var machine = try machine("0@0:0")
    open(&machine, at: 0)
    machine.ended(at: FanOutMachineTests.second)
    let found = machine.step(at: FanOutMachineTests.second)
    #expect(found == .wait(until: FanOutMachine.takeOver))
  }

  @Test func `subscriptions that end without an event are asked for less and less often`() throws {
    var machine = try machine("0@0:0")
    var pauses: [Int64] = []
    var now: Int64 = 0
    for _ in 0..<8 {
      machine.asked(at: now - 60 * FanOutMachineTests.second)
      machine.opened(at: now)
      machine.ended(at: now)
      guard case .wait(let until) = machine.step(at: now) else {
        pauses.append(0)
        continue
      }
      pauses.append((until - now) * 2 / FanOutMachineTests.second)
      now = until
    }
    #expect(pauses == [0, 1, 2, 4, 8, 16, 20, 20])
    #expect(!machine.isHopeless)
    for _ in 0..<2 { machine.ended(at: now) }
    #expect(machine.isHopeless)
    _ = machine.heard(answer([]), at: now)
    #expect(!machine.isHopeless)
  }

  @Test func `another subscription of the consumer is waited out, but not forever`() throws {
    var machine = try machine("0@0:0")
    for count in 1...FanOutMachine.refusalsMax {
      let continues = machine.failed(.inUse, at: 0)
      #expect(continues == (count < FanOutMachine.refusalsMax))
      let found = machine.step(at: 0)
      #expect(found == .wait(until: FanOutMachine.takeOver))
    }
    for kind in [KinesisFailure.Kind.passing, .refused, .missing, .final] {
      let continues = machine.failed(kind, at: 0)
      #expect(!continues)
    }
    let continues = machine.failed(.throttled, at: 0)
    #expect(continues)
  }

  @Test func `where retention may have overtaken the reader its position is looked for again`() throws {
    var machine = try machine("0@0:0")
    machine.settings.retentionMilliseconds = 10_000
    open(&machine, at: 0)
    _ = machine.heard(answer(["5"], next: "5", behind: 9_500), at: 0)
    machine.moved(to: .record(number("5", sub: 1)))
    let s = FanOutMachineTests.second
    let found1 = machine.step(at: s)
    #expect(found1 == .close(.overtaken))
    let found2 = machine.step(at: 6 * s)
    #expect(found2 == .subscribe(.at("5")))
  }

  @Test func `an event without a continuation is the shard's end`() throws {
    var machine = try machine("0@0:0")
    open(&machine, at: 0)
    let found = machine.heard(answer(["5"], next: nil), at: 0)
    #expect(found == .ended && machine.hasEnded)
  }
}
