import WeirCore
import WeirProtocol

/// What the simulated producers wrote, made before anything runs: the one thing that worker and oracle share.
struct Workload: Sendable {
  struct Record: Sendable {
    var id: Int
    var key: Int
    var time: Int
    var amount: Int
  }

  static let windowSize = 8
  static let outOfOrder = 4

  let lanes: [LaneID]
  let records: [LaneID: [Record]]

  /// Three shards; about one record in six is sent twice by its producer, soon or late.
  init(random: inout SplitMix64, recordsPerLane: Int) {
    lanes = (0..<3).map { LaneID(shard: "s\($0)") }
    var records: [LaneID: [Record]] = [:]
    for (n, lane) in lanes.enumerated() {
      var list: [Record] = []
      for i in 0..<recordsPerLane {
        if !list.isEmpty, random.chance(0.15) {
          list.append(list[random.below(list.count)])
        } else {
          list.append(
            Record(
              id: n * 1000 + i, key: random.below(4), time: i * 2 + random.below(4), amount: 1 + random.below(9)))
        }
      }
      records[lane] = list
    }
    self.records = records
  }

  func records(of lane: LaneID) -> [Record] { records[lane] ?? [] }

  static func window(of time: Int) -> Int { time / windowSize }
  static func end(of window: Int) -> Int64 { Int64((window + 1) * windowSize) }
}

/// A count and a sum, mergeable.
struct Tally: Sendable, Equatable {
  var count = 0
  var sum = 0

  mutating func add(_ amount: Int) {
    count += 1
    sum += amount
  }

  static func += (a: inout Tally, b: Tally) {
    a.count += b.count
    a.sum += b.sum
  }

  /// `7 3 21`: a number that it belongs to, count, sum.
  func line(_ number: Int) -> String { "\(number) \(count) \(sum)\n" }
}

/// Tallies by number, as text: partials, merge state, gold files.
enum TallyText {
  static func bytes(_ tallies: [Int: Tally]) -> [UInt8] {
    Array(tallies.sorted { $0.key < $1.key }.map { $0.value.line($0.key) }.joined().utf8)
  }

  static func parse(_ bytes: some Sequence<UInt8>) -> [Int: Tally] {
    var tallies: [Int: Tally] = [:]
    for line in String(decoding: Array(bytes), as: UTF8.self).split(separator: "\n") {
      let numbers = line.split(separator: " ").compactMap { Int($0) }
      if numbers.count == 3 { tallies[numbers[0], default: Tally()] += Tally(count: numbers[1], sum: numbers[2]) }
    }
    return tallies
  }
}

/// The durable state of a lane: ids seen, sums by key, running maximum of event time.
struct LaneState: Sendable, Equatable {
  var seen: Set<Int> = []
  var sums: [Int: Tally] = [:]
  var maxTime: Int?

  /// Everything, or (with `since`) what changed.
  func bytes(since old: LaneState? = nil) -> [UInt8] {
    var text = maxTime.map { "t \($0)\n" } ?? ""
    for id in seen.subtracting(old?.seen ?? []).sorted() { text += "i \(id)\n" }
    for (key, tally) in sums.sorted(by: { $0.key < $1.key }) where tally != old?.sums[key] {
      text += "k \(tally.line(key))"
    }
    return Array(text.utf8)
  }

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for line in String(decoding: Array(bytes), as: UTF8.self).split(separator: "\n") {
      let numbers = line.dropFirst(2).split(separator: " ").compactMap { Int($0) }
      switch (line.first, numbers.count) {
      case ("t", 1): maxTime = numbers[0]
      case ("i", 1): seen.insert(numbers[0])
      case ("k", 3): sums[numbers[0]] = Tally(count: numbers[1], sum: numbers[2])
      default: break
      }
    }
  }
}

/// One lane at work: pure, from records and decisions to rows.
struct LaneWork: Sendable {
  /// What a run of records gave.
  struct Output: Sendable {
    var rows = ""
    var partials: [Int: Tally] = [:]
    var counts = BucketCounts()
    var windows = WindowCounts()
    var keys: Set<Int> = []
  }

  var lane: LaneID
  var epoch: Int64 = 0
  var position = 0
  var state = LaneState()
  var stateRef: StateRef?
  var floor = Watermark.minimum
  var version = 0
  var isIdle = false
  var hasEnded = false

  var watermark: Int64 { state.maxTime.map { Int64($0 - Workload.outOfOrder) } ?? Watermark.minimum }

  mutating func process(_ records: ArraySlice<Workload.Record>) -> Output {
    var output = Output()
    for record in records {
      state.maxTime = max(state.maxTime ?? record.time, record.time)
      accept(record, &output)
      position += 1
    }
    return output
  }

  private mutating func accept(_ record: Workload.Record, _ output: inout Output) {
    guard state.seen.insert(record.id).inserted else {
      output.counts.duplicate += 1
      return
    }
    output.counts.accepted += 1
    let window = Workload.window(of: record.time)
    let isLate = Workload.end(of: window) <= max(watermark, floor)
    output.rows += "\(lane.text) \(position) \(record.id) v\(version)\(isLate ? " late" : "")\n"
    state.sums[record.key, default: Tally()].add(record.amount)
    output.keys.insert(record.key)
    if isLate {
      output.windows.late += 1
    } else {
      output.windows.onTime += 1
      output.partials[window, default: Tally()].add(record.amount)
    }
  }
}
