import WeirCore

/// A format in which other programs read the lake's tables. A new format is a new module: the engine uses this protocol and names none.
public protocol TableFormat: Sendable {
  /// What brings a table up to the ledger.
  func follower(of table: FollowedTable, _ environment: FollowerEnvironment) -> any TableFollower

  /// Looks, before a ledger is founded, whether the table is there already.
  /// - Throws: `foreign_table` when it is.
  func checkAbsent(_ table: FollowedTable, in lake: any ObjectStore) async throws

  /// Compares a table with the ledger: its log is whole, it has applied an entry of the ledger, and its files are the ledger's, but for
  /// those that another program removed.
  /// - Parameter removed: gets the paths of the ledger's files that another program removed from the table.
  func verify(
    _ table: FollowedTable, with ledger: VerifiedLedger, _ result: inout VerifyResult, removed: inout Set<String>
  ) async throws

  /// Takes a table that is ahead of the ledger, or diverged from it, back to the ledger's entries, or writes its log again if that is gone.
  /// - Parameters:
  ///   - given: what the ledger gave the table; nil: no files.
  ///   - isDry: only report.
  /// - Returns: nil if the table was as the ledger says.
  /// - Throws: `table_ahead` or `table_missing` when it cannot be restored, before anything is written to it.
  func restore(
    _ table: FollowedTable, to ledger: Ledger, given: TableFold?, environment: FollowerEnvironment, isDry: Bool
  ) async throws -> TableRestoration?
}

/// Brings one table up to the ledger; any worker's may, and several at once (law 5).
public protocol TableFollower: Sendable {
  /// Brings the table to entry `target` of the ledger.
  /// - Parameters:
  ///   - given: what the ledger gave the table so far; nil: no files.
  ///   - checksOnly: write nothing; only see whether the table belongs to the ledger.
  /// - Throws: `foreign_table`, `table_ahead`, `table_missing`, `corrupt` also where a file that the table would get is not there, and
  ///   what the store and the ledger throw.
  mutating func follow(_ ledger: Ledger, to target: Int64, given: TableFold?, checksOnly: Bool) async throws

  /// Compares the table at the ledger's entry `number` with what the ledger gave it through that entry.
  /// - Throws: `corrupt` when files are missing from the table, or are there twice, and no other program explains it.
  func compare(with given: TableFold?, at number: Int64) async throws
}

/// A table of the ledger, as far as its format needs to know it.
public struct FollowedTable: Sendable {
  /// Under the lake's root. It identifies the table in ledger entries.
  public let path: String
  /// Partition columns last.
  public let columns: [ColumnSchema]
  /// Names of the partition columns, in the order of a file's partition values.
  public let partitionColumns: [String]
  /// Its rows are windows: the ledger counts which were on time, corrected or late. nil: they are not.
  public let windows: FollowedWindows?

  public init(path: String, columns: [ColumnSchema], partitionColumns: [String], windows: FollowedWindows?) {
    self.path = path
    self.columns = columns
    self.partitionColumns = partitionColumns
    self.windows = windows
  }
}

/// What finishes the windows of a table, and when.
public struct FollowedWindows: Sendable {
  public enum Place: Sendable {
    case mergeLane
    /// The lanes, whose keys they are. The merge lane does once a stream got more shards (``PartitionGrowth``).
    case lanesByKey
    case lanesByShard
  }

  public let place: Place
  /// A window is finished when the watermark passes its end by this.
  public let latenessMicroseconds: Int64

  public init(place: Place, latenessMicroseconds: Int64) { (self.place, self.latenessMicroseconds) = (place, latenessMicroseconds) }

  /// Through which event time all windows that end there are in the table; nil: the entries do not say, and what was said before is still true.
  /// - Parameters:
  ///   - commit: its entries.
  ///   - fold: of the ledger, through the last of these entries or a later one.
  public func complete(_ commit: FollowerMachine.Commit, _ fold: LedgerFold) -> Int64? {
    let isMerged =
      switch place {
      case .mergeLane: true
      case .lanesByKey: fold.growths.values.contains { $0.entry <= commit.to }
      case .lanesByShard: false
      }
    var reached = commit.merged
    if !isMerged {
      // Without the decisions of the last entry: what an end of input lets go comes with the next.
      reached = commit.to == fold.number ? fold.finishedThrough.map { min($0, commit.mergedWatermark) } : nil
    }
    guard let reached, reached != Watermark.minimum, reached != Watermark.maximum else { return reached }
    return reached - latenessMicroseconds
  }
}

/// The effects that a follower has, and whose it is.
public struct FollowerEnvironment: Sendable {
  public let ledgerID: String
  public let lake: any ObjectStore
  public let clock: any Clock
  /// Broken variants, for the simulation.
  package var isSyncing = true
  package var variant: ProtocolVariant = []

  public init(ledgerID: String, lake: any ObjectStore, clock: any Clock) {
    self.ledgerID = ledgerID
    self.lake = lake
    self.clock = clock
  }
}

/// A ledger that tables are compared with.
public struct VerifiedLedger: Sendable {
  public let ledger: Ledger
  public let fold: LedgerFold
  /// Those that were not collected.
  public let entries: [LedgerEntry]
  public let lake: any ObjectStore

  public init(_ ledger: Ledger, fold: LedgerFold, entries: [LedgerEntry], lake: any ObjectStore) {
    self.ledger = ledger
    self.fold = fold
    self.entries = entries
    self.lake = lake
  }
}

/// What was done to restore a table, or would be.
public struct TableRestoration: Sendable, Equatable {
  public var table: String
  /// The entry that the table had applied; nil: its log was gone.
  public var from: Int64?
  /// The ledger's entry that it was taken back to.
  public var to: Int64
  /// Paths under the table's directory, as in its log.
  public var removed: [String] = []
  public var added: [String] = []

  public init(table: String, from: Int64?, to: Int64) {
    self.table = table
    self.from = from
    self.to = to
  }
}

extension FollowerMachine.Refusal {
  /// - Parameters:
  ///   - log: what the table's format calls its log, and where that is: `Delta log gold/views/_delta_log`.
  ///   - head: the ledger's last entry.
  public func error(table: String, log: String, head: Int64) -> WeirError {
    switch self {
    case .foreign(let owner):
      WeirError(
        .foreignTable, "the table \(table) belongs to \(owner.map { "another ledger (\($0))" } ?? "no ledger of Weir")",
        advice:
          "Choose \(.otherLake), or other names for the pipeline's tables. If this lake's ledger (in the directory _weir) was lost, restore it from a copy."
      )
    case .ahead(let number):
      WeirError(
        .tableAhead,
        "the table \(table) has applied entry \(number) of the ledger, and the last entry of the ledger is \(head): entries were lost, or the lake was restored from a copy whose tables are newer than its ledger",
        advice: FollowerMachine.Refusal.remedy)
    case .beside(let number):
      WeirError(
        .tableAhead,
        "the table \(table) has applied another entry \(number) than the one in the ledger: the ledger was restored from an older copy and has continued without this table",
        advice: FollowerMachine.Refusal.remedy)
    case .missing:
      WeirError(
        .tableMissing, "the \(log) is gone, although the ledger lists files of the table",
        advice:
          "Nothing was written. Restore the table's directory from a copy of the lake. If its data files are still there, \(.restoreTables) writes the log again from the ledger. To start over, replay into \(.newLake)."
      )
    }
  }

  private static let remedy: Wording =
    "Nothing was written. If you have a newer copy of the ledger's files, put them back. Otherwise \(.restoreTables) restores the tables to the ledger's entries, and the next run processes the rest again (\(.dryRun) shows what it would do)."
}
