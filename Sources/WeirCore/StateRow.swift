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
public struct StateRow: Sendable, Hashable {
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

/// Some of the rows of a table, and where the others begin.
public struct StatePage: Sendable {
  /// Maximum number of rows of a page, whatever was asked for.
  public static let rowsMax = 1024
  /// A page ends with the row that brings it to this many bytes of keys and values.
  public static let bytesMax = 1 << 20

  /// In the order of their keys. May be fewer than asked for, also none, although others follow.
  public var rows: [StateRow]
  /// nil: there are no more.
  public var next: StateContinuation?

  public init(_ rows: [StateRow], next: StateContinuation?) { (self.rows, self.next) = (rows, next) }
}

/// Where the next page of a table begins. Its bytes have a meaning for the kind of table that made it, and may leave the process.
public struct StateContinuation: Sendable, Hashable {
  public var bytes: [UInt8]

  public init(_ bytes: [UInt8]) { self.bytes = bytes }
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

/// What a worker writes to the state table at once: rows, and the values that are true once all of them are there.
public struct StateWrite: Sendable {
  public var batches: [StateBatch]
  /// Values next to the rows, written with the last of them.
  public var meta: [(String, [UInt8])]
  /// Values written by ``StateTable/claim(_:)``, without which nothing is written. Empty: the rows and values have no owner.
  public var owners: [(String, [UInt8])]
  /// Values written with the first rows where the table writes these rows in several transactions. As long as they are stored, only some
  /// of the rows may be there.
  public var intent: [(String, [UInt8])]
  /// How far the ledger is, by lane: no retraction asks for rows of these fences or smaller ones any more. A table that keeps a list of
  /// the rows that run ahead may forget them.
  public var settled: [(lane: String, through: Fence)]

  public init(
    _ batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])], intent: [(String, [UInt8])] = [],
    settled: [(lane: String, through: Fence)] = []
  ) {
    (self.batches, self.meta, self.owners, self.intent, self.settled) = (batches, meta, owners, intent, settled)
  }

  /// Neither rows nor values.
  public var isEmpty: Bool { meta.isEmpty && batches.allSatisfy(\.isEmpty) }

  /// What a write ends with if one of ``owners`` is no longer stored.
  public static func fenced(_ name: String) -> WeirError {
    WeirError(
      .stateFenced, "the state table's \(name) now belongs to another worker",
      advice: "Nothing was lost: the worker that now has the lane writes its rows.")
  }
}
