import WeirCore

/// What a worker reports while it runs.
package enum WorkerEvent: Sendable {
  /// Joined the group; the ledger is at this number.
  case joined(ledger: Int64)
  /// Reads these shards from these positions on.
  case assigned([String: ShardPoint])
  case revoked([String], isLost: Bool)
  /// An entry of this worker's is in the ledger.
  case committed(WorkerProgress)
  /// A replay has consumed a block.
  case consumed(WorkerProgress)
  /// Records of an entry that went into quarantine.
  case quarantined(RejectedReasons)
  /// Positions `from..<to` of the shard were lost at the source; the ledger says so.
  case gap(shard: String, from: ShardPoint, to: ShardPoint, reason: String)
  /// Another program has processed the records after `from` and before `to`, and the user accepts its checkpoint; the ledger says so.
  case processedElsewhere(shard: String, from: ShardPoint, to: ShardPoint)
  /// The shard is another incarnation, which the user accepts: it is read from `to` on; the ledger says so.
  case recreated(shard: String, from: ShardPoint, to: ShardPoint, reason: String)
  /// The stream has more shards than before, which the user accepts: the merge lane finishes tables by key from here on.
  case partitionsAdded(stream: String, before: Int, added: Int)
  /// The source does not have the stream any more, and has others: its shards' lanes hold back no window from here on; the ledger says so.
  case streamGone(stream: String, shards: [String])
  /// These shards seem to end before what was read of them. They are looked at again, before anything is concluded from it.
  case checksAgain([String])
  /// Whether the shard is the one that was read could not be verified; it is read on, and the ledger says so.
  case unverified(shard: String, reason: String)
  /// A lookup's file has another content; it is used from this entry on.
  case lookupRefreshed(name: String, hash: String, entry: Int64)
  /// The worker continues by itself.
  case trouble(WeirError)
}
