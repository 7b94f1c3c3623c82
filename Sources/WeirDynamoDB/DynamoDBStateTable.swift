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
  private let isReader: Bool
  private let creates: Bool
  let memory = Mutex(Memory())
  /// Called between two parts of one write.
  let onPart: @Sendable () async throws -> Void

  /// - Parameters:
  ///   - readOnly: never makes the table.
  ///   - create: makes the table where it is missing, at the first request.
  ///   - random: names this process's writes: two processes must not get the same numbers.
  ///   - onPart: called between two parts of one write; if it throws, the write ends there.
  package init(
    table: String, sender: any AWSSender, clock: any Clock, random: any RandomSource, readOnly: Bool = false, create: Bool = true,
    bounds: Bounds = Bounds(), onPart: @escaping @Sendable () async throws -> Void = {}
  ) {
    requests = DynamoDBRequests(sender: sender, table: table, clock: clock, random: random, creates: create)
    self.bounds = bounds
    (isReader, creates) = (readOnly, create && !readOnly)
    self.onPart = onPart
    session = RecordHeaders.hex(BigEndian.bytes(random.next()))
  }

  /// Looks at the table, the layout and all values next to the rows. Damage of single rows shows when they are read.
  package func check() async throws {
    memory.withLock { $0.isReady = false }
    _ = try await listMeta(prefix: "")
  }

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

  // MARK: The layout

  /// Makes the table and the layout where they are missing.
  private func prepare() async throws {
    if memory.withLock({ $0.isReady }) { return }
    try await TableCreation(requests: requests, creates: creates).run()
    memory.withLock { $0.isReady = true }
  }

  /// - Throws: `corrupt`.
  func layout() async throws -> TableLayout { try await storedLayout().layout }

  /// With the token to replace it by.
  func storedLayout() async throws -> (layout: TableLayout, seen: MetaItem.Seen) {
    try await prepare()
    for _ in 0..<2 {
      if let item = try await requests.get(TableLayout.key) {
        guard let layout = TableLayout(item) else {
          throw requests.corrupt("its layout is of another version, or damaged")
        }
        return (layout, .init(item))
      }
      let new = TableLayout(buckets: bounds.buckets)
      if isReader { return (new, .absent) }
      do {
        try await withToken { try await requests.change(MetaItem.put(TableLayout.key, new.attributes, over: .absent, $0)) }
      } catch is DynamoDBRequests.ConditionFailed {}
    }
    throw requests.corrupt("its layout was deleted while it was read")
  }
}
