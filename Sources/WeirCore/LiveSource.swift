/// What a live source knows of the records of a block besides their values. Immutable.
///
/// Keys are in the block's text, like the values.
public final class RecordDetails: Sendable {
  /// An entry of ``arrivals``: the source does not say.
  public static let noArrival = Int64.min
  /// The last millisecond of the year 9999. No correct clock shows more: it is microseconds or nanoseconds by mistake, or nonsense, and a
  /// lake's reader could not represent it as a date.
  private static let millisecondsMax: Int64 = 253_402_300_799_999

  /// What a record's own timestamp, UTC milliseconds since 1970 as the producer or the broker set it, says of its arrival: microseconds,
  /// or ``noArrival`` if it is none.
  public static func arrival(milliseconds: Int64) -> Int64 {
    (0...millisecondsMax).contains(milliseconds) ? milliseconds * 1000 : noArrival
  }

  /// The shard's name.
  public let shard: String
  /// Ordinal of each record (see ``ShardPoint``), ascending, not without gaps.
  public let positions: [Int64]
  /// Position of each record where the source's are not dense; else empty.
  public let sequences: [SequenceNumber]
  /// When each record arrived, UTC microseconds since 1970, or ``noArrival``.
  public let arrivals: [Int64]
  /// The arrivals are of the broker's clock; else of the producer's.
  public let isAppendTime: Bool
  private let keyOffset: [UInt32]
  /// -1: no key.
  private let keyLength: [Int32]
  /// JSON text of each record's headers; nil without; empty if no record has any.
  private let headerTexts: [String?]
  /// Ascending.
  private let tombstones: [UInt32]

  public init(
    shard: String, positions: [Int64], arrivals: [Int64], isAppendTime: Bool, keyOffset: [UInt32], keyLength: [Int32],
    headers: [String?] = [], tombstones: [UInt32] = [], sequences: [SequenceNumber] = []
  ) {
    precondition(sequences.isEmpty || sequences.count == positions.count, "one of each per record")
    self.sequences = sequences
    self.tombstones = tombstones
    precondition(positions.count == arrivals.count && positions.count == keyOffset.count, "one of each per record")
    self.shard = shard
    self.positions = positions
    self.arrivals = arrivals
    self.isAppendTime = isAppendTime
    self.keyOffset = keyOffset
    self.keyLength = keyLength
    headerTexts = headers
  }

  /// The same for rows that are parts of these records.
  /// - Parameter records: of each row.
  public func repeated(_ records: [UInt32]) -> RecordDetails {
    let isTombstoneRow = records.indices.filter { isTombstone(Int(records[$0])) }
    return RecordDetails(
      shard: shard, positions: positions.gathered(records), arrivals: arrivals.gathered(records), isAppendTime: isAppendTime,
      keyOffset: keyOffset.gathered(records), keyLength: keyLength.gathered(records),
      headers: headerTexts.isEmpty ? [] : records.map { headerTexts[Int($0)] }, tombstones: isTombstoneRow.map { UInt32($0) },
      sequences: sequences.isEmpty ? [] : records.map { sequences[Int($0)] })
  }

  /// Where the record is.
  public func point(_ row: Int) -> ShardPoint {
    ShardPoint(ordinal: positions[row], sequence: sequences.isEmpty ? nil : sequences[row])
  }

  /// The record's key as received; nil: none.
  public func key(_ row: Int, in text: TextBuffer) -> StringRef? {
    guard keyLength[row] >= 0 else { return nil }
    return StringRef(start: UnsafePointer(text.base) + Int(keyOffset[row]), count: Int(keyLength[row]))
  }

  /// The keys of some rows, as a column whose strings are in the text.
  public func keys(_ rows: [UInt32], in text: TextBuffer) -> Column {
    Column(
      type: .string, values: .string(rows.map { key(Int($0), in: text) ?? .empty }),
      validity: rows.map { keyLength[Int($0)] >= 0 }, owners: [text])
  }

  /// The record's headers as JSON: `[["name", "value"], …]`; nil: it has none.
  public func headers(_ row: Int) -> String? { headerTexts.isEmpty ? nil : headerTexts[row] }

  /// Why a tombstone is rejected.
  public static let noValue = "the record has no value"

  /// The record has no value, which is not an empty one.
  public var hasTombstones: Bool { !tombstones.isEmpty }
  public func isTombstone(_ row: Int) -> Bool { tombstones.holdsAscending(UInt32(row)) }

  /// Arrivals; where the source gives none, the event time.
  public func arrivals(orTimes times: [Int64]) -> [Int64] {
    arrivals.indices.map { arrivals[$0] == RecordDetails.noArrival ? times[$0] : arrivals[$0] }
  }
}

