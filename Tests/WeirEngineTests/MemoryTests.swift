import Foundation
import Synchronization
import Testing
import WeirConfiguration
import WeirCore
import WeirLocal
import WeirOperators
import WeirProtocol
import WeirTesting

@testable import WeirEngine

@Suite struct MemoryBudgetTests {
  @Test func machinesOfDifferentSizesMakeTheSameEpochsUnlessTheyAreSmall() {
    let usual = MemoryBudget(configured: nil, available: 16 << 30)
    #expect(usual.total == 12 << 30 && usual.epochMax == 256 << 20)
    #expect(MemoryBudget(configured: nil, available: 512 << 30).epochMax == usual.epochMax)
    #expect(MemoryBudget(configured: nil, available: nil).epochMax == usual.epochMax)
    // Better other epochs than an end by the kernel.
    #expect(MemoryBudget(configured: nil, available: 1 << 30).epochMax == 48 << 20)
    #expect(MemoryBudget(configured: 16 << 30, available: 1 << 30).epochMax == 1 << 30)
    #expect(MemoryBudget(configured: 1, available: 0).total == MemoryBudget.least)
  }

  @Test(arguments: [
    (StateBytes(dedup: 600, windows: 10, keyed: 20), "dedup"), (StateBytes(dedup: 200, windows: 300, keyed: 20), "windows"),
    (StateBytes(dedup: 200, windows: 10, keyed: 310), "keyed"),
  ]) func stateBeyondItsPartNamesTheLargestHolderAndTheSetting(_ state: StateBytes, _ holder: String) throws {
    let budget = MemoryBudget(configured: 1000 << 20, available: nil)
    func scaled(_ by: Int64) -> StateBytes { StateBytes(dedup: state.dedup * by, windows: state.windows * by, keyed: state.keyed * by) }
    try budget.check(scaled(1))
    let error = #expect(throws: WeirError.self) { try budget.check(scaled(1 << 20)) }
    #expect(error?.code == .memoryExceeded && error?.fatalTo == .worker)
    #expect(error?.message.contains(holder) == true && error?.message.contains("of the worker (1000 MiB)") == true)
    #expect(error?.advice?.remedies.contains(.setting(.workerMemory)) == true)
  }
}

@Suite struct MemoryGovernorTests {
  /// A process whose memory the test sets.
  private final class Process: Sendable {
    let bytes = Mutex<Int64>(0)
    let kept = Mutex<Int64>(0)
    var memory: ProcessMemory {
      ProcessMemory(
        anonymousBytes: { self.bytes.withLock { $0 } + self.kept.withLock { $0 } }, trim: { self.kept.withLock { $0 = 0 } })
    }
    func take(_ bytes: Int64, kept: Int64 = 0) {
      self.bytes.withLock { $0 = bytes }
      self.kept.withLock { $0 = kept }
    }
  }

  private let budget = MemoryBudget(configured: 256 << 20, available: nil)
  private let clock = ManualClock(.moves)

  @Test func inputComesAsLongAsThereIsRoomAndTheAllocatorGivesBackFirst() async throws {
    let process = Process()
    let governor = MemoryGovernor(budget, process.memory)
    process.take(budget.busyAbove)
    #expect(!governor.isBusy)
    process.take(10 << 20, kept: 300 << 20)
    try await governor.admit(clock)
    #expect(process.kept.withLock { $0 } == 0 && governor.peak == 310 << 20)
    // Nothing is under way, and it is not full: one after the other.
    process.take(budget.busyAbove + 1)
    #expect(governor.isBusy)
    try await governor.admit(clock)
  }

  @Test func inputWaitsForTheEpochThatIsUnderWay() async throws {
    let process = Process()
    let governor = MemoryGovernor(budget, process.memory)
    process.take(budget.total)
    governor.began()
    let isAdmitted = Flag()
    let waiting = Task {
      try await governor.admit(clock)
      isAdmitted.raise()
    }
    for _ in 0..<100 { await Task.yield() }
    #expect(!isAdmitted.isRaised)
    process.take(100 << 20)
    governor.ended()
    try await waiting.value
  }

