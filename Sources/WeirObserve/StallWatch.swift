import WeirCore
import WeirEngine

/// Finds out that a worker gets nowhere although there is something to do, and says what it waits for. Pure: looks at snapshots.
struct StallWatch {
  /// A stall that lasts is reported again after this multiple of its first length.
  private static let repeatFactor: Int64 = 10
  /// A source that was heard of within this time, or within the time of a stall, answers.
  private static let surveyNanosecondsMax: Int64 = 30_000_000_000

  enum Word: Equatable {
    /// `lane` nil: the worker as a whole.
    case stalled(lane: String?, seconds: Int64, waitsFor: String)
    case goesOn(lane: String?)
  }

  struct Finding: Equatable {
    var lane: String?
    var nanoseconds: Int64
    var waitsFor: String
    /// The worker itself is stuck: starting it anew may help. False where it waits for a source, a registry or topics that do not answer.
    var isOwn: Bool
  }

  private let stall: Int64
  private let dead: Int64
  /// An epoch's age before it is committed: nothing is late before that.
  private let epochAge: Int64
  private var told: [String?: Int64] = [:]
  /// At the last look, longest first.
  private(set) var findings: [Finding] = []

  init(_ spec: WorkerSpec, flushEveryMicroseconds: Int64) {
    stall = spec.stallMicroseconds * 1000
    dead = spec.deadMicroseconds * 1000
    epochAge = flushEveryMicroseconds * 1000
  }

  /// What keeps `/live` from being well.
  var death: Finding? { findings.first { $0.isOwn && $0.nanoseconds >= dead } }

  /// - Parameter joining: nanoseconds since when the worker waits for its group to give it shards; nil: it does not wait.
  /// - Returns: what is worth a line in the log.
  mutating func look(_ snapshot: LiveSnapshot, joining: Int64?) -> [Word] {
    var found: [Finding] = []
    let answered = snapshot.surveyNanoseconds.map { $0 < max(stall, StallWatch.surveyNanosecondsMax) }
    if let joining, joining >= stall {
      // A source that was never asked has answered all the same: it has told its shards before the group was joined.
      found.append(
        Finding(lane: nil, nanoseconds: joining, waitsFor: "its group to assign partitions", isOwn: answered ?? true))
    }
    let sourceAnswers = answered ?? false
    if snapshot.readsCapture, let finding = StallWatch.look(snapshot), finding.nanoseconds >= stall { found.append(finding) }
    for lane in snapshot.lanes where lane.isHeld && !snapshot.readsCapture {
      if let finding = StallWatch.look(lane, snapshot, epochAge, sourceAnswers), finding.nanoseconds >= stall { found.append(finding) }
    }
    findings = found.sorted { $0.nanoseconds > $1.nanoseconds }
    return words()
  }

  /// Of a replay: nothing was consumed, and nothing was committed.
  private static func look(_ snapshot: LiveSnapshot) -> Finding? {
    guard let still = snapshot.lanes.filter(\.isHeld).map(\.stillNanoseconds).min() else { return nil }
    guard snapshot.stage == .idle else {
      return Finding(lane: nil, nanoseconds: min(still, snapshot.stageNanoseconds), waitsFor: words(snapshot), isOwn: true)
    }
    // A pipe may pause for as long as its writer likes.
    let isReading = snapshot.lanes.contains { $0.isHeld && $0.activity == .reading }
    let words =
      snapshot.waitsForTopics
      ? "a topic of sinks.kafka, which has fallen further behind than `behind` allows"
      : "its capture, which delivers no more records and does not end"
    return Finding(lane: nil, nanoseconds: still, waitsFor: words, isOwn: !isReading && !snapshot.waitsForTopics)
  }

  private static func look(_ lane: LiveSnapshot.Lane, _ snapshot: LiveSnapshot, _ epochAge: Int64, _ sourceAnswers: Bool) -> Finding? {
    let committed = lane.ledger?.position ?? lane.position
    let seen = lane.ledger.map { snapshot.monotonicNanoseconds - $0.seenAt } ?? 0
    // Consumed but not in the ledger, for longer than an epoch is old when it is cut.
    let uncommitted = lane.position > committed ? min(seen, lane.stillNanoseconds + snapshot.stageNanoseconds) - epochAge : 0
    let unread = lane.unread ?? 0
    if unread > 0, lane.stillNanoseconds >= uncommitted {
      let own =
        switch lane.activity {
        case .reading: sourceAnswers
        case .resolving: false
        case .bounded: !snapshot.waitsForTopics
        case .waking, .working, .stopped: true
        }
      return Finding(lane: lane.shard, nanoseconds: lane.stillNanoseconds, waitsFor: words(lane, snapshot, unread), isOwn: own)
    }
    guard uncommitted > 0 else { return nil }
    let words = "the commit of what it consumed (\(lane.position - committed) positions); \(StallWatch.words(snapshot))"
    return Finding(lane: lane.shard, nanoseconds: uncommitted, waitsFor: words, isOwn: true)
  }

  private static func words(_ lane: LiveSnapshot.Lane, _ snapshot: LiveSnapshot, _ unread: Int64) -> String {
    switch lane.activity {
    case .reading: "the source, which has \(unread) more records"
    case .resolving: "the schema registry"
    case .bounded where snapshot.waitsForTopics: "a topic of sinks.kafka, which has fallen further behind than `behind` allows"
    case .bounded: "the commit of an epoch that has reached its maximum size; \(words(snapshot))"
    case .waking: "the entry that wakes the idle lane; \(words(snapshot))"
    case .working: "the end of its current block"
    case .stopped: "its hand-over; \(words(snapshot))"
    }
  }

  /// What the committing side is at.
  static func words(_ snapshot: LiveSnapshot) -> String {
    let since = "for \(snapshot.stageNanoseconds / 1_000_000_000) s"
    return switch snapshot.stage {
    case .idle: "nothing is being committed"
    case .encoding: "files are being encoded \(since)"
    case .writing: "files are being written to the lake \(since)"
    case .ledger: "an entry is being written to the ledger \(since)"
    case .tables: "the lake's tables are being updated \(since)"
    case .merging: "the merge lane is working \(since)"
    case .takingOver: "lanes are being taken over \(since)"
    case .handingOver: "lanes are being handed over \(since)"
    }
  }

  private mutating func words() -> [Word] {
    var words: [Word] = []
    let current = Dictionary(findings.map { ($0.lane, $0) }, uniquingKeysWith: { first, _ in first })
    for lane in told.keys where current[lane] == nil { words.append(.goesOn(lane: lane)) }
    told = told.filter { current[$0.key] != nil }
    for finding in findings where finding.nanoseconds >= told[finding.lane] ?? 0 {
      told[finding.lane] = finding.nanoseconds + stall * StallWatch.repeatFactor
      words.append(.stalled(lane: finding.lane, seconds: finding.nanoseconds / 1_000_000_000, waitsFor: finding.waitsFor))
    }
    return words
  }
}
