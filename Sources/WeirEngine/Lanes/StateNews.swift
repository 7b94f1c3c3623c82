import Synchronization

/// Says that a lane may have something for the state table since it was taken last, so that the flusher asks no lane in vain and sleeps while
/// none has anything.
final class StateNews: Sendable {
  /// A lane that was made or restored has not been asked yet.
  private let isMarked = Atomic(true)
  private let alarm = Mutex<Alarm?>(nil)

  /// The lane is held: `alarm` is rung whenever there is something.
  func ring(_ alarm: Alarm) {
    self.alarm.withLock { $0 = alarm }
    if isMarked.load(ordering: .acquiring) { alarm.ring() }
  }

  /// There is something. Called by the lane's actor, after the change.
  ///
  /// A flusher that has taken the mark asks the actor afterwards, so it gets what was changed before its question; a change after that finds
  /// the mark taken, because the actor has answered in between.
  func mark() {
    if isMarked.load(ordering: .relaxed) || isMarked.exchange(true, ordering: .acquiringAndReleasing) { return }
    alarm.withLock { $0 }?.ring()
  }

  /// Whether there was something. The caller asks the lane next.
  func take() -> Bool { isMarked.exchange(false, ordering: .acquiringAndReleasing) }
}
