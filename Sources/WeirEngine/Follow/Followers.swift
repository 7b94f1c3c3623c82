import WeirCore
import WeirOperators
import WeirProtocol

/// Everything that is brought up to the ledger: the tables, and the state table's merged rows and marks.
package actor Followers {
  /// Entries that the tables may be behind while the worker continues; then it waits (law 5).
  package static let behindMax: Int64 = 4
  /// Files of entries that the tables may be behind: one commit of a table holds all that it gets of them.
  private static let filesBehindMax: Int64 = 4096

  let ledger: Ledger
  private let state: (any StateTable)?
  private var tables: [(path: String, follower: any TableFollower)]
  private let clock: any Clock
  private let meter: LiveMeter?
  private(set) var appliedThrough: Int64 = -1
  /// Of all tables, in the ledger when they were brought up last.
  private var filesApplied: Int64 = 0
  /// Topics; they follow at their own pace.
  nonisolated let sinks: SinkPump?

  init(environment: EngineEnvironment, ledger: Ledger, ledgerID: String, compiled: CompiledPlan, meter: LiveMeter? = nil) {
    self.ledger = ledger
    state = environment.state
    clock = environment.clock
    self.meter = meter
    sinks = SinkPump(environment: environment, ledger: ledger, ledgerID: ledgerID, plan: compiled.plan)
    let own = environment.follower(of: ledgerID)
    tables = compiled.followedTables.map { ($0.path, environment.tables.follower(of: $0, own)) }
  }

  /// Every follower has all entries through this one: what collection may count on.
  var collectableThrough: Int64 { get async { min(appliedThrough, await sinks?.through ?? Int64.max) } }

  private static func files(_ fold: LedgerFold) -> Int64 { fold.tables.values.reduce(0) { $0 + $1.files } }

  /// Called after each commit. Tables are brought up when they are `behindMax` entries or many files behind: one commit of a
  /// table then covers those entries.
  ///
  /// - Parameters:
  ///   - lanes: whose marks are written: a worker among others writes those of its own lanes; nil: all.
  ///   - owners: of those lanes in the state table. So a worker whose lane was taken from it in the table meanwhile notices it at the
  ///     next entry, although it has no row to flush.
  ///   - behindMax: see ``behindMax``; workers leave the tables to one of them as long as it keeps up.
  func applied(
    fold: LedgerFold, merged: [StateBatch], lanes: Set<LaneID>? = nil, owners: [(String, [UInt8])],
    behindMax: Int64 = Followers.behindMax
  ) async throws {
    try await state?.write(
      StateWrite(merged, meta: Followers.marks(fold, of: lanes), owners: owners, settled: Followers.settled(fold, of: lanes)))
    if let state { meter?.stateHas(oversizeRows: state.oversizeRows) }
    sinks?.news.ring()
    let filesBehind = Followers.files(fold) - filesApplied
    if fold.number - appliedThrough >= behindMax || filesBehind >= Followers.filesBehindMax { try await catchUp(to: fold.number) }
  }

  /// After a stop between an entry and its merged rows: writes all merged rows again. The mark of the merge lane comes with
  /// the rows, so it shows that.
  /// - Parameter expiring: tables whose rows expire.
  func repairMerged(_ fold: LedgerFold, rows: [StateBatch], expiring: Set<String>, owners: [(String, [UInt8])]) async throws {
    guard let state, !rows.isEmpty else { return }
    if try await Followers.hasMerged(fold, state) { return }
    try await ExpiredRows(merged: rows, of: expiring, owners: owners).remove(from: state)
    try await state.write(StateWrite(rows, meta: Followers.marks(fold), owners: owners))
  }

  static let mergeMark = "committed/\(LaneID.merge.text)"

  /// Whether the merged rows of all entries are in the state table.
  static func hasMerged(_ fold: LedgerFold, _ state: any StateTableReader) async throws -> Bool {
    hasMerged(fold, mark: try await state.readMeta(mergeMark))
  }

  /// - Parameter meta: of one moment of the state table.
  static func hasMerged(_ fold: LedgerFold, _ meta: [String: [UInt8]]) -> Bool { hasMerged(fold, mark: meta[mergeMark]) }

  /// The mark is an entry's number. Entries after the merge lane's position, as a decision or the end of a run makes them, changed no
  /// merged row; before its first state there was none.
  private static func hasMerged(_ fold: LedgerFold, mark: [UInt8]?) -> Bool {
    guard let mark else { return fold.mergeLane.state == nil }
    guard let number = LedgerMark(mark)?.position else { return false }
    guard let merged = fold.mergeLane.position?.ordinal else { return false }
    return merged <= number && number <= fold.number
  }

  /// Brings every table up to entry `target`.
  func catchUp(to target: Int64) async throws {
    guard target > appliedThrough else { return }
    let fold = await ledger.fold
    try invariant(target <= fold.number, "followers are to have entry \(target), and the ledger ends at \(fold.number)")
    let given = fold.tables
    for i in tables.indices {
      let path = tables[i].path
      var follower = tables[i].follower
      let began = clock.monotonicNanoseconds
      try await follower.follow(ledger, to: target, given: given[path], checksOnly: false)
      tables[i].follower = follower
      meter?.commitTook(clock.monotonicNanoseconds - began, of: path)
    }
    (appliedThrough, filesApplied) = (target, Followers.files(fold))
    sinks?.news.ring()
  }

  /// Whether every table has the files that the ledger gave it.
  func compare(with fold: LedgerFold) async throws {
    for (path, follower) in tables { try await follower.compare(with: fold.tables[path], at: fold.number) }
  }

  /// Whether all tables and topics belong to the ledger's entries. Writes nothing.
  func check() async throws {
    let given = await ledger.fold
    for i in tables.indices {
      let path = tables[i].path
      var follower = tables[i].follower
      try await follower.follow(ledger, to: given.number, given: given.tables[path], checksOnly: true)
      tables[i].follower = follower
    }
    try await sinks?.check()
  }

  /// What the ledger has of each lane, for readers of the state table.
  static func marks(_ fold: LedgerFold, of lanes: Set<LaneID>? = nil) -> [(String, [UInt8])] {
    [StateEntryMark.mark(fold)] + ids(fold, of: lanes).map { LedgerMark(of: $0, in: fold).entry(of: $0.text) }
  }

  /// How far the ledger is: what a recovery takes back is beyond that.
  private static func settled(_ fold: LedgerFold, of lanes: Set<LaneID>?) -> [(lane: String, through: Fence)] {
    ids(fold, of: lanes).map { id in
      let mark = LedgerMark(of: id, in: fold)
      return (id.text, Fence(generation: mark.generation, position: mark.position))
    }
  }

  private static func ids(_ fold: LedgerFold, of lanes: Set<LaneID>?) -> [LaneID] {
    fold.lanes.keys.filter { lanes?.contains($0) ?? true }.sorted()
  }
}
