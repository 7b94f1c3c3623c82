import Synchronization
import WeirCore

/// The settings of a source that is in no pipeline file.
public struct FakeSource: SourceSettings {
  public static let adapter = "fake"

  public var traits: LiveSourceTraits

  public init(traits: LiveSourceTraits) { self.traits = traits }

  public var live: LiveSourceTraits? { traits }
  public var meaning: FakeSource {
    var kept = LiveSourceTraits()
    (kept.streams, kept.partitioner) = (traits.streams, traits.partitioner)
    (kept.misplaced, kept.readsSeveralStreams) = (traits.misplaced, traits.readsSeveralStreams)
    return FakeSource(traits: kept)
  }
  public func reads(_ stream: String) -> Bool { traits.streams.contains(stream) }
}

/// A topic in memory, shared by the members of a group. The test moves the shards about.
public final class FakeTopic: Sendable {
  public struct Shard {
    public var low: Int64 = 0
    /// nil: a position without a record.
    public var records: [[UInt8]?] = []
    /// nil: the source cannot distinguish incarnations.
    public var incarnation: String?
    /// The source reports an end that is this many positions too low.
    public var endTooLow: Int64 = 0
    /// Of a topic whose shards are split and merged.
    public var range: HashRange?
    public var parents: [String] = []
    /// Nothing more comes.
    public var isClosed = false
    /// Another program has processed what comes before it, and the user accepts that.
    public var elsewhere: Int64 = 0

    public init(low: Int64 = 0, incarnation: String? = nil) { (self.low, self.incarnation) = (low, incarnation) }

    public var high: Int64 { low + Int64(records.count) }
  }

  public let shards: Mutex<[String: Shard]>
  /// Rung when anything of the topic, of its members or of what their workers say has changed.
  public let bell = Bell()
  public let followed = Mutex<[String: FollowedPosition]>([:])
  /// Questions to the source that are to fail before one is answered.
  public let questionsLost = Mutex(0)
  /// The same of those for the shards that there are: a worker's first.
  public let firstQuestionsLost = Mutex(0)
  /// Questions about shards get no answer as long as it is so: they wait until their group refuses them.
  public let isSilent = Mutex(false)
  /// Questions that got no answer.
  public let unanswered = Atomic(0)
  /// What the source says to a worker's first question; nil: it answers.
  public let firstQuestionsFail = Mutex<WeirError?>(nil)
  public let stream = "t"
  /// Questions for single records that were answered.
  public let looks = Atomic(0)

  /// Its positions are numbers of 128 bits that are far apart, so lanes count its records; the topic itself has an index for each.
  public let isCounted: Bool
  private static let base: UInt128 = 49_590_338_271_490_256_608_559_692_538_361_571_095
  private static let stride: UInt128 = 7_919 << 70

  /// Of an index.
  public func position(_ index: Int64) -> Position { isCounted ? .sequence(number(index)) : .offset(index) }

  /// The place of an index for a lane that has counted this many records; nil: as many as there are before the index.
  public func point(_ index: Int64, counted: Int64? = nil) -> ShardPoint { ShardPoint(counted ?? index).moved(to: position(index)) }

  private func number(_ index: Int64) -> SequenceNumber { SequenceNumber(FakeTopic.base + UInt128(index) * FakeTopic.stride) }

  func numbers(_ indexes: [Int64]) -> [SequenceNumber] { isCounted ? indexes.map(number) : [] }

  func index(_ place: ShardPoint) -> Int64 {
    guard let number = place.sequence else { return place.ordinal }
    return Int64(((UInt128(number.digits) ?? 0) - FakeTopic.base) / FakeTopic.stride)
  }

  public init(shards count: Int, isCounted: Bool = false) {
    self.isCounted = isCounted
    shards = Mutex(Dictionary(uniqueKeysWithValues: (0..<count).map { ("t/\($0)", Shard()) }))
  }

  /// - Parameter gapEvery: after this many records two positions have none.
  public func send(_ texts: [String], to shard: String, gapEvery: Int = .max) {
    var records: [[UInt8]?] = []
    for (i, text) in texts.enumerated() {
      records.append(Array(text.utf8))
      if (i + 1) % gapEvery == 0 { records += [nil, nil] }
    }
    change { $0[shard, default: Shard()].records += records }
  }

  public func change(_ body: (inout [String: Shard]) -> Void) {
    shards.withLock { body(&$0) }
    bell.ring()
  }

