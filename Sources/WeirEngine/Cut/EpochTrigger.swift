import WeirProtocol

/// When a live worker cuts: by age, by bytes, by the memory that the epoch holds, or because a lane's decision is due.
struct EpochTrigger {
  private let everyNanoseconds: Int64
  private let bytesMax: Int64
  private var lastCut: Int64

  init(everyNanoseconds: Int64, bytesMax: Int64, now: Int64) {
    self.everyNanoseconds = everyNanoseconds
    self.bytesMax = bytesMax
    lastCut = now
  }

  /// - Parameters:
  ///   - bytes: input since the last cut.
  ///   - isHeavy: what waits for the cut takes as much memory as it may.
  ///   - isWanted: a decision is due.
  func isDue(at now: Int64, bytes: Int64, isHeavy: Bool = false, isWanted: Bool) -> Bool {
    isWanted || isHeavy || bytes >= bytesMax || now - lastCut >= everyNanoseconds
  }

  /// Monotonic nanoseconds when the epoch is cut for its age.
  var ageIsDueAt: Int64 { lastCut + everyNanoseconds }

  /// Ages count from the beginning of a cut: a slow commit does not stretch the interval.
  mutating func cut(at now: Int64) { lastCut = now }
}
