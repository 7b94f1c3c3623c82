import Synchronization
import WeirCore

/// What a live lane shows of itself while it works: some relaxed stores per block by the lane's own loop, without any waiting.
package final class LaneReading: Sendable {
  /// What the lane's loop is at.
  package enum Activity: UInt8, Sendable, CaseIterable {
    /// Waits for the source.
    case reading
    /// Waits because the epoch is as large as `lake.flush.bytes` allows: for the commit before it.
    case bounded
    /// An idle lane whose next record waits for the entry that wakes it.
    case waking
    /// Asks a registry, or the lake, what the schemas of a block are; the lane has nothing else to do. Time spent on it is also counted
    /// as ``reading``.
    case resolving
    /// Decodes and consumes a block.
    case working
    /// Released.
    case stopped
  }

  package let shard: String
  private let activity = Atomic(Activity.reading.rawValue)
  private let since: Atomic<Int64>
  private let spent: [Spent]
  private let position: Atomic<Int64>
  private let movedAt: Atomic<Int64>
  private let recordCount = Atomic<Int64>(0)
  private let byteCount = Atomic<Int64>(0)
  private let watermarkValue = Atomic<Int64>(Watermark.minimum)
  private let resolvingSince = Atomic<Int64>(-1)
  private let holder = Atomic(false)
  private let dedupCount = Atomic<Int64>(0)
  private let windowCount = Atomic<Int64>(0)

  private final class Spent: Sendable { let nanoseconds = Atomic<Int64>(0) }

  init(shard: String, now: Int64) {
    self.shard = shard
    since = Atomic(now)
    position = Atomic(-1)
    movedAt = Atomic(now)
    spent = Activity.allCases.map { _ in Spent() }
  }

  // MARK: Written by the lane

  /// The lane was taken over at a position.
  func begin(at position: Int64, watermark: Int64, now: Int64) {
    self.position.store(position, ordering: .relaxed)
    watermarkValue.store(watermark, ordering: .relaxed)
    movedAt.store(now, ordering: .relaxed)
    activity.store(Activity.reading.rawValue, ordering: .relaxed)
    since.store(now, ordering: .relaxed)
    holder.store(true, ordering: .releasing)
  }

  func end(now: Int64) {
    enter(.stopped, now: now)
    holder.store(false, ordering: .releasing)
  }

  /// What the loop is at from now on. One writer: so a load and a store are enough.
  func enter(_ next: Activity, now: Int64) {
    let before = spent[Int(activity.load(ordering: .relaxed))]
    let took = max(0, now &- since.load(ordering: .relaxed))
    before.nanoseconds.store(before.nanoseconds.load(ordering: .relaxed) &+ took, ordering: .relaxed)
    since.store(now, ordering: .relaxed)
    activity.store(next.rawValue, ordering: .relaxed)
  }

  /// Written by the task that reads ahead, while the lane's loop does something else.
  func resolves(_ isResolving: Bool, now: Int64) {
    let began = resolvingSince.exchange(isResolving ? now : -1, ordering: .relaxed)
    guard began >= 0 else { return }
    spent[Int(Activity.resolving.rawValue)].nanoseconds.wrappingAdd(max(0, now &- began), ordering: .relaxed)
  }

  func consumed(records: Int64, bytes: Int64, through position: Int64, watermark: Int64, now: Int64) {
    recordCount.store(recordCount.load(ordering: .relaxed) &+ records, ordering: .relaxed)
    byteCount.store(byteCount.load(ordering: .relaxed) &+ bytes, ordering: .relaxed)
    watermarkValue.store(watermark, ordering: .relaxed)
    if self.position.load(ordering: .relaxed) != position { movedAt.store(now, ordering: .relaxed) }
    self.position.store(position, ordering: .relaxed)
  }

  /// Sizes as the last cut found them.
  func sized(_ sizes: LaneSizes) {
    dedupCount.store(Int64(sizes.dedupEntries), ordering: .relaxed)
    windowCount.store(Int64(sizes.openWindows), ordering: .relaxed)
  }

  // MARK: Read by anybody

  package var isHeld: Bool { holder.load(ordering: .acquiring) }

  /// The lane at this moment; its numbers may be of two neighbouring blocks.
  func value(now: Int64) -> LiveSnapshot.Lane {
    var lane = LiveSnapshot.Lane(shard: shard)
    lane.isHeld = isHeld
    lane.activity = Activity(rawValue: activity.load(ordering: .relaxed)) ?? .stopped
    lane.activityNanoseconds = max(0, now - since.load(ordering: .relaxed))
    let resolving = resolvingSince.load(ordering: .relaxed)
    if resolving >= 0, lane.activity == .reading { (lane.activity, lane.activityNanoseconds) = (.resolving, max(0, now - resolving)) }
    lane.position = position.load(ordering: .relaxed)
    lane.stillNanoseconds = max(0, now - movedAt.load(ordering: .relaxed))
    lane.records = recordCount.load(ordering: .relaxed)
    lane.bytes = byteCount.load(ordering: .relaxed)
    lane.watermark = watermarkValue.load(ordering: .relaxed)
    lane.dedupEntries = dedupCount.load(ordering: .relaxed)
    lane.openWindows = windowCount.load(ordering: .relaxed)
    for activity in Activity.allCases {
      lane.spentNanoseconds[activity] = spent[Int(activity.rawValue)].nanoseconds.load(ordering: .relaxed)
    }
    lane.spentNanoseconds[lane.activity] += lane.activityNanoseconds
    return lane
  }
}
