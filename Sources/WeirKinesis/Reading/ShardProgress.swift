import WeirCore

/// How far a reader of a shard has come in this run, and whether the records that it gets follow its position: pure.
///
/// The first record of a run must be the one of the position. If it is not, that record was trimmed, and perhaps others after it. Later answers
/// follow from the service. When so much time has passed that the retention may have overtaken the reader, the record of the position is
/// looked for again.
struct ShardProgress {
  private(set) var place: KinesisPlace
  /// The record of the position was seen.
  private(set) var isVerified = false
  /// When the last answer came, and how far behind it was, in milliseconds.
  private var last: (at: Int64, behind: Int64)?

  init(_ place: KinesisPlace) { self.place = place }

  var start: IteratorStart { place.iterator(isVerified: isVerified) }

  /// An answer came.
  /// - Returns: the first record that is there, if that of the position is not; nil: the answer's records follow the position.
  mutating func take(_ answer: RecordsAnswer, at now: Int64) -> SequenceNumber? {
    if case .record(let known) = place, !isVerified, let first = answer.records.first, first.sequence.digits != known.digits {
      last = nil
      return SequenceNumber(first.sequence.digits) ?? first.sequence
    }
    if !answer.records.isEmpty { isVerified = true }
    last = (now, answer.millisecondsBehind ?? 0)
    return nil
  }

  /// Whether records may have been trimmed before they were read. If so, the position is not verified any more.
  mutating func isOvertaken(_ retentionMilliseconds: Int64, at now: Int64) -> Bool {
    guard let last, case .record = place, last.behind > 0, last.behind + (now - last.at) / 1_000_000 > retentionMilliseconds else {
      return false
    }
    (isVerified, self.last) = (false, nil)
    return true
  }

  /// The caller has taken records up to here.
  mutating func moved(to place: KinesisPlace) { self.place = place }
}

/// What an answer of a shard means.
enum ShardOutcome: Equatable {
  /// Its records follow the position.
  case records
  /// The record of the position is not there any more; this is the first one that is.
  case trimmed(SequenceNumber)
  /// Nothing new. `isAtEnd`: everything that the shard holds was read.
  case nothing(isAtEnd: Bool)
  /// The shard ended, after the answer's records.
  case ended
}
