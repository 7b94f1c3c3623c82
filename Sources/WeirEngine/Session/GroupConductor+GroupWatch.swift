import WeirCore

extension GroupConductor {
  /// What the group did or was asked, and with it the time by which something must follow.
  func watching(_ event: (inout GroupWatch) -> Void) {
    watch.withLock { event(&$0) }
    watchAlarm.ring()
  }

  /// Ends the session when the group does not answer, or is kept waiting for too long.
  func watchGroup() async throws {
    while !hasEnded {
      await watchAlarm.wait(until: watch.withLock { $0.verdictIsDueAt }, session.environment.clock)
      if hasEnded { return }
      switch watch.withLock({ $0.verdict(at: session.environment.clock.monotonicNanoseconds) }) {
      case .fine: continue
      case .silent(let nanoseconds):
        throw WeirError(
          .groupSilent,
          "the consumer group \(settings.group) has assigned no partitions and given no answer for \(nanoseconds / 1_000_000_000) s",
          advice:
            "The worker joins again. If this repeats, check whether a member of the group is stuck or its coordinator is unreachable.")
      case .late:
        if hasEnded { return }
        // Said before the group is closed: what then fails elsewhere is a consequence.
        await guarding {
          throw WeirError(
            .handoverLate,
            "partitions had to be handed over, but their last records could not be committed within \(settings.handOver / 1_000_000) s",
            advice:
              "These records are dropped here, and the partitions' new owner reads them again from the ledger's position. Check whether the lake is slow; \(.setting(.handOver)) sets the deadline."
          )
        }
        // Whatever the commit under way still does, the ledger's fence decides; the others need not wait for it.
        for lane in session.lanes.inOrder { lane.stop() }
        await group.close()
      }
    }
  }
}
