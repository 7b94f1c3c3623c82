import WeirCore
import WeirEngine

/// What probes ask of a worker. Pure: told of events, asked for answers.
struct WorkerHealth {
  enum Phase: Equatable {
    /// Opens the lake and asks the source.
    case starting
    /// In the group, or out of it by its own fault or the network's, without having been told its shards.
    case joining
    case running
    /// A session has ended; the next one comes.
    case between(why: String)
    /// Hands over; nothing is read any more.
    case draining
  }

  struct Answer: Equatable {
    var isWell: Bool
    var words: String
  }

  private(set) var phase = Phase.starting
  /// Monotonic nanoseconds.
  private(set) var since: Int64
  private var hasStarted = false

  init(now: Int64) { since = now }

  private mutating func go(_ next: Phase, _ now: Int64) {
    // What drains does not become ready again.
    guard phase != .draining, phase != next else { return }
    (phase, since) = (next, now)
  }

  mutating func saw(_ event: WorkerEvent, now: Int64) {
    switch event {
    case .joined:
      hasStarted = true
      go(.joining, now)
    case .assigned: go(.running, now)
    // What is handed over in order is followed at once by what the group gives instead; what was lost, by nothing.
    case .revoked(_, isLost: true): go(.joining, now)
    case .trouble(let error) where error.fatalTo == .worker: go(.between(why: error.code.rawValue), now)
    default: break
    }
  }

  /// A replay reads its capture: it waits for no group.
  mutating func reads(now: Int64) {
    hasStarted = true
    go(.running, now)
  }

  mutating func drain(now: Int64) { go(.draining, now) }

  /// The process is worth keeping.
  func live(_ stall: StallWatch) -> Answer {
    guard let death = stall.death else { return Answer(isWell: true, words: "live") }
    let who = death.lane.map { "lane \($0)" } ?? "the worker"
    return Answer(isWell: false, words: "\(who) has waited for \(death.nanoseconds / 1_000_000_000) s for \(death.waitsFor)")
  }

  /// Lake, ledger and source were found, and tables were brought up.
  var started: Answer { Answer(isWell: hasStarted, words: hasStarted ? "started" : words) }

  /// It has its shards (perhaps none) and works on them. Lag is no matter, and what is amiss with its group is said only: to take the
  /// worker for not ready would not mend it.
  func ready(groupIsShared: String? = nil) -> Answer {
    guard phase == .running else { return Answer(isWell: false, words: words) }
    return Answer(isWell: true, words: groupIsShared.map { "ready, but \($0)" } ?? "ready")
  }

  var words: String {
    switch phase {
    case .starting: "starting: opening the lake, querying the source"
    case .joining: "waiting for the group to assign partitions"
    case .running: "running"
    case .between(let why): "a session ended (\(why)); joining again"
    case .draining: "draining: lanes are being handed over"
    }
  }

  /// A short word for metrics and JSON.
  var name: String {
    switch phase {
    case .starting: "starting"
    case .joining: "joining"
    case .running: "running"
    case .between: "between"
    case .draining: "draining"
    }
  }

  static let names = ["starting", "joining", "running", "between", "draining"]
}