  /// It looks again when a block was consumed or rows were encoded, and at no other time.
  @Test func inputThatWaitsLooksAgainWhenMemoryMayHaveComeFree() async throws {
    let process = Process()
    let governor = MemoryGovernor(budget, process.memory)
    process.take(budget.total)
    let isAdmitted = Flag()
    let asked = Bell()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask {
        try await governor.admit(clock) {
          asked.ring()
          return true
        }
        isAdmitted.raise()
      }
      for look in 1...3 {
        while asked.rung < look { await Task.yield() }
        for _ in 0..<100 { await Task.yield() }
        #expect(asked.rung == look && !isAdmitted.isRaised)
        if look == 3 { process.take(100 << 20) }
        governor.freed()
      }
      try await tasks.waitForAll()
    }
    #expect(isAdmitted.isRaised && asked.rung == 3)
    // One that is not wanted any more waits for nothing.
    process.take(budget.total)
    governor.began()
    let waiting = Task { try await governor.reserve(1, clock) }
    waiting.cancel()
    await #expect(throws: WeirError.self) { try await waiting.value }
  }

  /// A look is a system call: a topic of small batches has thousands of blocks per second.
  @Test func theProcessIsLookedAtOncePerMegabyteOfInputUnlessItIsBusy() {
    let looks = Mutex(0)
    let process = Process()
    let memory = ProcessMemory(
      anonymousBytes: {
        looks.withLock { $0 += 1 }
        return process.bytes.withLock { $0 }
      }, trim: {})
    /// Looks during some calls, and whether each of them said so.
    func count(_ calls: Int, of governor: MemoryGovernor, after bytes: Int64, areBusy: Bool) -> Int {
      looks.withLock { $0 = 0 }
      for _ in 0..<calls { #expect(governor.isBusy(after: bytes) == areBusy) }
      return looks.withLock { $0 }
    }
    let governor = MemoryGovernor(budget, memory)
    process.take(10 << 20)
    #expect(count(1000, of: governor, after: 10 << 10, areBusy: false) == 9)
    process.take(budget.total)
    #expect(governor.isBusy(after: 1 << 20))
    #expect(count(10, of: governor, after: 1, areBusy: true) >= 10, "input waits no longer than it has to")
    process.take(10 << 20)
    #expect(!governor.isBusy(after: 1))
  }

  @Test func aCutLooksAtTheProcessOnlyAsOftenAsItMustWhereThereIsRoom() async throws {
    let looks = Mutex(0)
    let memory = ProcessMemory(
      anonymousBytes: {
        looks.withLock { $0 += 1 }
        return 10 << 20
      }, trim: {})
    try await MemoryGovernor(budget, memory).reserve(1 << 20, clock)
    #expect(looks.withLock { $0 } <= 3)
  }

  @Test func aFullProcessStopsAndNamesTheLargestHolder() async {
    let process = Process()
    let governor = MemoryGovernor(budget, process.memory)
    process.take(budget.total)
    var error = await #expect(throws: WeirError.self) { try await governor.admit(clock) }
    #expect(error?.code == .memoryExceeded && error?.message.contains("the rows and files of the epochs") == true)
    governor.holds(StateBytes(dedup: 1, windows: 2, keyed: 90 << 20))
    error = await #expect(throws: WeirError.self) { try await governor.admit(clock) }
    #expect(error?.message.contains("keyed state, 90 MiB") == true && error?.advice?.remedies.first == .setting(.workerMemory))
  }

  /// The rows of an epoch are let go of shortly after its end.
  @Test func memoryThatComesFreeLateStopsNoWorker() async throws {
    let process = Process()
    let looks = Mutex(0)
    let memory = ProcessMemory(
      anonymousBytes: {
        let look = looks.withLock { looks in
          looks += 1
          return looks
        }
        return look < 12 ? 300 << 20 : 100 << 20
      }, trim: process.memory.trim)
    let governor = MemoryGovernor(budget, memory)
    try await governor.reserve(1 << 20, clock)
    #expect(looks.withLock { $0 } >= 12 && clock.monotonicNanoseconds < 100_000_000)
  }

  @Test func aCutNeedsRoomForItsBlobs() async throws {
    let process = Process()
    let governor = MemoryGovernor(budget, process.memory)
    process.take(150 << 20)
    try await governor.reserve(80 << 20, clock)
    let error = await #expect(throws: WeirError.self) { try await governor.reserve(100 << 20, clock) }
    #expect(error?.code == .memoryExceeded && error?.message.contains("needs 100 MiB more to save its state") == true)
  }

  /// A stop within an epoch is remembered at its entry, and no later.
  @Test func eachStopAtTheSameEntryHalvesTheNextEpoch() async throws {
    let root = NSTemporaryDirectory() + "weir-relief-" + UUID().uuidString
    let threads = BlockingThreads(count: 1)
    defer {
      try? FileManager.default.removeItem(atPath: root)
      threads.stop()
    }
    let store = LocalObjectStore(root: root, threads: threads, random: SystemRandom())
    let layout = LedgerLayout(pipeline: "p")
    let stop = WeirError(.memoryExceeded, "")
    #expect(await MemoryRelief.halvings(store, layout, at: 7) == 0)
    await MemoryRelief.leave(WeirError(.storageRefused, ""), store, layout, at: 7)
    #expect(await MemoryRelief.halvings(store, layout, at: 7) == 0)
    await MemoryRelief.leave(stop, store, layout, at: 7)
    await MemoryRelief.leave(stop, store, layout, at: 7)
    #expect(await MemoryRelief.halvings(store, layout, at: 7) == 2)
    #expect(await MemoryRelief.halvings(store, layout, at: 8) == 0)
    await MemoryRelief.leave(stop, store, layout, at: 8)
    #expect(await MemoryRelief.halvings(store, layout, at: 8) == 1)
  }
}

