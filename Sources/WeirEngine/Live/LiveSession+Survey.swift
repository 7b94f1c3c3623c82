import WeirCore

/// Asking source and ledger how things stand, for lag, for forecasts and for whoever scales the workers.
extension LiveSession {
  /// Between two surveys: what lag is told is at most this old, while the source answers.
  private static let surveyNanoseconds: Int64 = 5_000_000_000

  /// Runs until the session ends. Its failures are no failures of the session: a source that does not answer makes old answers.
  func survey() async {
    var due = environment.clock.monotonicNanoseconds
    while !hasEnded {
      if environment.clock.monotonicNanoseconds >= due {
        if let fold = try? await ledger.refresh() { meter.know(fold) }
        if let bounds = try? await group.bounds(of: shards.withLock { $0.map(\.name) }) { meter.surveyed(bounds) }
        due = environment.clock.monotonicNanoseconds + LiveSession.surveyNanoseconds
      }
      // Short steps, so that the end of the session is not held up.
      await environment.clock.sleep(nanoseconds: LiveSession.tickNanoseconds * 10)
    }
  }
}
