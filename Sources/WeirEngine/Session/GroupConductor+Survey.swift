import WeirCore

/// Asks source and ledger for their positions, for lag, forecasts and autoscaling.
extension GroupConductor {
  /// Between two surveys: reported lag is at most this old, while the source answers and is not quiet.
  private static let surveyNanoseconds: Int64 = 5_000_000_000

  /// A quiet source, where neither the bounds of a shard nor the ledger have changed, is asked at each survey of this number. The question
  /// names every shard, so it is the largest part of an idle worker's work.
  private static let quietSurveys = 3

  /// Between two looks at who else is in the group.
  private static let matesNanoseconds: Int64 = 10_000_000_000

  /// Runs until the session ends. Its failures are no failures of the session: a source that does not answer makes old answers.
  func survey() async {
    var due = session.environment.clock.monotonicNanoseconds
    var matesDue = due
    var mates = GroupMates(own: mark)
    var last: (bounds: [String: ShardBounds], number: Int64) = ([:], -1)
    var quiet = 0
    while !hasEnded {
      if session.environment.clock.monotonicNanoseconds >= matesDue {
        await look(&mates)
        matesDue = session.environment.clock.monotonicNanoseconds + GroupConductor.matesNanoseconds
      }
      if session.environment.clock.monotonicNanoseconds >= due {
        if let fold = try? await session.ledger.refresh() {
          session.meter.know(fold)
          ledgerAlarm.ring()
          lookupAlarm.ring()
          session.followers.sinks?.news.ring()
        }
        let number = await session.ledger.fold.number
        quiet = number == last.number ? quiet + 1 : 0
        if quiet % GroupConductor.quietSurveys == 0 {
          let bounds = try? await group.bounds(of: shards.withLock { $0.map(\.name) })
          if let bounds { session.meter.surveyed(bounds) }
          // What has just changed, or did not answer, is asked again next time.
          if bounds == nil || bounds != last.bounds { quiet = GroupConductor.quietSurveys - 1 }
          last = (bounds ?? last.bounds, number)
        }
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
