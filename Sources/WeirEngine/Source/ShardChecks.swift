import WeirCore

/// Carries out ``ShardCheck``s of several shards, all of one step in one question to the source.
package enum ShardChecks {
  /// - Parameters:
  ///   - again: called once, before some shards are looked at again: from then on a check may take a minute.
  ///   - isOver: the verdicts are no longer needed.
  /// - Returns: a verdict for each shard, or none at all when it is over.
  /// - Throws: what the source throws; nothing is concluded then.
  package static func run(
    _ checks: [String: ShardCheck], _ looker: any ShardLooker, clock: any Clock, again: ([String]) -> Void = { _ in },
    until isOver: () -> Bool = { false }
  ) async throws -> [String: ShardCheck.Verdict] {
    var checks = checks
    var isAgain = false
    while true {
      if isOver() { return [:] }
      var (asks, pauses): ([String: ShardAsk], Bool) = ([:], false)
      for (shard, check) in checks {
        switch check.step {
        case .look(let ask): asks[shard] = ask
        case .lookAgain(let ask): (asks[shard], pauses) = (ask, true)
        case .done: continue
        }
      }
      if asks.isEmpty { break }
      if pauses, !isAgain { again(asks.keys.sorted()) }
      isAgain = isAgain || pauses
      if pauses { await clock.sleep(nanoseconds: ShardCheck.pauseNanoseconds) }
      let sights = try await looker.look(asks)
      for shard in asks.keys { checks[shard]?.saw(sights[shard] ?? ShardSight(.unknown)) }
    }
    return checks.compactMapValues { if case .done(let verdict) = $0.step { verdict } else { nil } }
  }
}

extension ShardCheck.Mismatch {
  /// The error that stops the reader of the shard.
  /// - Parameters:
  ///   - identity: what was remembered when the check began.
  ///   - position: where reading would continue.
  ///   - holder: `The ledger`, or what else holds the records; `kept` is what became of them there: `committed`.
  package func error(
    _ shard: SourceShard, _ identity: ShardIdentity, position: ShardPoint, holder: String, kept: String, advice: Wording
  ) -> WeirError {
    let doubtful =
      switch identity.anchor?.position {
      case let good? where good.ordinal &+ 1 < position.ordinal:
        "\(ShardPoint.span(behind: good, before: position)) were \(kept) after the last record that a check found in place: they may be of either topic."
      case nil: "Which of the records that were \(kept) are of the new topic is not known."
      default: "Nothing was \(kept) after the last record that a check found in place."
      }
    return WeirError(
      code,
      "\(shard.stream) was deleted and created again, or its log was cut off: \(text(shard.name)). \(holder) is at position \(position) of \(shard.name). \(doubtful)",
      advice: advice)
  }
}
