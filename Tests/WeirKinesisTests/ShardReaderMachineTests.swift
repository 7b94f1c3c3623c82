import Testing
import WeirCore

@testable import WeirKinesis

struct ShardReaderMachineTests {
  private static let second: Int64 = 1_000_000_000

  private func answer(_ digits: [String], next: String? = "n", behind: Int64? = 0, bytes: Int = 100) -> RecordsAnswer {
    var answer = RecordsAnswer()
    answer.records = digits.compactMap { SequenceNumber($0) }.map { OuterRecord(sequence: $0, key: "k", data: []) }
    (answer.next, answer.millisecondsBehind, answer.bytes) = (next, behind, bytes)
    return answer
  }

  private func machine(_ text: String) throws -> ShardReaderMachine {
    ShardReaderMachine(try #require(KinesisPlace(place(text))), .init())
  }

  @Test(arguments: [
    ("0@0:0", IteratorStart.trimHorizon), ("0@0:1700000000123", .time(1_700_000_000_123)), ("7@55:1", .at("55")), ("7@55:0", .at("55")),
  ])
  func `a reader begins where its position says`(_ text: String, _ start: IteratorStart) throws {
    var machine = try machine(text)
    let found1 = machine.step(at: 0)
    #expect(found1 == .iterator(start))
    machine.made("i")
    let found2 = machine.step(at: 0)
    #expect(found2 == .fetch("i", limit: 1024))
  }

  @Test func `the record of the position must be there, else it was trimmed`() throws {
    var machine = try machine("7@55:1")
    _ = machine.step(at: 0)
    machine.made("i")
    let found3 = machine.answered(answer(["58"]), at: 0)
    #expect(found3 == .trimmed(number("58")))
    let found4 = machine.step(at: 0)
    #expect(found4 == .iterator(.at("55")))
    machine.made("i")
    let found5 = machine.answered(answer(["55", "58"]), at: 0)
    #expect(found5 == .records)
  }

  @Test func `an iterator that expired is replaced by one after the last record`() throws {
    var machine = try machine("0@0:0")
    _ = machine.step(at: 0)
    machine.made("i")
    let found6 = machine.answered(answer(["5", "6"]), at: 0)
    #expect(found6 == .records)
    machine.moved(to: .record(number("6", sub: 1)))
    let goesOn = machine.failed(.expired, at: 0)
    #expect(goesOn)
    let found7 = machine.step(at: ShardReaderMachineTests.second)
    #expect(found7 == .iterator(.after("6")))
  }

  @Test func `requests keep to a shard's limits: four a second, 2 MB a second, five seconds after 10 MB`() throws {
    var machine = try machine("0@0:0")
    _ = machine.step(at: 0)
    machine.made("i")
    _ = machine.answered(answer(["5"], behind: 9, bytes: 100), at: 0)
    let found8 = machine.step(at: 0)
    #expect(found8 == .wait(until: ShardReaderMachineTests.second / 4))
    _ = machine.answered(answer(["6"], behind: 9, bytes: 1_000_000), at: 0)
    let found9 = machine.step(at: 0)
    #expect(found9 == .wait(until: ShardReaderMachineTests.second / 2))
    _ = machine.answered(answer(["7"], behind: 9, bytes: 10_000_000), at: 0)
    let found10 = machine.step(at: 0)
    #expect(found10 == .wait(until: 5 * ShardReaderMachineTests.second))
    // Large records are asked for in small numbers.
    let found11 = machine.step(at: 5 * ShardReaderMachineTests.second)
    #expect(found11 == .fetch("n", limit: 1))
  }

  @Test func `an empty answer is no end while the shard has more, and a quiet shard is asked at the poll interval`() throws {
    var machine = try machine("0@0:0")
    machine.settings.pollNanoseconds = 3 * ShardReaderMachineTests.second
    _ = machine.step(at: 0)
    machine.made("i")
    let found12 = machine.answered(answer([], behind: 500), at: 0)
    #expect(found12 == .nothing(isAtEnd: false))
    let found13 = machine.step(at: 0)
    #expect(found13 == .wait(until: ShardReaderMachineTests.second / 4))
    let found14 = machine.answered(answer([], behind: 0), at: 0)
    #expect(found14 == .nothing(isAtEnd: true))
    let found15 = machine.step(at: 0)
    #expect(found15 == .wait(until: 3 * ShardReaderMachineTests.second))
  }

  @Test func `throttling is waited out, longer each time, and other failures are handed on`() throws {
    var machine = try machine("0@0:0")
    var waits: [ShardReaderMachine.Action] = []
    for _ in 0..<7 {
      let goesOn = machine.failed(.throttled, at: 0)
      #expect(goesOn)
      waits.append(machine.step(at: 0))
    }
    let halves: [Int64] = [1, 2, 4, 8, 16, 20, 20]
    #expect(waits == halves.map { .wait(until: $0 * ShardReaderMachineTests.second / 2) })
    for kind in [KinesisFailure.Kind.passing, .refused, .missing, .final] {
      let goesOn = machine.failed(kind, at: 0)
      #expect(!goesOn)
    }
  }

  @Test func `where retention may have overtaken the reader its position is looked for again`() throws {
    var machine = try machine("0@0:0")
    machine.settings.retentionMilliseconds = 10_000
    _ = machine.step(at: 0)
    machine.made("i")
    let found16 = machine.answered(answer(["5"], behind: 9_500), at: 0)
    #expect(found16 == .records)
    machine.moved(to: .record(number("5", sub: 1)))
    let found17 = machine.step(at: ShardReaderMachineTests.second / 2)
    #expect(found17 == .fetch("n", limit: 1024 * 1024 / 300))
    let found18 = machine.step(at: ShardReaderMachineTests.second)
    #expect(found18 == .iterator(.at("5")))
    machine.made("j")
    #expect(
      machine.answered(answer(["9"], behind: 9_900), at: ShardReaderMachineTests.second) == .trimmed(number("9")))
  }

  @Test func `a shard without another iterator has ended`() throws {
    var machine = try machine("0@0:0")
    _ = machine.step(at: 0)
    machine.made("i")
    let outcome = machine.answered(answer(["5"], next: nil), at: 0)
    #expect(outcome == .ended && machine.hasEnded)
  }
}
