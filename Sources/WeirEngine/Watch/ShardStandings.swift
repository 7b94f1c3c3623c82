import WeirCore

/// What is known of each shard of a source: as a worker's own lanes, the ledger and the source show it.
///
/// A snapshot of all shards is taken every second, and there may be thousands, so their names are hashed and sorted only when another
/// shard comes.
struct ShardStandings {
  struct Shard {
    let name: String
    /// This worker has it, or had it.
    var reading: LaneReading?
    /// nil: the ledger has not shown it.
    var ledger: LiveSnapshot.LedgerLane?
    /// nil: the source has not been asked about it, or has it no more.
    var bounds: ShardBounds?
    var forecast: TrimForecast?

    fileprivate var isKnown: Bool { reading != nil || ledger != nil || bounds != nil }

    func lane(now: Int64) -> LiveSnapshot.Lane {
      var lane = reading?.value(now: now) ?? LiveSnapshot.Lane(shard: name)
      (lane.ledger, lane.bounds) = (ledger, bounds)
      if let forecast { lane.secondsToDataLoss = lane.place.flatMap { forecast.seconds(position: $0) } }
      return lane
    }
  }

  /// Shards after these are left out, unless this worker has them.
  private let shardsMax: Int
  /// In the order for people.
  private(set) var inOrder: [Shard] = []
  private var places: [String: Int] = [:]
  private var isSorted = true

  init(shardsMax: Int) { self.shardsMax = shardsMax }

  subscript(name: String) -> Shard? { places[name].map { inOrder[$0] } }

  /// Changes what is known of a shard; leaves out a new one where there are too many.
  /// - Parameter isOwn: this worker has it: others leave room for as many.
  mutating func change(_ name: String, isOwn: Bool = false, _ body: (inout Shard) -> Void) {
    if let place = places[name] { return body(&inOrder[place]) }
    guard inOrder.count < (isOwn ? 2 * shardsMax : shardsMax) else { return }
    var shard = Shard(name: name)
    body(&shard)
    places[name] = inOrder.count
    if let last = inOrder.last, !ShardName.precedes(last.name, name) { isSorted = false }
    inOrder.append(shard)
  }

  /// What the source holds now. Shards that it does not have any more are forgotten, unless a lane or the ledger shows them.
  mutating func surveyed(_ bounds: [String: ShardBounds], at now: Int64) {
    for place in inOrder.indices where bounds[inOrder[place].name] == nil {
      (inOrder[place].bounds, inOrder[place].forecast) = (nil, nil)
    }
    for (name, found) in bounds {
      change(name) { shard in
        shard.bounds = found
        shard.forecast = shard.forecast ?? TrimForecast()
        shard.forecast?.saw(low: found.low, at: now)
      }
    }
    if inOrder.contains(where: { !$0.isKnown }) {
      inOrder.removeAll { !$0.isKnown }
      index()
    }
  }

  /// Sorts the shards if some came out of order.
  mutating func sort() {
    guard !isSorted else { return }
    inOrder.sort { ShardName.precedes($0.name, $1.name) }
    isSorted = true
    index()
  }

  private mutating func index() {
    places = Dictionary(uniqueKeysWithValues: inOrder.enumerated().map { ($1.name, $0) })
  }
}
