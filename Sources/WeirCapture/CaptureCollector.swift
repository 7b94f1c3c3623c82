import WeirCore
import WeirEngine
import WeirLocal

/// Collects blocks of all partitions, and writes them as frames now and then.
///
/// Bounded: a partition's reader waits while its block is written or another's batch is; what is collected is at most
/// ``pendingBytesMax`` and a block a partition.
package actor CaptureCollector {
  /// Text that is collected before it is written.
  static let pendingBytesMax = 8 << 20

  private let writer: LiveCaptureWriter
  private let thread: BlockingThreads
  private let clock: any Clock
  /// Records after which nothing more is taken; nil: none.
  private let countMax: Int64?
  private var pending: [String: RecordedBlock] = [:]
  private var finished: [RecordedBlock] = []
  private var pendingBytes = 0
  private var taken: Int64
  private var ends: [String: Int64]
  private var isWriting = false
  private var waiting: [CheckedContinuation<Void, Never>] = []
  /// Raised when as many records as wanted were taken.
  nonisolated let full = Flag()

  package init(_ writer: LiveCaptureWriter, thread: BlockingThreads, clock: any Clock, countMax: Int64?) {
    self.writer = writer
    self.thread = thread
    self.clock = clock
    self.countMax = countMax
    taken = writer.records
    ends = writer.positions
    if countMax.map({ writer.records >= $0 }) ?? false { full.raise() }
  }

  /// Records taken, those of earlier runs included; written or not.
  var records: Int64 { taken }

  /// What the capture has, behind what was written.
  struct Standing: Sendable {
    var shards: [SourceShard]
    /// Those that have ended, and of which everything is captured.
    var ended: Set<String>
    /// Where the others continue.
    var points: [String: ShardPoint]
    var identities: [String: ShardIdentity]

    /// Those that have not ended.
    var open: [SourceShard] { shards.filter { !ended.contains($0.name) } }

    /// The shard has not ended, and its parents have, as far as they are captured.
    func isReady(_ shard: String) -> Bool {
      guard points[shard] != nil, let found = shards.first(where: { $0.name == shard }) else { return false }
      return !found.parents.contains { points[$0] != nil }
    }
  }

  func standing() async -> Standing {
    await enter()
    defer { leave() }
    return Standing(shards: writer.knownShards, ended: writer.ended, points: writer.points, identities: writer.identities)
  }

  /// What checks of shards found.
  func adopt(_ outcomes: [String: ShardCheck.Outcome]) async {
    await enter()
    defer { leave() }
    for (shard, outcome) in outcomes { writer.adopt(outcome, of: shard) }
  }

  /// Records in the capture why shards could not be verified.
  func note(unverified reasons: [String: String]) async throws {
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.note(unverified: reasons, now: now) }
  }

  /// Partitions that count from here on.
  func add(_ shards: [SourceShard], starts: [String: ShardPoint], before: [String: Fingerprint]) async throws {
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.add(shards, starts: starts, before: before, now: now) }
    for shard in shards where ends[shard.name] == nil { ends[shard.name] = writer.positions[shard.name] }
  }

  /// A shard has handed out all its records: writes them, and that it has ended.
  /// - Returns: false: enough records are captured, and these are not all of the shard.
  func end(_ shard: String, children: [SourceShard], starts: [String: ShardPoint]) async throws -> Bool {
    if full.isRaised { return false }
    try await flush()
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.end(shard, children: children, starts: starts, now: now) }
    for child in children where ends[child.name] == nil { ends[child.name] = writer.positions[child.name] }
    return true
  }

  /// The same of records that a counted shard lost, up to a place.
  func note(lost reason: String, of shard: String, upTo place: ShardPoint) async throws {
    try await flush()
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.note(lost: reason, of: shard, upTo: place, now: now) }
  }

  /// Takes a block that follows the partition's last; the partition continues where it ends.
  func take(_ block: RecordedBlock) async throws {
    guard let end = ends[block.shard], !full.isRaised else { return }
    var block = block
    block.first = end
    if let countMax, taken + Int64(block.count) > countMax { block = block.prefix(Int(countMax - taken)) }
    taken += Int64(block.count)
    if let countMax, taken >= countMax { full.raise() }
    ends[block.shard] = block.next
    pendingBytes += block.text.count
    if let before = pending[block.shard] {
      if before.timeKind == block.timeKind || before.count == 0 || block.count == 0, !before.isLost, !block.isLost {
        pending[block.shard]?.append(block)
      } else {
        finished.append(before)
        pending[block.shard] = block
      }
    } else {
      pending[block.shard] = block
    }
    if pendingBytes >= CaptureCollector.pendingBytesMax { try await flush() }
  }

  /// Writes what was taken.
  func flush() async throws {
    await enter()
    defer { leave() }
    let blocks = finished + pending.values.sorted { $0.shard < $1.shard }
    guard !blocks.isEmpty else { return }
    (pending, finished, pendingBytes) = ([:], [], 0)
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.write(blocks, now: now) }
  }

  /// One at a time, in the order of asking.
  private func enter() async {
    guard isWriting else {
      isWriting = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  private func leave() {
    if waiting.isEmpty { isWriting = false } else { waiting.removeFirst().resume() }
  }
}
