import WeirCore
import WeirTesting

/// The coordinator of a consumer group: spreads a topic's shards over members, takes them back, and takes members that are silent
/// for dead.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedGroup: @unchecked Sendable {
  static let sessionNanoseconds: Int64 = 2_000_000_000
  static let handOverNanoseconds: Int64 = 5_000_000_000
  private static let heartbeatNanoseconds: Int64 = 250_000_000

  let topic: SimulatedTopic
  let isCooperative: Bool
  var faults: LiveFaults
  private(set) var marks = Marks()
  fileprivate var random: SplitMix64
  private var members: [SimulatedMember] = []
  private var isDue = false
  /// Shards that there were when they were spread last.
  private var dealt = 0
  private var isWatching = false
  /// Called with the worker that asks the source, before the answer.
  var onQuestion: ((Node) -> Void)?

  init(_ topic: SimulatedTopic, name: String, faults: LiveFaults) {
    self.topic = topic
    self.faults = faults
    random = topic.world.random("group \(name)")
    isCooperative = random.chance(0.5)
  }

  fileprivate var world: World { topic.world }

  func member(of node: Node) -> SimulatedMember { SimulatedMember(self, node) }

  func hit(_ mark: Mark) { marks.hit(mark) }

  // MARK: Membership

  fileprivate func join(_ member: SimulatedMember) {
    guard !members.contains(where: { $0 === member }) else { return }
    members.append(member)
    member.heardAt = world.now
    rebalance()
    watch()
  }

  fileprivate func leave(_ member: SimulatedMember) {
    guard members.contains(where: { $0 === member }) else { return }
    members.removeAll { $0 === member }
    (member.assigned, member.leaving) = ([], [])
    rebalance()
  }

  /// The member gave up what it was asked for.
  fileprivate func released(_ member: SimulatedMember) { settle() }

  /// Spreads the shards again, whatever the reason.
  func rebalance() {
    hit(.rebalance)
    isDue = true
    settle()
  }

  private func settle() {
    guard members.allSatisfy({ $0.leaving.isEmpty }) else { return }
    if isDue {
      isDue = false
      deal()
      for member in members {
        let leaving = isCooperative ? member.assigned.filter { !member.target.contains($0) } : member.assigned
        guard !leaving.isEmpty else { continue }
        member.leaving = leaving
        member.revokedAt = world.now
        member.tell(.revoked(leaving, isLost: false))
      }
      guard members.allSatisfy({ $0.leaving.isEmpty }) else { return }
    }
    for member in members {
      let new = member.target.filter { !member.assigned.contains($0) }
      guard !new.isEmpty || !member.hasHeard else { continue }
      member.hasHeard = true
      member.assigned = member.target
      member.tell(.assigned(new))
    }
  }

  private func deal() {
    for member in members {
      member.target = []
      member.hasHeard = false
    }
    guard !members.isEmpty else { return }
    var first = random.below(members.count)
    let shards = topic.shards.map(\.name)
    dealt = shards.count
    for shard in shards {
      members[first % members.count].target.append(shard)
      first += random.chance(0.3) ? 2 : 1
    }
  }

  /// Members that give no sign, or keep the group waiting for too long, are out.
  private func watch() {
    guard !isWatching else { return }
    isWatching = true
    world.after(SimulatedGroup.heartbeatNanoseconds) { [self] in
      isWatching = false
      for member in members {
        if member.node.isAlive, !member.node.isPaused || member.node.isUnnoticed { member.heardAt = world.now }
        let isSilent = world.now - member.heardAt > SimulatedGroup.sessionNanoseconds
        let isSlow = !member.leaving.isEmpty && world.now - member.revokedAt > SimulatedGroup.handOverNanoseconds
        if isSilent || isSlow { expel(member) }
      }
      if topic.workload.reshards || topic.workload.growth != nil, !members.isEmpty, topic.shards.count != dealt { rebalance() }
      if !members.isEmpty { watch() }
    }
  }

  /// The others get its shards; it hears of it when it asks next.
  func expel(_ member: SimulatedMember) {
    hit(.memberExpelled)
    members.removeAll { $0 === member }
    let lost = member.held
    (member.assigned, member.leaving, member.target) = ([], [], [])
    member.isExpelled = true
    member.tell(.revoked(lost, isLost: true))
    rebalance()
  }

  /// One at random loses its membership.
  func expelOne() { if !members.isEmpty { expel(members[random.below(members.count)]) } }
}

