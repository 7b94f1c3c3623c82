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

  /// Of all shards, behind what was written.
  func standing() async -> (identities: [String: ShardIdentity], positions: [String: Int64]) {
    await enter()
    defer { leave() }
    return (writer.identities, writer.positions)
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
  func add(_ shards: [SourceShard], starts: [String: Int64], before: [String: Fingerprint]) async throws {
    await enter()
    defer { leave() }
    let now = clock.wallMicroseconds
    try await thread.run { [writer] in try writer.add(shards, starts: starts, before: before, now: now) }
    for shard in shards where ends[shard.name] == nil { ends[shard.name] = writer.positions[shard.name] }
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
