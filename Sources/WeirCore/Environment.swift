/// Effects come in through the protocols of this file; logic sees nothing else of the world (law 8).
///
/// The engine runs the same under the real adapters and under simulation.

/// Time. `now` is for durations and never goes back; `wall` is for people and file ages.
public protocol Clock: Sendable {
  /// Nanoseconds since some fixed instant of this boot (it counts on while the machine sleeps).
  var monotonicNanoseconds: Int64 { get }
  /// UTC microseconds since 1970.
  var wallMicroseconds: Int64 { get }
  func sleep(nanoseconds: Int64) async
}

/// Randomness: names of attempts, jitter. Never rows.
public protocol RandomSource: Sendable {
  func next() -> UInt64
}

/// A file or object to create.
public struct NewObject: Sendable {
  /// Relative to the store's root, parts separated by "/".
  public var path: String
  /// Its bytes, one piece after the other: large ones are never together in one array.
  public var pieces: [[UInt8]]

  public init(path: String, bytes: [UInt8]) { self.init(path: path, pieces: [bytes]) }

  public init(path: String, pieces: [[UInt8]]) {
    self.path = path
    self.pieces = pieces
  }

  public var bytes: [UInt8] { pieces.count == 1 ? pieces[0] : Array(pieces.joined()) }
}

public struct ObjectInfo: Sendable, Hashable {
  public var path: String
  public var bytes: Int64
  /// UTC microseconds since 1970, by the store's clock.
  public var modifiedMicroseconds: Int64

  public init(path: String, bytes: Int64, modifiedMicroseconds: Int64) {
    self.path = path
    self.bytes = bytes
    self.modifiedMicroseconds = modifiedMicroseconds
  }
}

/// The end of a put-if-absent (laws 1 and 2).
public enum PutOutcome: Sendable, Equatable {
  /// This call made the object, durably.
  case created
  /// An object is there; it may be ours, from a try whose reply was lost: read it back.
  case exists
  /// It is unknown whether the object was created (time-out, 5xx). Read it back.
  case unknown(String)
}

/// The lake's store: a directory, a bucket, or a simulation of one.
///
/// Errors are ``WeirError``s; a path that is not there is `get` returning nil and not an error.
public protocol ObjectStore: Sendable {
  /// Creates objects under names that were never used before; durable (bytes and directories) when it returns.
  func write(_ objects: [NewObject]) async throws
  /// Where it is, for errors: a path that any shell understands, an address. Without secrets.
  var place: String { get }
  /// Atomically creates the object unless one is there. The only primitive that correctness rests on.
  func putIfAbsent(_ object: NewObject) async -> PutOutcome
  /// The same for an object that is too large to be in memory at once. It is not there before ``ObjectUpload/finish()``.
  func upload(_ path: String) async throws -> any ObjectUpload
  /// Atomically creates or replaces the object, durably: for hints (`_last_checkpoint`) and the snapshot pointer.
  func replace(_ object: NewObject) async throws
  func get(_ path: String) async throws -> [UInt8]?
  /// `count` bytes from `offset`; nil if the object is not there, fewer bytes if it is shorter.
  func get(_ path: String, offset: Int64, count: Int) async throws -> [UInt8]?
  /// All objects whose path begins with `prefix`, in order of their paths' bytes.
  func list(_ prefix: String) async throws -> [ObjectInfo]
  /// Those of them whose path is `first` or comes after it. A long list costs neither requests nor memory for what comes before.
  func list(_ prefix: String, from first: String) async throws -> [ObjectInfo]
  /// Makes an object that another process created durable, with its directory ("before a worker acts on an entry that it did not write").
  func sync(_ path: String) async throws
  /// Removes the object; a missing object is not an error. Only collection calls this.
  func delete(_ path: String) async throws
}

/// An object that is written part by part, and atomically created at the end unless one is there.
public protocol ObjectUpload: Sendable {
  func append(_ bytes: [UInt8]) async throws
  /// Ends as ``ObjectStore/putIfAbsent(_:)`` does.
  func finish() async -> PutOutcome
  /// Removes what was written; nothing happens after ``finish()``.
  func abandon() async
}

extension ObjectStore {
  /// For stores that have no other way: all are listed.
  public func list(_ prefix: String, from first: String) async throws -> [ObjectInfo] {
    try await list(prefix).filter { !$0.path.utf8.lexicographicallyPrecedes(first.utf8) }
  }

  /// For stores that have no other way: the parts are collected in memory.
  public func upload(_ path: String) async throws -> any ObjectUpload { CollectedUpload(self, path) }
}

private actor CollectedUpload: ObjectUpload {
  private let store: any ObjectStore
  private let path: String
  private var bytes: [UInt8] = []

  init(_ store: any ObjectStore, _ path: String) { (self.store, self.path) = (store, path) }

  func append(_ bytes: [UInt8]) async throws { self.bytes += bytes }
  func finish() async -> PutOutcome { await store.putIfAbsent(NewObject(path: path, bytes: bytes)) }
  func abandon() async { bytes = [] }
}

/// The fence of a row of the state table (law 6): written only over a smaller or equal one.
public struct Fence: Sendable, Hashable, Comparable {
  public var generation: Int64
  /// Position in the lane, or ledger number for merged rows.
  public var position: Int64

  public init(generation: Int64, position: Int64) {
    self.generation = generation
    self.position = position
  }

  public static func < (a: Fence, b: Fence) -> Bool { (a.generation, a.position) < (b.generation, b.position) }
}

