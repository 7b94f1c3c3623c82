extension WeirError {
  /// The stable word of an error, for programs. What each means: the page Errors.
  public enum Code: String, CaseIterable, Sendable {
    // The command line, the pipeline, the input
    case config
    case captureFormat = "capture_format"
    case captureChanged = "capture_changed"
    case captureDiffers = "capture_differs"
    case captureGrew = "capture_grew"
    case lanesChanged = "lanes_changed"
    case planChanged = "plan_changed"
    case lookupChanged = "lookup_changed"
    case lookupNotRefreshed = "lookup_not_refreshed"
    case recordTooLong = "record_too_long"
    case checkFailed = "check_failed"
    case quarantineHalt = "quarantine_halt"
    case allRejected = "all_rejected"
    // The source
    case unavailable
    case refused
    case topicMissing = "topic_missing"
    case clientEnded = "client_ended"
    case requestFailed = "request_failed"
    case groupShared = "group_shared"
    case groupSilent = "group_silent"
    case handoverLate = "handover_late"
    case misplaced
    case outOfRange = "out_of_range"
    case recreated
    case truncated
    case shardsChanged = "shards_changed"
    case registry
    // The ledger
    case abandoned
    case fenced
    case unknown
    case ledgerCollected = "ledger_collected"
    case ledgerCorrupt = "ledger_corrupt"
    case ledgerDecision = "ledger_decision"
    case ledgerFormat = "ledger_format"
    case ledgerReplaced = "ledger_replaced"
    // Tables, topics, the state table
    case foreignTable = "foreign_table"
    case tableAhead = "table_ahead"
    case tableMissing = "table_missing"
    case topicAhead = "topic_ahead"
    case parquet
    case followerBehind = "follower_behind"
    case stateFenced = "state_fenced"
    case stateMissing = "state_missing"
    case stateRemoved = "state_removed"
    case stateReplaced = "state_replaced"
    case uncleanStop = "unclean_stop"
    // The machine
    case admin
    case busy
    case closed
    case corrupt
    case fullDisk = "full_disk"
    case memoryExceeded = "memory_exceeded"
    case output
    case readOnly = "read_only"
    case storage
    case storageRefused = "storage_refused"
    case `internal`
  }

  /// What a caller may do about an error of a code.
  public struct Rule: Sendable, Hashable {
    /// The same call may succeed later, without an action by a person.
    public var isRetriable: Bool
    public var fatalTo: Scope
    /// Repeating the call cannot do harm: nothing was done, or doing it twice is doing it once.
    public var isSafeToRepeat: Bool
    /// The exit code of a command that ends with the error.
    public var exitCode: Int32

    /// It passes by itself.
    static func passes(_ scope: Scope) -> Rule {
      Rule(isRetriable: true, fatalTo: scope, isSafeToRepeat: true, exitCode: 1)
    }
    /// A person has to act.
    static func stands(_ scope: Scope, exit: Int32 = 1) -> Rule {
      Rule(isRetriable: false, fatalTo: scope, isSafeToRepeat: true, exitCode: exit)
    }
  }
}

extension WeirError.Code {
  /// The source does not answer, or refuses. Nothing follows from it about the records.
  public var isOfSource: Bool { [.unavailable, .refused, .requestFailed, .clientEnded, .topicMissing].contains(self) }

  /// The one table of what errors end, and whether a call may be repeated.
  public var rule: WeirError.Rule {
    switch self {
    case .config, .captureFormat: .stands(.pipeline, exit: 2)
    case .captureChanged, .captureDiffers, .captureGrew, .lanesChanged, .recordTooLong, .checkFailed, .quarantineHalt, .allRejected:
      .stands(.pipeline)
    case .planChanged, .lookupChanged: .stands(.worker)
    case .refused, .topicMissing, .misplaced, .recreated, .truncated, .shardsChanged, .registry: .stands(.pipeline)
    case .unavailable, .groupShared: .passes(.operation)
    case .requestFailed, .lookupNotRefreshed: .stands(.operation)
    case .clientEnded: .stands(.worker)
    case .groupSilent, .handoverLate, .outOfRange: .passes(.worker)
    case .abandoned, .fenced, .unknown, .ledgerCollected: .passes(.worker)
    case .ledgerCorrupt, .ledgerDecision, .ledgerFormat: .stands(.pipeline)
    case .ledgerReplaced: .stands(.worker)
    case .foreignTable, .tableAhead, .tableMissing, .topicAhead, .followerBehind, .parquet: .stands(.pipeline)
    case .stateRemoved: .stands(.worker)
    case .stateMissing: WeirError.Rule(isRetriable: true, fatalTo: .worker, isSafeToRepeat: true, exitCode: 2)
    case .stateFenced, .stateReplaced, .uncleanStop: .passes(.worker)
    case .admin, .busy, .readOnly, .storageRefused, .memoryExceeded: .stands(.worker)
    case .storage, .fullDisk: .passes(.worker)
    case .closed, .output: .stands(.operation)
    case .corrupt: .stands(.pipeline)
    case .internal: WeirError.Rule(isRetriable: false, fatalTo: .pipeline, isSafeToRepeat: false, exitCode: 1)
    }
  }
}
