/// What may go wrong in a run, and how often. Each seed draws its own mix (swarm testing).
public struct Faults: Sendable {
  /// Chances per request.
  public var requestLost = 0.0
  public var replyLost = 0.0
  public var requestDelayed = 0.0
  public var readFailed = 0.0
  /// The store says at once that it will not (409, 503).
  public var requestRefused = 0.0
  /// The answer comes, seconds later.
  public var requestSlow = 0.0
  /// A write of many rows to the state table takes several transactions.
  public var writeSplit = 0.0
  /// Longest time of a delayed request on its way, virtual nanoseconds.
  public var delayNanosecondsMax: Int64 = 10_000_000_000
  /// Chances per tick of the supervisor.
  public var kill = 0.0
  public var pause = 0.0
  public var longSleep = 0.0
  public var machineCrash = 0.0
  public var doubleOwner = 0.0
  public var outage = 0.0
  /// Longest error of a wall clock, microseconds.
  public var wallSkewMax: Int64 = 0

  public static let none = Faults()

  public init() {}

  /// A mix by seed: each kind is off in some seeds, rare in others, frequent in others.
  public init(from random: inout SplitMix64) {
    requestLost = Faults.draw([0, 0.01, 0.05], &random)
    replyLost = Faults.draw([0, 0.01, 0.05], &random)
    requestDelayed = Faults.draw([0, 0.01, 0.05], &random)
    readFailed = Faults.draw([0, 0.005, 0.02], &random)
    kill = Faults.draw([0, 0.05, 0.15], &random)
    pause = Faults.draw([0, 0.1, 0.2], &random)
    longSleep = Faults.draw([0, 0.05, 0.2], &random)
    machineCrash = Faults.draw([0, 0.05, 0.15], &random)
    outage = Faults.draw([0, 0.05, 0.15], &random)
    doubleOwner = Faults.draw([0, 0.1, 0.3], &random)
    wallSkewMax = random.chance(0.3) ? 600_000_000 : 0
  }

  private static func draw(_ choices: [Double], _ random: inout SplitMix64) -> Double {
    choices[random.below(choices.count)]
  }
}

/// "Sometimes" marks: each fault kind and each recovery branch. A suite in which one stays at zero has not tested it.
public enum Mark: String, CaseIterable, Sendable {
  case requestLost, replyLost, requestDelayed, delayedRequestLanded, readFailed, objectLostInCrash
  case kill, pause, longSleep, machineCrash, doubleOwner, outage
  case conflict, ownEntryFound, entryNotThere, unknownRetried, outcomeUnknown, repeatedAfterUnknown
  case restoredAfterUnknown, fencedByEpoch, fencedByPointer, abandoned, headReadAgain, someLanesLost
  case entriesCollected, blobsSwept, barrier, startedFromSnapshot, strayEntry
  case followerLostVersion, followerUnknown, followerBatch
  case stateRowSkipped, stateRebuilt, stateWriteFailed
  case emptyEpoch, groupCommit, idle, wake, lookupChanged, duplicate, lateRow, mergeDerivedAgain, mergeReadOthers
  // Of live workers.
  case stop, warp, trim, gap, gapTaken, diskFull, truncatedAnswers, clockJump, throttle, secondDeployment
  case rebalance, memberExpelled, sourceFailed, fetchFailed, outOfRange, answerTruncated, fullDiskMet, stateThrottled, ownerFenced,
    rowRetracted, claimFenced, requestRefused, requestSlow, writeSplit, putExists, unnoticedSleep, killInRecovery, fsyncFailed,
    crashUnsynced,
    handOverLate, recreate, recreated, putsLost
  case sinkBroken, sinkSlow, sinkRepeated

  /// Those of live workers' simulation.
  public static let ofLive: [Mark] =
    allCases.drop { $0 != .stop } + [
      .requestLost, .replyLost, .requestDelayed, .delayedRequestLanded, .readFailed, .objectLostInCrash, .kill, .pause, .longSleep,
      .machineCrash, .outage, .outcomeUnknown, .fencedByEpoch, .entriesCollected, .blobsSwept, .strayEntry, .followerBatch,
      .stateRowSkipped, .abandoned,
      .stateWriteFailed, .groupCommit, .idle, .wake, .duplicate, .lateRow,
    ]

  /// Those of the protocol's own simulation.
  public static let ofProtocol = allCases.prefix { $0 != .stop }
}

/// How often each mark was met.
public struct Marks: Sendable, Equatable {
  public private(set) var counts: [Mark: Int] = [:]

  public init() {}

  public subscript(mark: Mark) -> Int { counts[mark] ?? 0 }
  public mutating func hit(_ mark: Mark) { counts[mark, default: 0] += 1 }

  public static func += (a: inout Marks, b: Marks) {
    for (mark, count) in b.counts { a.counts[mark, default: 0] += count }
  }

  public var missing: [Mark] { Mark.ofProtocol.filter { self[$0] == 0 } }
}