@Suite struct CutRuleTests {
  private func partition(_ n: UInt64) -> Hash128 { Hash128(low: n, high: 0) }

  @Test func anEpochIsCutByWhatItsRecordsHoldAndByItsPartitionsEachCountedOnce() {
    // An epoch may hold 8 MiB.
    var rule = CutRule(MemoryBudget(configured: 128 << 20, available: nil))
    #expect(rule.isEmpty && !rule.isDue)
    rule.add(BlockWeight(bytes: 8 << 20 - 1, partitions: []))
    #expect(!rule.isEmpty && !rule.isDue)
    rule.add(BlockWeight(bytes: 1, partitions: []))
    #expect(rule.isDue)
    rule.cut()
    #expect(rule.isEmpty && !rule.isDue)
    for _ in 0..<10 { rule.add(BlockWeight(bytes: 0, partitions: (0..<100).map(partition))) }
    #expect(rule.bytes == 100 * CutRule.partitionBytes)
    rule.add(BlockWeight(bytes: 0, partitions: (0..<512).map(partition)))
    #expect(rule.isDue)
    rule.cut()
    rule.add(BlockWeight(bytes: 0, partitions: [partition(1)]))
    #expect(rule.bytes == CutRule.partitionBytes, "each epoch has files of its own")
  }

  @Test func afterAStopForMemoryTheFirstEpochIsSmallerAndTheNextIsNot() {
    var rule = CutRule(MemoryBudget(configured: 128 << 20, available: nil), halvings: 2)
    rule.add(BlockWeight(bytes: 2 << 20 - 1, partitions: []))
    #expect(!rule.isDue)
    rule.add(BlockWeight(bytes: 1, partitions: []))
    #expect(rule.isDue)
    rule.cut()
    rule.add(BlockWeight(bytes: 2 << 20, partitions: []))
    #expect(!rule.isDue)
    // However often it stopped, a record that comes makes an epoch.
    var last = CutRule(MemoryBudget(configured: 128 << 20, available: nil), halvings: 1000)
    #expect(!last.isDue)
    last.add(BlockWeight(bytes: 1, partitions: []))
    #expect(last.isDue)
  }