  /// Forgets the first records.
  public func trim(_ shard: String, to low: Int64) {
    change {
      guard var s = $0[shard] else { return }
      s.records.removeFirst(Int(low - s.low))
      s.low = low
      $0[shard] = s
    }
  }

  /// Deletes the shard and makes it again, empty.
  public func recreate(_ shard: String, incarnation: String? = nil) {
    change {
      var new = Shard(incarnation: incarnation)
      new.range = $0[shard]?.range
      $0[shard] = new
    }
  }

  /// Takes records out, as compaction does.
  public func compact(_ shard: String, _ positions: [Int]) {
    change { all in
      guard var s = all[shard] else { return }
      for position in positions { s.records[position - Int(s.low)] = nil }
      all[shard] = s
    }
  }

  /// What a reader of one record finds.
  /// - Parameter ordinal: of the record, as the worker counts; nil: its index.
  public func look(_ shard: String, at position: Int64, as ordinal: Int64? = nil) -> ShardSight {
    guard let s = shards.withLock({ $0[shard] }) else { return ShardSight(.unknown) }
    let look: ShardLook =
      if position < s.low {
        position < 0 ? .absent : .trimmed(low: self.position(s.low))
      } else if position >= s.high {
        .ended(high: self.position(s.high - s.endTooLow))
      } else if let record = s.records[Int(position - s.low)] {
        FakeTopic.block(shard, [ordinal ?? position], [record], numbers([position])).lastFingerprint.map { .record($0) } ?? .unknown
      } else {
        .absent
      }
    return ShardSight(look, incarnation: s.incarnation)
  }

  public static func block(
    _ shard: String, _ positions: [Int64], _ values: [[UInt8]], _ sequences: [SequenceNumber] = []
  ) -> RawBlock {
    var block = RawBlock(records: values, position: positions[0])
    block.details = RecordDetails(
      shard: shard, positions: positions, arrivals: values.map { _ in RecordDetails.noArrival },
      isAppendTime: false, keyOffset: values.map { _ in 0 }, keyLength: values.map { _ in -1 },
      sequences: sequences)
    return block
  }

  /// Records from a position, at most `count`; nil if the position is not there.
  public func read(_ shard: String, at position: Int64, count: Int) -> [[UInt8]?]? {
    shards.withLock { all in
      guard let s = all[shard], position >= s.low, position <= s.high else { return nil }
      return Array(s.records[Int(position - s.low)...].prefix(count))
    }
  }
}

/// One member.
public final class FakeGroup: ShardGroup {
  private struct State {
    var readers: [String: FakeReader] = [:]
    var isClosed = false
    var refusesQuestions = false
    var released: [String] = []
  }

  public let topic: FakeTopic
  private let state = Mutex(State())
  private let events = Mailbox<ShardGroupEvent>()
  /// Given on joining; nil: the group does not answer.
  private let own: [String]?

  public init(_ topic: FakeTopic, own: [String]?) {
    self.topic = topic
    self.own = own
  }

  public var isClosed: Bool { state.withLock { $0.isClosed } }

  public func tell(_ event: ShardGroupEvent) { events.give(event) }

  public var released: [String] { state.withLock { $0.released } }

  /// The lane has consumed everything that the shard held, and waits for more.
  public func isCaughtUp(_ shard: String) -> Bool { state.withLock { $0.readers[shard] }?.isCaughtUp ?? false }

  public func shards() async throws -> [SourceShard] {
    try FakeGroup.ask(topic.firstQuestionsLost)
    if let error = topic.firstQuestionsFail.withLock({ $0 }) { throw error }
    return topic.sourceShards
  }

  public func join() async throws { if let own { tell(.assigned(own)) } }

  public func nextEvent() async -> ShardGroupEvent { await events.next() }

  private static func ask(_ lost: borrowing Mutex<Int>) throws {
    let isLost = lost.withLock { left in
      defer { left = max(0, left - 1) }
      return left > 0
    }
    if isLost { throw WeirError(.unavailable, "the source does not answer") }
  }

