import WeirCore

/// What a lane's position means to a shard.
///
/// Kinesis's own numbers are positive. A lane that has read nothing has the number 0, and the sub-sequence says where it begins: 0 is the
/// beginning of the shard, everything else a time in milliseconds. After a record the position has the record's number, and how many of the
/// records in it were consumed: all of them, since blocks end with an outer record.
enum KinesisPlace: Equatable {
  case beginning
  /// UTC milliseconds since 1970.
  case time(Int64)
  /// How many records of this outer record were consumed.
  case record(SequenceNumber)

  /// nil: another source's.
  init?(_ point: ShardPoint) {
    guard let sequence = point.sequence else { return nil }
    guard sequence.digits == "0" else {
      self = .record(sequence)
      return
    }
    self = sequence.sub == 0 ? .beginning : .time(Int64(clamping: sequence.sub))
  }

  /// - Throws: `corrupt`: the position is another source's.
  init(_ point: ShardPoint, of shard: KinesisShard) throws(WeirError) {
    guard let place = KinesisPlace(point) else {
      throw WeirError(
        .corrupt, "\(point.text) is not a position of \(shard.id), whose positions are sequence numbers",
        advice: "The ledger belongs to another source: use the pipeline that wrote it.")
    }
    self = place
  }

  private static func start(_ sub: UInt64) -> SequenceNumber { SequenceNumber(UInt128(0), sub: sub) }

  static let beginningOfShard = ShardPoint.start(at: start(0))

  static func time(startingAt milliseconds: Int64) -> ShardPoint { .start(at: start(UInt64(max(1, milliseconds)))) }

  /// Where a reader asks the shard to begin.
  /// - Parameter isVerified: the record of the position was seen in this run, so it need not be read again.
  func iterator(isVerified: Bool) -> IteratorStart {
    switch self {
    case .beginning: .trimHorizon
    case .time(let milliseconds): .time(milliseconds)
    case .record(let sequence): isVerified ? .after(sequence.digits) : .at(sequence.digits)
    }
  }
}
