import Testing
import WeirTesting

@testable import WeirKafka

@Suite struct ReaderMachineTests {
  /// The queue, librdkafka and the reader as steps that come in any order, in 2,000 orders: nothing is lost, and
  /// nobody waits for ever.
  @Test func everyItemIsHandedOutOnceInAnyOrderOfSteps() {
    for seed in stride(from: 0, to: 2_000, by: Cases.step(debug: 7)) { handsOutEveryItemOnce(seed: seed) }
  }

  private func handsOutEveryItemOnce(seed: Int) {
    var random = TestRandom(UInt64(seed + 1))
    var machine = ReaderMachine<[Int]>(aheadMax: seed % 3)
    var queue: [Int] = []
    var sent = 0
    var got: [Int] = []
    var job: (began: Bool, taken: [Int], emptied: Bool)?
    var isAsking = false

    func start(_ action: ReaderMachine<[Int]>.Action) { if case .drain = action { job = (false, [], false) } }
    func deliver(_ read: [Int]?) {
      if let read {
        got += read
        isAsking = false
      }
    }
    for _ in 0..<2_000 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0 where sent < 300:
        queue.append(sent)
        sent += 1
        if queue.count == 1 { start(machine.woken()) }
      case 1 where !isAsking:
        isAsking = true
        let (read, action) = machine.asked()
        deliver(read)
        start(action)
      default:
        guard var running = job else { continue }
        if !running.began {
          _ = machine.began()
          running.began = true
          job = running
        } else if running.taken.count < 3, !running.emptied {
          if queue.isEmpty { running.emptied = true } else { running.taken.append(queue.removeFirst()) }
          job = running
        } else {
          job = nil
          let (read, action) = machine.ended(running.taken.isEmpty ? [] : [running.taken], isEmptied: running.emptied)
          deliver(read)
          start(action)
        }
      }
    }
    // No more steps of chance: everything must come out by itself.
    while got.count < sent {
      if !isAsking {
        isAsking = true
        let (read, action) = machine.asked()
        deliver(read)
        start(action)
        continue
      }
      guard job != nil else {
        Issue.record("seed \(seed): waits for ever with \(sent - got.count) left")
        return
      }
      if job?.began == false { _ = machine.began() }
      let taken = (job?.taken ?? []) + queue
      queue = []
      job = nil
      let (read, action) = machine.ended(taken.isEmpty ? [] : [taken], isEmptied: true)
      deliver(read)
      start(action)
    }
    #expect(got == Array(0..<sent), "seed \(seed)")
  }

  @Test func closingForgetsWhatLiesReadyAndTellsWhoWaits() throws {
    var machine = ReaderMachine<Int>(aheadMax: 1)
    guard case (nil, .drain) = machine.asked() else { throw Unexpected("a first question starts a job") }
    let isOpen = machine.began()
    #expect(isOpen)
    let waits = machine.closed()
    #expect(waits)
    #expect(machine.isBusy)
    let (read, action) = machine.ended([1], isEmptied: false)
    guard case .none = action else { throw Unexpected("nothing is started after the end") }
    #expect(read == nil)
    #expect(!machine.isBusy)
  }
}

@Suite struct GroupMachineTests {
  let one = KafkaPartition("t", 0)
  let two = KafkaPartition("t", 1)

  @Test func anAssignmentIsAnsweredWithAllItsPartitions() throws {
    var group = GroupMachine()
    group.assigned([one, two])
    #expect(throws: KafkaError.self) { try group.assign([one]) }
    try group.assign([one, two])
    #expect(group.held == [one, two])
    #expect(throws: KafkaError.self) { try group.assign([one]) }
  }

  @Test func aRevocationIsAnsweredBeforeAnythingElse() throws {
    var group = GroupMachine()
    try group.assign([one, two])
    group.revoked([two])
    #expect(throws: KafkaError.self) { try group.assign([KafkaPartition("t", 2)]) }
    #expect(throws: KafkaError.self) { _ = try group.release([one]) }
    let released = try group.release([two])
    #expect(released == [two])
    #expect(group.held == [one])
  }

  @Test func partitionsLostWhileTheyWereRestoredAreReleasedWithoutHavingBeenRead() throws {
    var group = GroupMachine()
    group.assigned([one])
    group.revoked([one])
    #expect(throws: KafkaError.self) { try group.assign([one]) }
    let released = try group.release([one])
    #expect(released.isEmpty)
  }

  @Test func anAssignmentThatReplacesAnotherWithoutARevocationIsAnsweredOnceTheOtherIsGivenUp() throws {
    var group = GroupMachine()
    group.assigned([one], by: .whole)
    try group.assign([one])
    let replaced = group.assigned([one, two], by: .whole)
    #expect(replaced == [one])
    let released = try group.release(replaced)
    #expect(released == [one])
    try group.assign([one, two])
    #expect(group.held == [one, two])
    #expect(group.owed == .nothing)
  }

  @Test func assignmentsThatComeBeforeTheEarlierOnesAreAnsweredAreAnsweredInOrder() throws {
    var group = GroupMachine()
    group.assigned([one], by: .whole)
    let replaced = group.assigned([two], by: .whole)
    #expect(replaced == [one])
    try group.assign([one])
    #expect(group.owed == .assign([two]))
    let released = try group.release(replaced)
    #expect(released == [one])
    try group.assign([two])
    #expect(group.held == [two])

    var incremental = GroupMachine()
    incremental.assigned([one])
    let none = incremental.assigned([two])
    #expect(none.isEmpty)
    #expect(throws: KafkaError.self) { try incremental.assign([two]) }
    try incremental.assign([one])
    try incremental.assign([two])
    #expect(incremental.held == [one, two])
    #expect(incremental.owed == .nothing)
  }
}
