/// What a worker may take of the machine's memory, and how it is shared out (law 7). Pure.
///
/// Rows wait for their commit in at most three epochs: one that the lanes fill, one that is encoded, one that is written. State (dedup,
/// open windows, keyed state) is freed by no cut: it may have half of the budget. The rest is for blocks on their way, the encoders'
/// buffers, state blobs, clients and the allocator.
public struct MemoryBudget: Sendable, Hashable {
  /// `worker.memory`, bytes.
  public let total: Int64
  /// An epoch is cut when its records are estimated to hold this many bytes.
  public let epochMax: Int64

  public static let least: Int64 = 64 << 20
  /// Cuts depend on no more than this unless `worker.memory` is set: so that machines of different sizes make the same epochs.
  private static let usual: Int64 = 2 << 30

  /// - Parameters:
  ///   - configured: `worker.memory`; nil: three quarters of `available`.
  ///   - available: bytes of memory that the process can have: of its cgroup, or of the machine; nil: not known.
  public init(configured: Int64?, available: Int64?) {
    let share = available.map { $0 / 4 * 3 } ?? MemoryBudget.usual
    total = max(MemoryBudget.least, configured ?? share)
    epochMax = (configured == nil ? min(total, MemoryBudget.usual) : total) / 8
  }

  /// Bytes of state that lanes may hold.
  public var stateMax: Int64 { total / 2 }
}
