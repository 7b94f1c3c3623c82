/// Which tombstones of a state table are to go.
public struct TombstoneBound: Sendable {
  public var table: String
  /// By lane: those of these fences or smaller ones. Tombstones of other lanes stay.
  public var through: [String: Fence]
  /// As of ``StateWrite/owners``.
  public var owners: [(String, [UInt8])]

  public init(table: String, through: [String: Fence], owners: [(String, [UInt8])]) {
    (self.table, self.through, self.owners) = (table, through, owners)
  }

  /// Whether a tombstone of the lane with this fence is to go.
  public func has(lane: String, _ fence: Fence) -> Bool { through[lane].map { fence <= $0 } ?? false }
}

/// What a part of a collection did.
public struct CollectedTombstones: Sendable {
  /// Tombstones that went.
  public var gone: Int
  /// Where the next part begins; nil: the whole table was looked at.
  public var next: StateContinuation?

  public init(gone: Int, next: StateContinuation?) { (self.gone, self.next) = (gone, next) }
}
