import WeirCore

/// What a worker may take of the machine's memory, and how it is shared out (law 7). Pure.
///
/// The budget bounds the process's own (anonymous) memory. Mapped files (the program, the state table) come on top; the kernel takes
/// their pages back when it needs them.
///
/// | holder | part |
/// |---|---|
/// | state: dedup, open windows, keyed state; freed by no cut | 2/5 |
/// | lookups; freed by no cut | 2/5; with the state no more than the rest leaves: ``MemoryGovernor`` stops the worker |
/// | state blobs on their way to the lake | as much as the state at most, ``MemoryGovernor`` waits for room |
/// | rows that wait for their commit: an epoch that the lanes fill, one that is encoded, one that is written | 1/16 each |
/// | rows on their way to the state table, and LMDB's pages of one transaction | 1/16 each |
/// | messages in the client's queues, live | 1/8 |
/// | one record: it takes up to thirteen times its length until it is committed | 13/32 |
/// | blocks on their way, encoders, the allocator, the program itself | the rest |
package struct MemoryBudget: Sendable, Hashable {
  /// `worker.memory`, bytes.
  package let total: Int64
  /// An epoch is cut when its records are estimated to hold this many bytes.
  package let epochMax: Int64

  package static let least: Int64 = 64 << 20
  /// Cuts depend on no more than this unless `worker.memory` is set: so that machines of different sizes make the same epochs.
  private static let usual: Int64 = 4 << 30

  /// - Parameters:
  ///   - configured: `worker.memory`; nil: three quarters of `available`.
  ///   - available: bytes of memory that the process can have: of its cgroup, or of the machine; nil: not known.
  package init(configured: Int64?, available: Int64?) {
    let share = available.map { $0 / 4 * 3 } ?? MemoryBudget.usual
    total = max(MemoryBudget.least, configured ?? share)
    epochMax = (configured == nil ? min(total, MemoryBudget.usual) : total) / 16
  }

  /// Bytes of state that lanes may hold.
  package var stateMax: Int64 { total / 5 * 2 }
  /// Above this, input waits until what is under way is committed.
  var busyAbove: Int64 { total / 8 * 5 }
  /// Above this the worker stops. Less than the whole: one more block is decoded before it is looked at again.
  var stopAbove: Int64 { total - max(8 << 20, total / 16) }

  /// Input bytes of a block. About eight blocks are on their way, and each takes four times as much decoded.
  package var blockBytes: Int { Int(min(1 << 20, max(128 << 10, total / 512))) }
  /// Bytes of a record at most: from its text to its rows in a file it takes up to thirteen times its length, and no cut divides it.
  package var recordBytes: Int { Int(min(1 << 30, total / 32)) }
  /// Rows that are on their way to the state table at once, of some 128 bytes.
  var stateRowsMax: Int { Int(total / 16 / 128) }
  /// Pages that one transaction of the state table changes, of 4 KiB.
  package var statePagesMax: Int { Int(min(1 << 15, total / 16 / 4096)) }
  /// Bytes of messages that a client may hold in its queues.
  package var queueBytes: Int64 { total / 8 }
  /// Small budgets give blocks of this many bytes back to the system at once, which costs time; nil: the allocator keeps some.
  package var returnsFrom: Int? { total < 1 << 30 ? Int(max(256 << 10, total / 512)) : nil }
}
