import Testing
import WeirCore
import WeirProtocol

/// What a topic holds while workers that publish to it stop at any step, and several publish at once.
struct SinkMachineTests {
  /// Entries of two rows each, named by number and row.
  struct Row: Hashable, Comparable {
    var entry: Int64
    var row: Int
    static func < (a: Row, b: Row) -> Bool { (a.entry, a.row) < (b.entry, b.row) }
  }

  struct Generator {
    var state: UInt64
    mutating func next(below bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
  }

  /// One worker between two steps.
  struct Publisher {
    var machine: SinkMachine
    var action: SinkMachine.Action
    var sending: [Row] = []

    init(target: Int64, start: SinkSpec.Start = .earliest) {
      machine = SinkMachine(target: target, start: start)
      action = machine.begin
    }
  }

  /// What all of them share.
  struct World {
    var topic: [Row] = []
    var marker: Int64?
    /// The broken variant: the marker goes before the records.
    var marksFirst = false

    /// Carries out one step, or a part of one.
    /// - Returns: false at the end.
    mutating func step(_ p: inout Publisher) -> Bool {
      switch p.action {
      case .readMarker: p.action = p.machine.event(.markerRead(marker))
      case .readCollected: p.action = p.machine.event(.collectedRead(through: -1))
      case .readEntries(let after, let through):
        if marksFirst { marker = through }
        p.sending = (after + 1...through).flatMap { [Row(entry: $0, row: 0), Row(entry: $0, row: 1)] }
        p.action = p.machine.event(.entriesRead([]))
      case .publish:
        if p.sending.isEmpty { p.action = p.machine.event(.published) } else { topic.append(p.sending.removeFirst()) }
      case .writeMarker(let through):
        marker = through
        p.action = p.machine.event(.markerWritten)
      case .done, .fail: return false
      }
      return true
    }
  }

  /// What a consumer keeps that drops what is not beyond the largest (entry, row) so far.
  static func deduplicated(_ topic: [Row]) -> [Row] {
    var kept: [Row] = []
    for row in topic where kept.last.map({ $0 < row }) ?? true { kept.append(row) }
    return kept
  }

  static func run(seed: UInt64, target: Int64, marksFirst: Bool = false) -> World {
    var random = Generator(state: seed)
    var world = World(marksFirst: marksFirst)
    var publishers = [Publisher(target: target), Publisher(target: target)]
    var kills = 12
    while true {
      let i = random.next(below: publishers.count)
      if kills > 0, random.next(below: 25) == 0 {
        publishers[i] = Publisher(target: target)
        kills -= 1
      } else if !world.step(&publishers[i]) {
        publishers.remove(at: i)
        if publishers.isEmpty { return world }
      }
    }
  }

  @Test func `whatever stops publishers, a consumer that goes by the headers gets each row once and in order`() {
    let target: Int64 = 40
    let all = (1...target).flatMap { [Row(entry: $0, row: 0), Row(entry: $0, row: 1)] }
    var repeats = 0
    for seed in 0..<500 {
      let world = Self.run(seed: UInt64(seed), target: target)
      #expect(Self.deduplicated(world.topic) == all, "seed \(seed)")
      #expect(world.marker != nil && world.marker! <= target)
      repeats += world.topic.count - all.count
    }
    #expect(repeats > 0, "without repeats nothing was shown")
  }

  @Test func `a marker that is written before the records would lose some`() {
    let target: Int64 = 40
    let lost = (0..<500).contains { Set(Self.run(seed: UInt64($0), target: target, marksFirst: true).topic).count < Int(target) * 2 }
    #expect(lost)
  }

  @Test func `a new route begins where it is told, and stays there`() {
    var late = SinkMachine(target: 7, start: .latest)
    _ = late.event(.markerRead(nil))
    guard case .writeMarker(7) = late.event(.collectedRead(through: 3)) else { return #expect(Bool(false), "latest is the ledger's head") }
    var early = SinkMachine(target: 7, start: .earliest)
    _ = early.event(.markerRead(nil))
    guard case .writeMarker(3) = early.event(.collectedRead(through: 3)) else { return #expect(Bool(false), "earliest is what is left") }
    guard case .readEntries(3, 7) = early.event(.markerWritten) else { return #expect(Bool(false), "the entries behind the marker") }
  }
}