/// A row of the state table.
public struct StateRow: Sendable {
  public var table: String
  /// The `by` values as ``StateKey`` encodes them.
  public var key: [UInt8]
  public var fence: Fence
  /// The lane whose positions the fence counts (``LaneID/text``), or `merge`.
  public var lane: String
  /// The encoded row; nil is a tombstone.
  public var value: [UInt8]?

  public init(table: String, key: [UInt8], fence: Fence, lane: String, value: [UInt8]?) {
    self.table = table
    self.key = key
    self.fence = fence
    self.lane = lane
    self.value = value
  }
}

/// A value next to the rows that says whose something is. The number orders its takers: it is the ledger's.
public struct StateClaim: Sendable {
  public var name: String
  public var owner: [UInt8]
  public var number: Int64

  public init(name: String, owner: [UInt8], number: Int64) { (self.name, self.owner, self.number) = (name, owner, number) }

  /// The name of the value that holds the number.
  public var numberName: String { "number/" + name }

  /// The two values that a claim writes.
  public var meta: [(String, [UInt8])] { [(name, owner), (numberName, Array(String(number).utf8))] }

  /// - Parameter stored: the value stored under ``numberName``.
  /// - Returns: false if a later taker was here.
  public func isInTime(_ stored: [UInt8]?) -> Bool {
    stored.flatMap { Int64(String(decoding: $0, as: UTF8.self)) }.map { $0 <= number } ?? true
  }

  /// What a claim that is not in time ends with.
  public var tooLate: WeirError {
    WeirError(
      .stateFenced, "the state table's \(name) belongs to another worker, whose claim is later in the ledger",
      advice: "Nothing was lost: the worker that now has the lane writes its rows.")
  }
}

/// The low-latency key-value table.
public protocol StateTable: Sendable {
  /// Writes what each claim says, if no claim of a larger number exists; else nothing is written. One transaction.
  /// - Throws: `state_fenced` if one does.
  func claim(_ claims: [StateClaim]) async throws
  /// Writes rows, and `meta` with the last of them; a row whose stored fence is larger is skipped.
  /// Returns how many were skipped. Visible to readers on return; durable after ``sync()``.
  func write(_ batches: [StateBatch], meta: [(String, [UInt8])]) async throws -> Int
  /// The same, if each of `owners` (values written by ``claim(_:)``) is still stored; else nothing is written.
  /// - Throws: `state_fenced` if one does not.
  func write(_ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]) async throws -> Int
  /// The same, in as many transactions as the table's bound on one of them asks for. The first of several writes `intent`: as long as
  /// that is stored, only some of the rows may be there.
  func write(
    _ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])], intent: [(String, [UInt8])]
  ) async throws -> Int
  /// Takes back what ran ahead: rows of the batch's table and lane whose fence is larger than `beyond` become what the batch has of
  /// them, or go. One transaction.
  /// - Throws: `state_fenced`, and nothing is changed, if one of `owners` (see ``write(_:meta:owners:)``) is no longer stored.
  func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws
  func read(table: String, key: [UInt8]) async throws -> StateRow?
  /// Rows of the table whose key begins with `prefix`, in key order, tombstones left out.
  func scan(table: String, prefix: [UInt8], limit: Int) async throws -> [StateRow]
  /// One moment of the store: all values that ``writeMeta(_:)`` and the others wrote next to the rows, and what `body` makes of the
  /// rows of `tables`, which it gets table by table in key order. A value that changed on the way, where the moment cannot be kept,
  /// is left out.
  func moment<T: Sendable>(
    of tables: [String], into first: T, _ body: @escaping @Sendable (inout T, StateRow) -> Void
  ) async throws -> (meta: [String: [UInt8]], result: T)
  /// Small named values next to the rows: schemas, committed positions, whose table this is.
  func writeMeta(_ entries: [(String, [UInt8])]) async throws
  func readMeta(_ name: String) async throws -> [UInt8]?
  func sync() async throws
  /// Syncs, and marks the table as whole: the worker writes no more. Without this mark a table that a stopped machine
  /// left behind is not trusted.
  func finish() async throws
  /// Puts `batches` in the place of all rows of the tables, and writes `meta`, in one transaction: readers see the tables as they were
  /// or as they are then, and so does the next worker if this one is killed.
  /// - Throws: `fenced`, and nothing is changed, if one of `owners` is no longer stored.
  func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws
  /// Opens the table that now has this one's place, if another process put a rebuilt one there.
  func reopen() async throws
}

/// A state table as programs read it that show it or look whether it is sound, beside the worker that writes it.
public protocol StateTableReader: StateTable {
  /// Names and values of all meta entries whose name begins with `prefix`.
  func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])]
  /// Rows handed out one after the other, so that the memory of a scan does not grow with the table.
  /// - Parameters:
  ///   - limit: maximum number of rows; negative: all.
  ///   - body: may run on a thread of the table's own.
  func withRows<T: Sendable>(
    table: String, prefix: [UInt8], limit: Int, _ body: @escaping @Sendable (any StateRows) throws(WeirError) -> T
  ) async throws -> T
  /// Looks at everything that can be damaged.
  /// - Throws: `corrupt`.
  func check() async throws
  /// Ends the use of the table.
  func close() async throws
}

/// The rows of a scan, as long as it lasts.
public protocol StateRows {
  /// In key order.
  func forEach(_ body: (StateRow) throws(WeirError) -> Void) throws(WeirError)
}

extension StateTable {
  public func write(_ batches: [StateBatch]) async throws -> Int { try await write(batches, meta: []) }

  /// For tables that are not files.
  public func reopen() async throws {}
}
