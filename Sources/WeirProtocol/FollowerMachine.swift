import WeirCore

/// What a table's log says in one version: what a follower goes by (law 5).
public struct TableSnapshot: Sendable, Hashable {
  /// The newest version; -1 if there is no table.
  public var version: Int64
  /// Version of the `txn` with our application id: the last ledger entry that was applied; nil without one.
  public var txn: Int64?
  /// The ledger's id in the table's configuration; nil without one.
  public var ledgerID: String?
  /// The ``EntryProof`` of entry `txn`; nil in a table of an older version.
  public var proof: Int64?

  public init(version: Int64, txn: Int64?, ledgerID: String?, proof: Int64? = nil) {
    self.version = version
    self.txn = txn
    self.ledgerID = ledgerID
    self.proof = proof
  }
}

/// Brings one table to the ledger, as a pure machine, whatever the table's format: events in, the next thing to do out.
///
/// Anyone may do it, several at once too: the actions of version v are derived from the `txn` in the snapshot of
/// version v - 1, on every try, so that entries come in order and each once, whichever worker wins a version.
///
/// A table that has applied an entry which the ledger does not have, or another one than the ledger's, is refused before anything
/// is written to it: its `txn` would otherwise claim entries that it does not hold.
public struct FollowerMachine: Sendable {
  public enum Event: Sendable {
    case snapshotRead(TableSnapshot)
    /// The entries that were asked for, all of them, in order.
    case entriesRead([LedgerEntry])
    /// What ``Ledger/proof(of:)`` gave.
    case proofRead(EntryProof?)
    /// The end of the put of the table's new version.
    case putReturned(PutOutcome)
    case rested
    /// The action failed, or its outcome is unknown; doing it again does no harm.
    case failed
  }

  /// A version of the table to make.
  public struct Commit: Sendable, Equatable {
    /// The version to put, if absent; 0 makes the table.
    public var version: Int64
    /// The ledger entries `(from, to]`; `to` is the new `txn` version.
    public var from: Int64
    public var to: Int64
    /// Files of the table, in the order of the entries.
    public var files: [DataFile]
    /// Sums of the lanes' counts over the entries, for `commitInfo`.
    public var counts: BucketCounts
    /// The same of each kind of record, where there are several.
    public var kinds: [String: BucketCounts] = [:]
    public var windows: WindowCounts
    /// As of entry `to`: the records through it are in the table.
    public var mergedWatermark: Int64
    /// By which the merge lane has finished all its windows in these entries; nil: it has not, or not since a growth gave it more.
    ///
    /// It is behind ``mergedWatermark`` as long as the merge lane's entry comes after that of the lanes.
    public var merged: Int64?
    /// Of entry `to`; nil when the commit has no entries.
    public var proof: EntryProof?
    /// The table belongs to another ledger or to none, and was adopted by name: write our id into its configuration.
    public var adopts: Bool
  }

  public enum Action: Sendable {
    /// Read the table's newest version, and sync its file and directory before acting on it: with a version of ours
    /// durable above one that vanishes with the machine, the table's log has a hole.
    case readSnapshot
    /// Ledger entries `(after, through]`.
    case readEntries(after: Int64, through: Int64)
    /// ``Ledger/proof(of:)`` the entry.
    case readProof(of: Int64)
    case commit(Commit)
    /// Sleep a while, longer the larger `tries`, with jitter.
    case rest(tries: Int)
    /// The table holds everything through the target; a machine that only checks: the table belongs to the ledger.
    case done(TableSnapshot)
    case refuse(Refusal)
    /// The store gave no clear answer for too long; begin again later.
    case giveUp
    /// The caller broke a rule.
    case fail(WeirError)
  }

  /// Why a table is left alone.
  public enum Refusal: Sendable, Equatable {
    /// It belongs to another ledger (its id), or to none (nil).
    case foreign(owner: String?)
    /// It has applied this entry, which the ledger does not have.
    case ahead(Int64)
    /// It has applied another entry of this number than the ledger's.
    case beside(Int64)
    /// It is not there, although the ledger gave it files.
    case missing
  }

  /// Entries in one commit at most; a table that gets no files is moved on after this number.
  public static let entriesMax: Int64 = 64
  /// Tries of one step in a row.
  public static let triesMax = 8

