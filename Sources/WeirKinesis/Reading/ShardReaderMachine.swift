import WeirCore

/// What a reader of one shard asks next, and when: pure, times are monotonic nanoseconds.
///
/// A shard answers five requests a second and 2 MB a second, of all that read it; after an answer of 10 MB it refuses for five seconds. So
/// the pause after an answer is what its bytes take at that rate, and a quarter of a second at least, which leaves others a share.
///
/// **Positions.** An iterator is made at the record of the lane's position (``ShardProgress``); if that was trimmed the reader says so, and the
/// lane's next start is recorded with a gap. Within a run the next answers follow from the service's own iterators. One that expired is
/// replaced by one *after* the last record that was read.
struct ShardReaderMachine {
  enum Action: Equatable {
    case iterator(IteratorStart)
    case fetch(String, limit: Int)
    /// Nothing to do until then.
    case wait(until: Int64)
  }

  struct Settings: Equatable {
    /// Of an answer, about.
    var bytesMax = 1 << 20
    var pollNanoseconds: Int64 = 1_000_000_000
    var retentionMilliseconds: Int64 = 24 * 3_600_000
  }

  static let recordsMax = 10_000
  private static let bytesPerSecond: Int64 = 2_000_000
  private static let pauseMin: Int64 = 250_000_000
  private static let retryFirst: Int64 = 500_000_000
  private static let retryMax: Int64 = 10_000_000_000

  private var progress: ShardProgress
  var settings: Settings
  private var iterator: String?
  private var notBefore: Int64 = .min
  /// Requests that failed, one after the other.
  private var failures = 0
  /// Of the records of the last answers.
  private var recordBytes = 1024
  private(set) var hasEnded = false

  init(_ place: KinesisPlace, _ settings: Settings) { (progress, self.settings) = (ShardProgress(place), settings) }

  /// What is to be done now.
  mutating func step(at now: Int64) -> Action {
    guard now >= notBefore else { return .wait(until: notBefore) }
    if progress.isOvertaken(settings.retentionMilliseconds, at: now) { iterator = nil }
    guard let iterator else { return .iterator(progress.start) }
    return .fetch(iterator, limit: max(1, min(ShardReaderMachine.recordsMax, settings.bytesMax / max(1, recordBytes))))
  }

  mutating func made(_ iterator: String) {
    self.iterator = iterator
    failures = 0
  }

  /// An answer came. Of ``ShardOutcome/records`` and ``ShardOutcome/ended`` the caller says with ``moved(to:)`` how far it took them.
  mutating func answered(_ answer: RecordsAnswer, at now: Int64) -> ShardOutcome {
    failures = 0
    let first = answer.records.first
    if let found = progress.take(answer, at: now) {
      iterator = nil
      return .trimmed(found)
    }
    if first != nil { recordBytes = max(1, (answer.bytes + answer.records.count * 200) / answer.records.count) }
    iterator = answer.next
    hasEnded = answer.next == nil
    let pause = Int64(answer.bytes) * 1_000_000_000 / ShardReaderMachine.bytesPerSecond
    let isBehind = answer.millisecondsBehind.map { $0 > 0 } ?? false
    let rest = first == nil && !isBehind ? settings.pollNanoseconds : ShardReaderMachine.pauseMin
    notBefore = now + max(pause, rest)
    if hasEnded { return .ended }
    return first == nil ? .nothing(isAtEnd: !isBehind) : .records
  }

  /// The caller has taken records up to here.
  mutating func moved(to place: KinesisPlace) { progress.moved(to: place) }

  /// A request failed.
  /// - Returns: whether the reader continues by itself.
  mutating func failed(_ kind: KinesisFailure.Kind, at now: Int64) -> Bool {
    switch kind {
    case .expired:
      iterator = nil
      return true
    case .throttled, .passing, .argument:
      // What an iterator cannot do now, another may do later: a time that is still to come by the service's clock.
      if kind == .argument { iterator = nil }
      failures = min(failures + 1, 10)
      notBefore = now + min(ShardReaderMachine.retryFirst << Int64(failures - 1), ShardReaderMachine.retryMax)
      return kind == .throttled
    case .missing, .tableMissing, .foreignTable, .condition, .inUse, .refused, .configuration, .final:
      notBefore = now + ShardReaderMachine.retryFirst
      return false
    }
  }
}
