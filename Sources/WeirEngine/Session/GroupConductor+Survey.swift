import WeirCore

/// Asks source and ledger for their positions, for lag, forecasts and autoscaling.
extension GroupConductor {
  /// Between two surveys: reported lag is at most this old, while the source answers.
  private static let surveyNanoseconds: Int64 = 5_000_000_000

  /// Between two looks at who else is in the group.
  private static let matesNanoseconds: Int64 = 10_000_000_000

  /// Runs until the session ends. Its failures are no failures of the session: a source that does not answer makes old answers.
  func survey() async {
    var due = session.environment.clock.monotonicNanoseconds
    var matesDue = due
    var mates = GroupMates(own: mark)
    while !hasEnded {
      if session.environment.clock.monotonicNanoseconds >= matesDue {
        await look(&mates)
        matesDue = session.environment.clock.monotonicNanoseconds + GroupConductor.matesNanoseconds
      }
      if session.environment.clock.monotonicNanoseconds >= due {
        if let fold = try? await session.ledger.refresh() {
          session.meter.know(fold)
          ledgerAlarm.ring()
        }
        if let bounds = try? await group.bounds(of: shards.withLock { $0.map(\.name) }) { session.meter.surveyed(bounds) }
        due = session.environment.clock.monotonicNanoseconds + GroupConductor.surveyNanoseconds
      }
      await isEnding.wait(until: min(due, matesDue), session.environment.clock)
    }
  }

  private func look(_ mates: inout GroupMates) async {
    guard let followed = try? await group.followed(shards.withLock { $0.map(\.name) }) else { return }
    let error = mates.look(followed).map { mates.error($0, group: settings.group) }
    session.meter.groupIsShared(error?.message)
    if let error { observe(.trouble(error)) }
  }
}