  private enum State: Sendable {
    case readingSnapshot
    case readingEntries(TableSnapshot, after: Int64, through: Int64)
    case proving(TableSnapshot, Int64)
    case committing(TableSnapshot, Commit)
    case resting
    case finished
  }

  public let table: String
  public let ledgerID: String
  /// The ledger entry to reach.
  public let target: Int64
  private let adopts: Bool
  private let mustExist: Bool
  private let checksOnly: Bool
  private var state = State.readingSnapshot
  private var tries = 0
  /// The `txn` at the last try: a table that another worker has moved on since is no failure.
  private var triedAt: Int64?
  /// Only for the broken variant that goes by it.
  private var remembered: Int64?
  package var variant: ProtocolVariant = []

  /// - Parameters:
  ///   - target: a number through which the ledger is known and durable.
  ///   - adopts: take over a table of another ledger, or of none.
  ///   - mustExist: the ledger gave the table files. Tables are made before the first entry that has any, so one that is not there
  ///     was removed.
  ///   - checksOnly: commit nothing; only see whether the table belongs to the ledger.
  public init(
    table: String, ledgerID: String, target: Int64, adopts: Bool = false, mustExist: Bool = false, checksOnly: Bool = false
  ) {
    self.table = table
    self.ledgerID = ledgerID
    self.target = target
    self.adopts = adopts
    self.mustExist = mustExist
    self.checksOnly = checksOnly
  }

  /// The first action.
  public var begin: Action { .readSnapshot }

  /// Takes the answer to the last action.
  public mutating func event(_ event: Event) -> Action {
    switch (state, event) {
    case (.readingSnapshot, .snapshotRead(let snapshot)): return go(on: snapshot)
    case (.readingEntries(let snapshot, let after, let through), .entriesRead(let entries)):
      return derive(entries, on: snapshot, after: after, through: through)
    case (.proving(let snapshot, let number), .proofRead(let proof)): return proved(snapshot, number, proof)
    case (.committing(let snapshot, let commit), .putReturned(let outcome)):
      return putReturned(outcome, of: commit, on: snapshot)
    case (.resting, .rested):
      state = .readingSnapshot
      return .readSnapshot
    case (.finished, _), (_, .snapshotRead), (_, .entriesRead), (_, .proofRead), (_, .putReturned), (_, .rested):
      state = .finished
      return .fail(WeirError(.internal, "the follower of \(table) received a reply to a request that it did not send"))
    case (_, .failed): return again()
    }
  }

  private mutating func go(on snapshot: TableSnapshot) -> Action {
    if snapshot.version >= 0, snapshot.ledgerID != ledgerID, !adopts { return refuse(.foreign(owner: snapshot.ledgerID)) }
    if snapshot.version < 0, mustExist { return refuse(.missing) }
    // Entry 0 holds no files: a table without our txn begins after it.
    var applied = snapshot.txn ?? 0
    if let triedAt, applied > triedAt { tries = 0 }
    triedAt = applied
    if variant.contains(.followerTrustsMemory) { applied = remembered ?? applied }
    remembered = applied
    let isOurs = snapshot.version >= 0 && snapshot.ledgerID == ledgerID
    if isOurs, checksOnly || applied >= target {
      state = .proving(snapshot, applied)
      return .readProof(of: applied)
    }
    if checksOnly { return done(snapshot) }
    return read(after: applied, on: snapshot)
  }

  private mutating func proved(_ snapshot: TableSnapshot, _ number: Int64, _ proof: EntryProof?) -> Action {
    guard let proof else { return refuse(.ahead(number)) }
    guard isProven(snapshot, number, by: proof) else { return refuse(.beside(number)) }
    return done(snapshot)
  }

  private func isProven(_ snapshot: TableSnapshot, _ number: Int64, by proof: EntryProof) -> Bool {
    snapshot.ledgerID != ledgerID || proof.agrees(with: snapshot.proof, number: number)
  }

  private mutating func done(_ snapshot: TableSnapshot) -> Action {
    state = .finished
    return .done(snapshot)
  }

  private mutating func refuse(_ refusal: Refusal) -> Action {
    state = .finished
    return .refuse(refusal)
  }