extension [UInt32] {
  /// Whether the array, which ascends, has the number.
  public func holdsAscending(_ number: UInt32) -> Bool {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < number { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low] == number
  }
}

/// A unit of order of a live source: a Kafka partition.
public struct SourceShard: Sendable, Hashable {
  /// The shard's name, which is its lane's: `topic/3`.
  public var name: String
  /// What it is a part of, and which: the producers' rule for keys counts in these.
  public var stream: String
  public var number: Int
  /// Shards whose keys it took over; empty where shards are never split and merged.
  public var parents: [String] = []
  /// Hashes of its keys; nil: the source places keys in another way.
  public var hashRange: HashRange?

  public init(name: String, stream: String, number: Int, parents: [String] = [], hashRange: HashRange? = nil) {
    self.name = name
    self.stream = stream
    self.number = number
    self.parents = parents
    self.hashRange = hashRange
  }
}

/// The positions that a shard holds now: `low` is the first, `high` is after the last record's.
public struct ShardBounds: Sendable, Hashable {
  public var low: Position
  public var high: Position

  public init(low: Position, high: Position) {
    self.low = low
    self.high = high
  }

  /// How many positions are before `high` from an ordinal on; nil: the source's positions do not show it.
  public func left(from ordinal: Int64, orFrom end: Int64 = 0) -> Int64? {
    guard case .offset(let low) = low, case .offset(let high) = high else { return nil }
    return max(0, max(high, end) - max(ordinal, low))
  }

  /// The same as numbers, of a source whose positions are dense.
  /// - Throws: `corrupt` if they are another source's.
  public func offsets(in shard: String) throws(WeirError) -> (low: Int64, high: Int64) {
    (try ShardPoint(0).moved(to: low).offset(in: shard), try ShardPoint(0).moved(to: high).offset(in: shard))
  }
}

/// What a worker learns about the shards that it shares with others.
public enum ShardGroupEvent: Sendable {
  /// These are ours: answer with ``ShardGroup/assign(_:)``, at the ledger's positions.
  case assigned([String])
  /// These are to be given up: stop, cut, commit, then ``ShardGroup/release(_:)``. `isLost`: another worker may have them
  /// already, so they are dropped without a commit.
  case revoked([String], isLost: Bool)
  case failed(WeirError)
  /// The group was closed; nothing comes after it.
  case closed
}

/// What a member of a group has left at the source of its position.
public struct FollowedPosition: Sendable, Hashable {
  public var position: Position
  /// Empty: another program left it.
  public var owner: String

  public init(position: Position, owner: String) {
    self.position = position
    self.owner = owner
  }
}

/// A live source whose shards are spread over workers: a Kafka consumer group.
///
/// It spreads work and says nothing about what was consumed: the ledger does. Errors are ``WeirError``s.
public protocol ShardGroup: ShardLooker {
  /// All shards that the source has now.
  func shards() async throws -> [SourceShard]
  func join() async throws
  /// The next event; waits for one. Called by one task at a time.
  func nextEvent() async -> ShardGroupEvent
  func bounds(of shards: [String]) async throws -> [String: ShardBounds]
  /// Where shards begin that have no position in the ledger.
  func starts(of shards: [String]) async throws -> [String: ShardPoint]
  /// Begins to read: the answer to `assigned`, with all its shards. Those with parents may come later, in calls of their own, once the ledger
  /// has their parents as closed.
  func assign(_ positions: [String: ShardPoint]) async throws -> [String: any RecordSource]
  /// Ends reading: the answer to `revoked`, with all its shards.
  func release(_ shards: [String]) async throws
  /// Reports to the source what was committed, for tools that show lag. It is never read to choose a starting position.
  /// - Parameter owner: whose positions they are, in a few words that the source keeps with them.
  func follow(_ positions: [String: ShardPoint], as owner: String) async
  /// What the source holds there for the group, left by its members; shards without are left out.
  func followed(_ shards: [String]) async throws -> [String: FollowedPosition]
  /// Where to continue in shards that another program has processed beyond these positions, if the user accepts its checkpoints. The others
  /// are left out. The ledger records a gap up to there.
  func processedElsewhere(_ positions: [String: ShardPoint]) async throws -> [String: Position]
  /// Ends with an error each question to the source that is under way, and all later ones: ``bounds(of:)``, ``starts(of:)``, ``look(_:)``,
  /// ``followed(_:)``, ``processedElsewhere(_:)``. Nothing waits for the answers any more. Reading, ``release(_:)`` and ``close()`` stay as they are.
  func refuseQuestions()
  /// Leaves the group, so that others take over at once.
  func close() async
}

extension ShardGroup {
  /// For sources whose positions no other program keeps.
  public func processedElsewhere(_ positions: [String: ShardPoint]) async throws -> [String: Position] { [:] }

  /// For groups that answer at once.
  public func refuseQuestions() {}
}
