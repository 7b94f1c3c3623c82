import WeirCore

/// When an epoch is cut for the memory that waits for its commit: by an estimate over the stream, made in shard order before rows go to
/// lanes, and never by what was measured. So the cuts of a replay depend on the records, the plan and the settings alone. Pure.
struct CutRule: Sendable {
  /// What one more partition of a table costs until the commit: its file, statistics, and its lines in the entry and in the table's log.
  static let partitionBytes: Int64 = 16 << 10

  private let budget: MemoryBudget
  private var bytesMax: Int64
  /// What the records since the last cut are estimated to hold.
  private(set) var bytes: Int64 = 0
  private var partitions: Set<Hash128> = []

  /// - Parameter halvings: of the first epoch's bound (``MemoryRelief``).
  init(_ budget: MemoryBudget, halvings: Int = 0) {
    self.budget = budget
    bytesMax = max(1, budget.epochMax >> min(halvings, 62))
  }

  mutating func add(_ weight: BlockWeight) {
    bytes += weight.bytes
    for partition in weight.partitions where partitions.insert(partition).inserted { bytes += CutRule.partitionBytes }
  }

  /// The epoch is to be cut after the last block.
  var isDue: Bool { bytes >= bytesMax }
  /// Nothing was added since the last cut.
  var isEmpty: Bool { bytes == 0 }

  mutating func cut() {
    bytes = 0
    bytesMax = budget.epochMax
    partitions.removeAll(keepingCapacity: partitions.count < 1024)
  }
}
