import Synchronization
import WeirAWS
import WeirCore

/// The state table in a DynamoDB table: any number of workers and readers on any machines. Where things are: ``TableLayout``. Why no row can
/// stay that the ledger never reaches: ``FlushLog``.
package final class DynamoDBStateTable: StateTable {
  /// How it writes.
  package struct Bounds: Sendable {
    /// Requests at a time.
    package var inFlight = 64
    /// A write of at most this number of rows is one transaction, which costs twice what its rows cost alone and saves a second round trip.
    package var transactionRows = 16
    /// Rows after which a longer write asks once more whether its owners are stored.
    package var partRows = 4096
    /// Partitions of each table: see ``TableLayout``. Only counts where the DynamoDB table is made.
    package var buckets = 16
    /// Times that a change is tried whose item another writer keeps changing.
    package var attempts = 16

    package init() {}
  }

  /// DynamoDB's bound of a transaction.
  static let transactionItemsMax = 100
  /// Half of DynamoDB's bound of a transaction.
  static let transactionBytesMax = 2 << 20

  struct Memory {
    var isReady = false
    /// The layout was there since the table was opened: where it is missing now, it was lost.
    var hasLayout = false
    var lastNumber: Int64 = 0
    /// Writes of this process that are under way.
    var active: Set<FlushToken> = []
    /// The token that each value next to the rows was last seen with.
    var seen: [ItemKey: MetaItem.Seen] = [:]
    /// Lists of keys in the log, by lane, that this process has written.
    var logs: [String: [(fence: Fence, key: ItemKey)]] = [:]
    /// Lanes whose log has no lists of other processes any more.
    var pruned: Set<String> = []
  }

  let requests: DynamoDBRequests
  let bounds: Bounds
  private let session: String
  let isReader: Bool
  let creates: Bool
  let memory = Mutex(Memory())
  /// Called between two parts of one write.
  let onPart: @Sendable () async throws -> Void
  /// Receives what an operator should know and is not a failure.
  let notice: @Sendable (String) -> Void
  let oversize: OversizeRows

  /// - Parameters:
  ///   - readOnly: never makes the table.
  ///   - create: makes the table where it is missing, at the first request.
  ///   - random: names this process's writes: two processes must not get the same numbers.
  ///   - notice: receives what an operator should know and is not a failure.
  ///   - onPart: called between two parts of one write; if it throws, the write ends there.
  package init(
    table: String, sender: any AWSSender, clock: any Clock, random: any RandomSource, readOnly: Bool = false, create: Bool = true,
    bounds: Bounds = Bounds(), notice: @escaping @Sendable (String) -> Void = { _ in },
    onPart: @escaping @Sendable () async throws -> Void = {}
  ) {
    requests = DynamoDBRequests(sender: sender, table: table, clock: clock, random: random, creates: create)
    self.bounds = bounds
    (isReader, creates) = (readOnly, create && !readOnly)
    (self.notice, self.onPart) = (notice, onPart)
    oversize = OversizeRows(
      bound: "\(RowItem.bytesMax) (a DynamoDB item has at most 400 KB, of which Weir keeps 4 KB for its own attributes)", notice: notice)
    session = RecordHeaders.hex(BigEndian.bytes(random.next()))
  }

  /// Looks at the table, the layout and all values next to the rows. Damage of single rows shows when they are read.
  package func check() async throws {
    memory.withLock { $0.isReady = false }
    _ = try await listMeta(prefix: "")
  }

  /// Takes the table as it is now: it may have lost its layout, and all rows with it.
  package func reopen() async throws {
    memory.withLock { memory in
      (memory.hasLayout, memory.seen, memory.logs, memory.pruned) = (false, [:], [:], [])
    }
  }

  package var oversizeRows: Int64 { oversize.count }

  package func sync() async throws {}
  package func finish() async throws {}
  /// The client belongs to the caller.
  package func close() async throws {}

  // MARK: Tokens

  /// Does something under a new token, which is active as long.
  func withToken<T>(_ body: (FlushToken) async throws -> T) async throws -> T {
    let token = memory.withLock { memory in
      memory.lastNumber += 1
      let token = FlushToken(session: session, number: memory.lastNumber)
      memory.active.insert(token)
      return token
    }
    defer { memory.withLock { _ = $0.active.remove(token) } }
    return try await body(token)
  }
}