  private mutating func read(after: Int64, on snapshot: TableSnapshot) -> Action {
    let through = min(target, after + FollowerMachine.entriesMax)
    state = .readingEntries(snapshot, after: after, through: max(after, through))
    return .readEntries(after: after, through: max(after, through))
  }

  private mutating func derive(
    _ entries: [LedgerEntry], on snapshot: TableSnapshot, after: Int64, through: Int64
  ) -> Action {
    guard entries.map(\.number) == Array(stride(from: after + 1, through: through, by: 1)) else { return again() }
    // The entry after the applied one names its hash: the proof costs nothing.
    if let next = entries.first, !isProven(snapshot, after, by: EntryProof(number: after, hash: next.previousHash)) {
      return refuse(.beside(after))
    }
    var commit = FollowerMachine.commit(
      entries, of: table, version: snapshot.version + 1, after: after, through: through,
      adopts: snapshot.version >= 0 && snapshot.ledgerID != ledgerID, reversed: variant.contains(.followerOutOfOrder))
    if variant.contains(.followerProvesFirst) { commit.proof = entries.first.map { EntryProof(number: through, hash: $0.hash) } }
    if variant.isEmpty, let error = FollowerMachine.error(in: commit, on: snapshot) {
      state = .finished
      return .fail(error)
    }
    state = .committing(snapshot, commit)
    return .commit(commit)
  }

  /// No version goes out by which the table would go back, say less than its files, or have a file twice: the mistake is Weir's.
  private static func error(in commit: Commit, on snapshot: TableSnapshot) -> WeirError? {
    let name = "version \(commit.version) of a table"
    do {
      try invariant(commit.version == snapshot.version + 1, "\(name) comes after version \(snapshot.version)")
      let applied = snapshot.txn ?? 0
      try invariant(commit.to >= commit.from && commit.from == applied, "\(name) begins after \(commit.from), not after \(applied)")
      try invariant(commit.proof != nil || commit.to == commit.from, "\(name) has entries, and no proof of the last one")
      try invariant(Set(commit.files.map(\.path)).count == commit.files.count, "\(name) has a file twice")
      return nil
    } catch { return error }
  }

  static func commit(
    _ entries: [LedgerEntry], of table: String, version: Int64, after: Int64, through: Int64, adopts: Bool,
    reversed: Bool = false
  ) -> Commit {
    var commit = Commit(
      version: version, from: after, to: through, files: [], counts: BucketCounts(), windows: WindowCounts(),
      mergedWatermark: entries.last?.mergedWatermark ?? Watermark.minimum,
      proof: entries.last.map { EntryProof(number: $0.number, hash: $0.hash) }, adopts: adopts)
    for entry in entries {
      guard let merge = entry[.merge] else { continue }
      if merge.takesOverWindows { commit.merged = nil } else if merge.finishesWindows { commit.merged = merge.watermark }
    }
    for entry in reversed ? entries.reversed() : entries {
      commit.files += entry.files(of: table)
      for lane in entry.lanes where lane.lane != .merge {
        commit.counts += lane.counts
        for (kind, counts) in lane.kinds { commit.kinds[kind, default: BucketCounts()] += counts }
        commit.windows += lane.windows[table] ?? WindowCounts()
      }
    }
    return commit
  }

  private mutating func putReturned(_ outcome: PutOutcome, of commit: Commit, on snapshot: TableSnapshot) -> Action {
    switch outcome {
    case .created:
      // Our version is the snapshot now; what follows it is derived from its txn.
      tries = 0
      let next = TableSnapshot(version: commit.version, txn: commit.to, ledgerID: ledgerID, proof: commit.proof?.value)
      return commit.to >= target ? done(next) : go(on: next)
    case .exists, .unknown:
      if variant.contains(.followerRebases) {
        // A lost version taken for a mere matter of numbering.
        var rebased = commit
        rebased.version += 1
        state = .committing(snapshot, rebased)
        return .commit(rebased)
      }
      // Ours or another's: the txn in the next snapshot shows what is applied.
      return again()
    }
  }

  private mutating func again() -> Action {
    tries += 1
    guard tries < FollowerMachine.triesMax else {
      state = .finished
      return .giveUp
    }
    state = .resting
    return .rest(tries: tries)
  }
}