/// One member: what a worker's session sees of the group.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedMember: ShardGroup, @unchecked Sendable {
  private let group: SimulatedGroup
  let node: Node
  fileprivate var heardAt: Int64 = 0
  fileprivate var revokedAt: Int64 = 0
  fileprivate var assigned: [String] = []
  fileprivate var target: [String] = []
  fileprivate var leaving: [String] = []
  fileprivate var hasHeard = false
  fileprivate var isExpelled = false
  /// What the worker was given and has not released.
  fileprivate var held: [String] = []
  private var events: [ShardGroupEvent] = []
  private var waiter: UnsafeContinuation<ShardGroupEvent, Never>?
  private var readers: [String: SimulatedReader] = [:]
  /// Ends of shards in the first answer since the member has read them last.
  private var ends: [String: Int64] = [:]
  private var isClosed = false
  /// Those that are not answered, and whether they were losses.
  private var revocations: [Bool] = []

  fileprivate init(_ group: SimulatedGroup, _ node: Node) {
    self.group = group
    self.node = node
  }

  private var topic: SimulatedTopic { group.topic }

  fileprivate func tell(_ event: ShardGroupEvent) {
    switch event {
    case .assigned(let shards): held += shards
    case .revoked(_, let isLost): revocations.append(isLost)
    default: break
    }
    guard let waiter else { return events.append(event) }
    self.waiter = nil
    waiter.resume(returning: event)
  }

  func nextEvent() async -> ShardGroupEvent {
    await withUnsafeContinuation { continuation in
      if !events.isEmpty { return continuation.resume(returning: events.removeFirst()) }
      if isClosed { return continuation.resume(returning: .closed) }
      waiter = continuation
    }
  }

  /// A question to the source.
  private func ask() async throws {
    await node.sleep(nanoseconds: 1_000_000 + Int64(group.random.below(4_000_000)))
    if let onQuestion = group.onQuestion {
      onQuestion(node)
      await node.sleep(nanoseconds: 1000)
    }
    guard group.random.chance(group.faults.sourceFailed) else { return }
    group.hit(.sourceFailed)
    await node.sleep(nanoseconds: 100_000_000)
    throw WeirError(.unavailable, "the simulated source does not answer")
  }

  func shards() async throws -> [SourceShard] {
    try await ask()
    return topic.shards
  }

  func join() async throws {
    if !isClosed { group.join(self) }
  }

  func bounds(of shards: [String]) async throws -> [String: ShardBounds] {
    try await ask()
    for shard in shards where readers[shard] == nil && ends[shard] == nil { ends[shard] = topic.high(shard) }
    return Dictionary(uniqueKeysWithValues: shards.map { ($0, topic.bounds($0)) })
  }

  func starts(of shards: [String]) async throws -> [String: ShardPoint] {
    try await ask()
    return Dictionary(uniqueKeysWithValues: shards.map { ($0, topic.start($0)) })
  }

  func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] {
    try await ask()
    return asks.reduce(into: [:]) { sights, ask in
      let (place, back): (ShardPoint, Int64) =
        switch ask.value {
        case .at(let point): (point, 0)
        case .before(let point): (point, 1)
        }
      let look = topic.look(ask.key, at: topic.index(place) - back, as: place.ordinal - back)
      sights[ask.key] = ShardSight(look, incarnation: topic.incarnation.map { "i\($0)" })
    }
  }

  func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource] {
    if isClosed { throw WeirError(.unavailable, "the simulated group was closed") }
    for (shard, place) in positions.sorted(by: { $0.key < $1.key }) {
      if let end = ends.removeValue(forKey: shard) { topic.onAssign(shard, topic.position(shard, place), end) }
      readers[shard] = SimulatedReader(group, node, shard, at: place)
    }
    return readers.filter { positions[$0.key] != nil }
  }

  func release(_ shards: [String]) async throws {
    for shard in shards.sorted() { readers.removeValue(forKey: shard)?.isClosed = true }
    held.removeAll(where: shards.contains)
    let isLost = revocations.isEmpty ? false : revocations.removeFirst()
    if isLost {
      isExpelled = false
      if !isClosed { group.join(self) }
    } else if !isExpelled {
      assigned.removeAll(where: shards.contains)
      leaving.removeAll(where: shards.contains)
      group.released(self)
    }
  }

  func follow(_ positions: [String: ShardPoint], as owner: String) async {
    for (shard, position) in positions { topic.followed[shard] = FollowedPosition(position: position.position, owner: owner) }
  }

  func followed(_ shards: [String]) async throws -> [String: FollowedPosition] {
    try await ask()
    return topic.followed.filter { shards.contains($0.key) }
  }

  func close() async {
    guard !isClosed else { return }
    isClosed = true
    for reader in readers.values { reader.isClosed = true }
    group.leave(self)
    tell(.closed)
  }
}

/// One shard being read: some records at a time, with what a client's fetches do to them.
///
/// `@unchecked Sendable`: see ``World``.
final class SimulatedReader: RecordSource, @unchecked Sendable {
  private static let pollNanoseconds: Int64 = 40_000_000

  private let group: SimulatedGroup
  private let node: Node
  private let shard: String
  private var position: Int64
  /// Records before it that were lost, and not counted.
  private let lost: Int64
  private var saidEnd = false
  fileprivate var isClosed = false

  fileprivate init(_ group: SimulatedGroup, _ node: Node, _ shard: String, at place: ShardPoint) {
    self.group = group
    self.node = node
    self.shard = shard
    position = group.topic.position(shard, place)
    lost = position - place.ordinal
  }

  func close() async { isClosed = true }

  func next() async throws -> SourceEvent {
    await node.sleep(nanoseconds: 500_000 + Int64(group.random.below(3_000_000)))
    while true {
      if isClosed { return .end }
      if group.random.chance(group.faults.fetchFailed) {
        group.hit(.fetchFailed)
        throw WeirError(.unavailable, "a simulated fetch failed")
      }
      let bounds = group.topic.bounds(shard)
      let here = group.topic.point(shard, position, lost: lost)
      guard here.position >= bounds.low, here.position <= bounds.high else {
        group.hit(.outOfRange)
        return .outOfRange(at: here)
      }
      let records = group.topic.records(shard, from: position, count: 1 + group.random.below(7))
      if let last = records.last {
        position = last.position + 1
        saidEnd = false
        return .block(group.topic.block(shard, records, lost: lost), next: group.topic.point(shard, position, lost: lost))
      }
      if group.topic.isClosed(shard, at: position) {
        return .closed(at: group.topic.point(shard, position, lost: lost), children: group.topic.children(of: shard))
      }
      if !saidEnd {
        saidEnd = true
        position = group.topic.high(shard)
        return .caughtUp(next: group.topic.point(shard, position, lost: lost))
      }
      await node.sleep(nanoseconds: SimulatedReader.pollNanoseconds)
    }
  }
}