  @Test func aLaneWaitsForTheCutOfAnEpochThatHoldsAsMuchAsItMay() async {
    let gate = InputGate(bytesMax: 1000, rule: CutRule(MemoryBudget(configured: 128 << 20, available: nil)))
    await gate.admit(10)
    await gate.add(BlockWeight(bytes: 8 << 20, partitions: []))
    #expect(await gate.isHeavy)
    let isAdmitted = Flag()
    let waiting = Task {
      await gate.admit(10)
      isAdmitted.raise()
    }
    for _ in 0..<100 { await Task.yield() }
    #expect(!isAdmitted.isRaised)
    await gate.cut()
    await waiting.value
    #expect(await !gate.isHeavy)
  }

  @Test func aLiveWorkerCutsForMemory() {
    let trigger = EpochTrigger(everyNanoseconds: 10, bytesMax: 100, now: 0)
    #expect(trigger.isDue(at: 0, bytes: 0, isHeavy: true, isWanted: false))
    #expect(!trigger.isDue(at: 0, bytes: 0, isHeavy: false, isWanted: false))
  }
}

@Suite struct RowWeightsTests {
  private func compiled(_ more: String) throws -> CompiledPlan {
    let yaml = """
      pipeline: p
      source: {capture: {stream: s}}
      record:
        format: json
        key: u
        time: {field: t, out_of_order: 0s}
        fields: {u: string!, c: string, t: timestamp_s!}
      \(more)
      """
    return CompiledPlan(try loadPipeline(yaml: yaml, file: "p.yaml").plan, lookups: [])
  }

  private func weight(_ compiled: CompiledPlan, _ lines: [String]) throws -> BlockWeight {
    var sequencer = Sequencer(compiled.plan, maximum: nil, judge: .clock(nil))
    var block = BlockPreparer(compiled, nil).prepare(RawBlock(lines: Array(lines.joined(separator: "\n").utf8)))
    let undecided = try sequencer.sequence(&block)
    #expect(undecided == nil)
    return RowWeights(compiled).weight(of: block)
  }