  public func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    try FakeGroup.ask(topic.questionsLost)
    try await waitForAnswer()
    return topic.shards.withLock { all in
      Dictionary(
        uniqueKeysWithValues: shards.map {
          ($0, ShardBounds(low: topic.position(all[$0]?.low ?? 0), high: topic.position((all[$0]?.high ?? 0) - (all[$0]?.endTooLow ?? 0))))
        })
    }
  }

  private func waitForAnswer() async throws {
    guard topic.isSilent.withLock({ $0 }) else { return }
    topic.unanswered.add(1, ordering: .relaxed)
    topic.bell.ring()
    while true {
      let seen = topic.bell.rung
      if state.withLock({ $0.refusesQuestions || $0.isClosed }) { throw WeirError(.unavailable, "the source was not waited for") }
      await topic.bell.wait(after: seen)
    }
  }

  public func refuseQuestions() {
    state.withLock { $0.refusesQuestions = true }
    topic.bell.ring()
  }

  public func starts(of shards: [String]) async throws -> [String: ShardPoint] {
    try await bounds(of: shards).mapValues { ShardPoint(0).moved(to: $0.low) }
  }

  public func processedElsewhere(_ positions: [String: ShardPoint]) async throws -> [String: Position] {
    topic.shards.withLock { all in
      var found: [String: Position] = [:]
      for (name, point) in positions {
        if let next = all[name]?.elsewhere, next > topic.index(point) { found[name] = topic.position(next) }
      }
      return found
    }
  }

  public func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    let sights = asks.map { shard, ask in
      switch ask {
      case .at(let point): (shard, topic.look(shard, at: topic.index(point), as: point.ordinal))
      case .before(let point): (shard, topic.look(shard, at: topic.index(point) - 1, as: point.ordinal - 1))
      }
    }
    topic.looks.add(1, ordering: .relaxed)
    topic.bell.ring()
    return Dictionary(uniqueKeysWithValues: sights)
  }

  public func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] {
    state.withLock { state in
      for (shard, position) in positions { state.readers[shard] = FakeReader(topic, shard, position) }
      return state.readers.filter { positions[$0.key] != nil }
    }
  }

  public func release(_ shards: [String]) async throws {
    let readers = state.withLock { state in
      state.released += shards
      return shards.compactMap { state.readers.removeValue(forKey: $0) }
    }
    for reader in readers { reader.close() }
    topic.bell.ring()
  }

  public func follow(_ positions: [String: ShardPoint], as owner: String) async {
    topic.followed.withLock { $0.merge(positions.mapValues { FollowedPosition(position: $0.position, owner: owner) }) { $1 } }
  }

  public func followed(_ shards: [String]) async throws -> [String: FollowedPosition] {
    topic.followed.withLock { $0.filter { shards.contains($0.key) } }
  }

  public func close() async {
    let readers = state.withLock { state in
      state.isClosed = true
      return Array(state.readers.values)
    }
    for reader in readers { reader.close() }
    events.end(with: .closed)
    topic.bell.ring()
  }
}

public final class FakeReader: RecordSource {
  private let topic: FakeTopic
  private let shard: String
  private let state: Mutex<(position: Int64, ordinal: Int64, isClosed: Bool, saidEnd: Bool, isWaiting: Bool)>

  public init(_ topic: FakeTopic, _ shard: String, _ place: ShardPoint) {
    self.topic = topic
    self.shard = shard
    state = Mutex((topic.index(place), place.ordinal, false, false, false))
  }

  public func close() {
    state.withLock { $0.isClosed = true }
    topic.bell.ring()
  }

  public var isCaughtUp: Bool { state.withLock { $0.isWaiting } }

  public func next() async throws -> SourceEvent {
    while true {
      let (seen, waited) = (topic.bell.rung, isCaughtUp)
      let read: SourceEvent? = state.withLock { state in
        if state.isClosed || Task.isCancelled { return .end }
        func place() -> ShardPoint { ShardPoint(state.ordinal).moved(to: topic.position(state.position)) }
        guard let records = topic.read(shard, at: state.position, count: 7) else { return .outOfRange(at: place()) }
        if records.isEmpty {
          if let children = topic.children(ofClosed: shard) { return .closed(at: place(), children: children) }
          if state.saidEnd {
            state.isWaiting = true
            return nil
          }
          state.saidEnd = true
          return .caughtUp(next: place())
        }
        (state.saidEnd, state.isWaiting) = (false, false)
        let indexes = records.indices.filter { records[$0] != nil }.map { state.position + Int64($0) }
        let values = records.compactMap { $0 }
        let ordinals = topic.isCounted ? values.indices.map { state.ordinal + Int64($0) } : indexes
        state.position += Int64(records.count)
        state.ordinal += Int64(values.count)
        guard !values.isEmpty else { return .caughtUp(next: place()) }
        return .block(FakeTopic.block(shard, ordinals, values, topic.numbers(indexes)), next: place())
      }
      if let read { return read }
      if waited { await topic.bell.wait(after: seen) } else { topic.bell.ring() }
    }
  }
}
