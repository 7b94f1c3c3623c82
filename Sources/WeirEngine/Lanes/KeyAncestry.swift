import WeirCore
import WeirOperators
import WeirProtocol

/// Where groups of aggregates are among the shards of a source: by the hash of the record's key, or by the shard that they name.
struct GroupKeys: Sendable {
  private let types: [[ColumnType]]
  /// Of each aggregate: which of its `by` columns is the record's key; nil: it is by shard, and no record of another shard has such a group.
  private let column: [Int?]
  /// Which of them is the shard.
  private let shard: [Int?]

  init(_ compiled: CompiledPlan) {
    types = compiled.aggregates.map(\.byTypes)
    column = compiled.aggregates.indices.map { compiled.keyColumn(of: $0) }
    shard = compiled.aggregates.indices.map { compiled.shardColumn(of: $0) }
  }

  /// The hash of a group's key; nil: the group is a shard's.
  func hash(of key: ArraySlice<UInt8>, of aggregate: Int) -> UInt128? {
    guard let column = column[aggregate] else { return nil }
    return text(column, of: key, of: aggregate).map { KeyHash.of($0) } ?? KeyHash.null
  }

  /// The shard that a group names; nil: none.
  func shard(of key: ArraySlice<UInt8>, of aggregate: Int) -> String? {
    shard[aggregate].flatMap { text($0, of: key, of: aggregate) }
  }

  private func text(_ column: Int, of key: ArraySlice<UInt8>, of aggregate: Int) -> String? {
    var found: String?
    try? StateKey.decode(key, types: types[aggregate]) { number, value in
      if number == column, case .string(let text) = value { found = text }
    }
    return found
  }
}

/// Which rows of state tables a lane took over from the lanes of its shard's parents, and by which of their watermarks these have expired at
/// the least. The lane's own watermark may be far below: it begins with the least of its parents'.
struct KeyAncestry: Sendable {
  private let range: HashRange?
  private let ancestors: [LedgerFold.Ancestor]
  private let lanes: Set<String>
  private let keys: GroupKeys
  private let tables: [String: Int]
  /// Of the groups of shards that the lane has now: the greatest watermark of the lanes that had them.
  private let clockOfShard: [String: Int64]

  /// nil: no row expires, or the lane has no parents.
  init?(_ compiled: CompiledPlan, _ fold: LedgerFold, of lane: LaneID) {
    guard let origin = fold[lane]?.origin, !compiled.expiringTables.isEmpty else { return nil }
    range = origin.range
    ancestors = fold.ancestors(of: lane)
    lanes = Set(ancestors.map(\.lane.text))
    keys = GroupKeys(compiled)
    tables = Dictionary(
      uniqueKeysWithValues: compiled.plan.state.enumerated().map { ($1.name, compiled.goldCount + $0) })
    clockOfShard = KeyAncestry.clocks(of: ancestors, heir: lane, origin)
  }

  /// The groups of a shard continue in the child that has the first of its hashes, and so on.
  private static func clocks(of ancestors: [LedgerFold.Ancestor], heir: LaneID, _ origin: LaneOrigin) -> [String: Int64] {
    var clocks: [String: Int64] = [:]
    for ancestor in ancestors {
      var (at, clock) = (ancestor, ancestor.watermark)
      while let next = ancestors.first(where: { heir in
        heir.parents.contains(at.lane) && (at.range.flatMap { first in heir.range.map { $0.contains(first.first) } } ?? true)
      }) {
        (at, clock) = (next, max(clock, next.watermark))
      }
      guard origin.parents.contains(where: { $0.lane == at.lane }) else { continue }
      guard at.range.flatMap({ first in origin.range.map { $0.contains(first.first) } }) ?? true else { continue }
      clocks[ancestor.lane.shard] = clock
    }
    return clocks
  }

  /// The greatest clock of any key.
  var mostClock: Int64 { ancestors.map(\.watermark).max() ?? Watermark.minimum }

  /// What the rows of a key had been judged by in the lanes before, at the least.
  func clock(of key: ArraySlice<UInt8>, of aggregate: Int) -> Int64 {
    guard let hash = keys.hash(of: key, of: aggregate) else {
      return keys.shard(of: key, of: aggregate).flatMap { clockOfShard[$0] } ?? Watermark.minimum
    }
    return ancestors.reduce(Watermark.minimum) { $1.range?.contains(hash) ?? true ? max($0, $1.watermark) : $0 }
  }

  /// Whether a row of the state table was written by a lane of before, and belongs to this lane now.
  func has(_ row: StateRow) -> Bool {
    guard lanes.contains(row.lane), let aggregate = tables[row.table] else { return false }
    guard let hash = keys.hash(of: row.key[...], of: aggregate) else {
      return keys.shard(of: row.key[...], of: aggregate).map { clockOfShard[$0] != nil } ?? false
    }
    return range?.contains(hash) ?? true
  }
}