  private func line(_ i: Int, day: Int = 0) -> String { #"{"u":"u\#(i)","c":"c\#(i)","t":\#(day * 86400 + 1_000_000)}"# }

  @Test func recordsThatAreRejectedWeighWhatTheirRowsHoldInAnyPlan() throws {
    for plan in ["bronze: {}", "gold:\n  g: {by: [u], window: {tumbling: 10s}, measure: {n: count()}}"] {
      let compiled = try compiled(plan)
      let bytes = try weight(compiled, Array(repeating: "1", count: 1000)).bytes
      #expect(bytes > 300_000, "a thousand records of one byte: \(bytes)")
    }
    let reason = try weight(compiled("bronze: {}"), [#"{"u":1}"#]).bytes
    let long = try weight(compiled("bronze: {}"), [#"{"u":"\#(String(repeating: "x", count: 10_000))"}"#]).bytes
    #expect(long > reason + 2 * 9_900, "its bytes are held by bronze and by quarantine")
  }

  @Test func recordsThatAreAggregatedAtOnceWeighLittle() throws {
    let bytes = try weight(
      compiled("gold:\n  g: {by: [u], window: {tumbling: 10s}, measure: {n: count()}}"), (0..<1000).map { line($0) }
    ).bytes
    // 40 MiB of such records are 1.2 million, and must not fill an epoch: a cut costs the state.
    #expect(bytes < 1000 * 80)
  }

  @Test func partitionsAreCountedAsTheTablesHaveThem() throws {
    let lines = (0..<300).map { line($0 % 30, day: $0 % 3) }
    func partitions(_ plan: String) throws -> Int { Set(try weight(compiled(plan), lines).partitions).count }
    // Days of arrival are counted in any plan: rejected and late rows go by them.
    #expect(try partitions("silver: {}") == 3)
    #expect(try partitions("silver: {partition_by: c}") == 30 + 3)
    #expect(try partitions("silver: {partition_by: \"c, day(t)\"}") == 30 + 3)
    #expect(try partitions("silver: {partition_by: day(t)}") == 3 + 3)
    #expect(try partitions("bronze: {partition_by: key}") == 30 + 3)
    #expect(try partitions("bronze: {partition_by: _position}") == 300 + 3)
    #expect(try partitions("bronze: {partition_by: _arrival}") == 3)
    #expect(try partitions("bronze: {partition_by: key}\nsilver: {partition_by: u}") == 30 + 30 + 3, "files of two tables are two")
    let text = String(repeating: "x", count: 5_000)
    let short = try weight(compiled("silver: {partition_by: c}"), lines).bytes
    let long = try weight(compiled("silver: {partition_by: c}"), lines.map { $0.replacing("\"c\":\"", with: "\"c\":\"\(text)") }).bytes
    #expect(long > short + 30 * 5_000 * 8 + 300 * 5_000, "long values are held several times, each once for its partition")
    let one = try weight(compiled("silver: {partition_by: day(t)}"), (0..<10).map { line($0) }).partitions
    let many = try weight(compiled("silver: {partition_by: day(t)}"), lines).partitions
    #expect(Set(many).isSuperset(of: one), "a block of one day names it as one of several does")
  }
}

@Suite struct StepSplitTests {
  @Test func aStepThatIsCutInTheMiddleLosesNothingAndRepeatsNothing() {
    let a = LaneID(shard: "t/0")
    var step = RecordedStep(
      work: .epochs(isClosing: false),
      ranges: [
        RecordedRange(shard: "t/0", from: 10, to: 40, lost: [12..<14, 30..<35]), RecordedRange(shard: "t/1", from: 0, to: 9),
        RecordedRange(shard: "t/2", from: 5, to: 8),
      ])
    let gaps = [(12, 14), (30, 35)].map { Decision.gap(from: .offset(Int64($0)), to: .offset(Int64($1)), reason: "lost") }
    step.decisions = [a: gaps]
    let (done, rest) = step.split(at: ["t/0": 20, "t/1": 9])
    #expect(
      done.ranges == [RecordedRange(shard: "t/0", from: 10, to: 20, lost: [12..<14]), RecordedRange(shard: "t/1", from: 0, to: 9)])
    #expect(done.decisions == [a: [gaps[0]]])
    #expect(
      rest.ranges == [
        RecordedRange(shard: "t/0", from: 20, to: 40, lost: [30..<35]), RecordedRange(shard: "t/1", from: 9, to: 9),
        RecordedRange(shard: "t/2", from: 5, to: 8),
      ])
    #expect(rest.decisions == [a: [gaps[1]]] && rest.hasMore && !rest.isWhole)
    #expect(!rest.split(at: ["t/0": 40, "t/2": 8]).rest.hasMore)
  }
}

@Suite struct LongRecordTests {
  private let budget = MemoryBudget(configured: 64 << 20, available: nil)

  @Test func aRecordMayUseAThirtySecondOfTheBudgetInEitherFraming() throws {
    let max = budget.recordBytes
    #expect(max == (64 << 20) / 32)
    let short = Array(repeating: UInt8(ascii: "s"), count: 9)
    for (bytes, isRefused) in [(max, false), (max + 1, true)] {
      let long = Array(repeating: UInt8(ascii: "l"), count: bytes)
      // A line's length counts its end.
      let lines = RawBlock(lines: short + [0x0A] + long.dropLast() + [0x0A], position: 100)
      let alone = RawBlock(records: [long], position: 7)
      for (block, position, shard) in [(lines, 110, nil), (alone, 7, "t/3")] as [(RawBlock, Int, String?)] {
        let error = failure { try budget.check(block, of: shard) }
        #expect((error?.code == .recordTooLong) == isRefused)
        guard isRefused else { continue }
        #expect(error?.message.contains("at position \(position) is ") == true && error?.message.contains("of t/3") == (shard != nil))
        #expect(error?.isRetriable == false)
      }
    }
  }

  /// A record's key and headers are in the text of its block, too.
  @Test func theKeyCountsToo() {
    var block = RawBlock(records: [Array(repeating: 0x6B, count: budget.recordBytes + 1)])
    block.framing = .spans(offset: [UInt32(budget.recordBytes)], length: [1])
    #expect(failure { try budget.check(block, of: "t/0") }?.code == .recordTooLong)
  }

  private func failure(_ body: () throws -> Void) -> WeirError? {
    do { try body() } catch { return error as? WeirError }
    return nil
  }
}

@Suite struct LookupMemoryTests {
  @Test func lookupsThatDoNotFitStopTheWorkerByName() throws {
    func table(_ name: String, _ rows: Int) throws -> LookupTable {
      let lines = (0..<rows).map { "key\($0),\(String(repeating: "v", count: 100))" }
      return try LookupTable(name: name, bytes: Array(("id,x\n" + lines.joined(separator: "\n")).utf8), file: "f.csv", key: "id")
    }
    let budget = MemoryBudget(configured: 64 << 20, available: nil)
    let (small, large) = (try table("small", 10), try table("large", 200_000))
    // 110 bytes of text, two views of 16 bytes and 8 to 16 bytes of the index for each row.
    #expect((200_000 * 140...200_000 * 170).contains(large.memoryBytes))
    try budget.check([])
    try budget.check([small])
    let error = #expect(throws: WeirError.self) { try budget.check([small, large]) }
    #expect(error?.code == .memoryExceeded && error?.message.contains("the largest is large, 2") == true, "\(String(describing: error))")
  }
}

@Suite struct PartitionFilesTests {
  @Test(
    arguments: [
      (.string(""), nil), (.binary([]), nil), (.string(" "), " "), (.double(-0.0), "0.0"), (.double(0), "0.0"), (.double(-0.5), "-0.5"),
      (.null, nil),
    ] as [(Literal, String?)]) func anEmptyTextIsNullAndBothZerosAreOne(_ value: Literal, _ text: String?)
  {
    #expect(PartitionValues.text(PartitionColumn(transform: .identity, column: "c", name: "c"), value) == text)
  }

  /// Values alternate, and there are far more than files may be open.
  @Test func rowsOfVeryManyPartitionsAreInFilesOfTheirOwnInTheirOrder() throws {
    let layout = TableLayout(
      TableDefinition(
        kind: .silver, name: "silver/s", columns: [ColumnSchema("n", .int64), ColumnSchema("c", .string)],
        partitionBy: [PartitionColumn(transform: .identity, column: "c", name: "c")], rowColumns: ["n", "c"]))
    var encoder = TableEncoder(layout, run: RunInfo(shard: "s", runID: "r"), lake: LakeSpec(), stem: "x")
    let values = TableEncoder.openMax * 9
    var expected: [String: [Int64]] = [:]
    var chunks: [RowChunk] = []
    for chunk in 0..<4 {
      var (numbers, texts) = (ColumnBuilder(.int64), ColumnBuilder(.string))
      for row in 0..<2 * values {
        let (number, value) = (Int64(chunk * 10_000 + row), "c\((row * 7) % values)")
        numbers.append(.int64(number))
        texts.append(.string(value))
        expected[value, default: []].append(number)
      }
      chunks.append(RowChunk([numbers.finish(), texts.finish()]))
    }
    chunks.reverse()
    var files: [EncodedFile] = []
    while let some = try encoder.files({ chunks.popLast() }) {
      #expect((1...TableEncoder.filesMax).contains(some.count))
      files += some
    }
    #expect(files.count == values && Set(files.map(\.data.path)).count == values)
    for file in files.map(\.data) {
      let numbers = expected[file.partition[0].value ?? ""] ?? []
      #expect(file.rows == Int64(numbers.count))
      guard case .columns(let columns) = file.stats else { continue }
      let statistics = columns[0]
      #expect(statistics.min == numbers.first.map { .int64($0) } && statistics.max == numbers.last.map { .int64($0) })
    }
  }
}
