import WeirCore

/// A row of the table of leases, in the schema of the Kinesis Client Library 2.x and 3.x (amazon-kinesis-client,
/// leases/dynamodb/DynamoDBLeaseSerializer.java), with attributes of Weir's own, which KCL leaves alone.
struct Lease: Sendable, Equatable {
  /// The shard's id.
  var key: String
  /// nil: it has no owner.
  var owner: String?
  /// Each write raises it by one: every write is conditional on it.
  var counter: Int64
  /// A sequence number, or `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP`, `SHARD_END`.
  var checkpoint: String
  /// Place of the last record that was processed in its aggregate.
  var subSequence: Int64
  var ownerSwitches: Int64
  /// The worker that asks the owner for the lease. Weir's own.
  var wantedBy: String?
  /// The checkpoint as Weir wrote it: if it is another one now, another program was at work. Weir's own.
  var ownCheckpoint: String?
  /// Of the ledger whose position the checkpoint is. Weir's own.
  var mark: String?

  /// Another program has read the shard to its end, and the ledger is to close it. No part of the row.
  var isReopened = false

  static let shardEnd = "SHARD_END"

  var hasEnded: Bool { isAtEnd && !isReopened }
  var isAtEnd: Bool { checkpoint == Lease.shardEnd }
  /// No other program has written a checkpoint since Weir did.
  var isOwn: Bool { ownCheckpoint == checkpointText }

  init(key: String, owner: String? = nil, counter: Int64 = 0, checkpoint: String = "TRIM_HORIZON") {
    (self.key, self.owner, self.counter, self.checkpoint) = (key, owner, counter, checkpoint)
    (subSequence, ownerSwitches) = (0, 0)
  }

  /// nil: a row of another kind (KCL 3.5 has several in one table), of several streams, or damaged: it is left alone.
  init?(_ item: JSONValue) {
    func text(_ name: String) -> String? { item[name]?["S"]?.string }
    func number(_ name: String) -> Int64? { item[name]?["N"]?.string.flatMap { Int64($0) } }
    if let type = text("entityType"), type != "LEASE" { return nil }
    guard let key = text("leaseKey"), let counter = number("leaseCounter"), text("streamName") == nil else { return nil }
    self.init(key: key, owner: text("leaseOwner"), counter: counter, checkpoint: text("checkpoint") ?? "TRIM_HORIZON")
    subSequence = number("checkpointSubSequenceNumber") ?? 0
    ownerSwitches = number("ownerSwitchesSinceCheckpoint") ?? 0
    (wantedBy, ownCheckpoint, mark) = (text("weirWantedBy"), text("weirCheckpoint"), text("weirLedger"))
  }

  /// How the checkpoint is compared with what Weir wrote.
  var checkpointText: String { "\(checkpoint):\(subSequence)" }

  /// Another program wrote the checkpoint, and it is beyond a lane's position.
  /// - Parameter end: of the shard, if it has ended.
  func isForeign(aheadOf point: ShardPoint, end: SequenceNumber?) -> Bool {
    guard !isOwn else { return false }
    guard let next = next(end: end) else { return isAtEnd }
    guard case .record(let consumed)? = KinesisPlace(point) else { return true }
    return consumed < next
  }

  /// After what the checkpoint covers; nil: it covers nothing, or a shard whose end is not known.
  /// - Parameter end: of the shard, if it has ended.
  func next(end: SequenceNumber?) -> SequenceNumber? {
    // A position says how many records were consumed, a checkpoint which one was the last.
    if isAtEnd { return end.flatMap { SequenceNumber($0.digits, sub: 1) } }
    return SequenceNumber(checkpoint, sub: UInt64(clamping: max(0, subSequence)) + 1)
  }
}

/// A position that the ledger has, as a checkpoint.
struct Checkpoint: Sendable, Equatable {
  var number: String
  var subSequence: Int64
  /// Of the ledger.
  var mark: String

  /// nil: nothing was consumed yet.
  init?(_ point: ShardPoint, mark: String) {
    guard case .record(let consumed)? = KinesisPlace(point), consumed.sub > 0 else { return nil }
    (number, self.mark) = (consumed.digits, mark)
    subSequence = Int64(clamping: consumed.sub - 1)
  }

  var text: String { "\(number):\(subSequence)" }
}
