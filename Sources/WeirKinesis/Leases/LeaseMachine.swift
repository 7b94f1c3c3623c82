import WeirCore

/// Which leases a worker renews, takes, asks for and gives up: pure, times are monotonic nanoseconds of this machine.
///
/// A lease only saves work: if two workers read one shard at the same time, the ledger fences one of them. So nothing
/// here has to be exact. Everything follows from the rows as they are read, again at each round: a write whose answer was lost is found by
/// the next one.
///
/// - A lease has expired when its counter has not changed for the time of a lease, as this worker saw it. No clock is compared.
/// - Workers share evenly. Leases without an owner are taken first; else a worker that has fewer than its share asks the one that has most.
///   The owner hands over what it was asked for, with everything committed. One that does not (a program that does not know the question, a
///   worker that hangs) loses the lease after the time for a hand-over.
struct LeaseMachine {
  struct Settings: Equatable {
    /// Unique among workers, and never used again.
    var worker: String
    var leaseNanoseconds: Int64 = 10_000_000_000
    var handOverNanoseconds: Int64 = 20_000_000_000
    /// Leases that a worker asks for at a time.
    var wantsMax = 8
  }

  /// What a round asks for.
  struct Round: Equatable {
    var renew: [Lease] = []
    var take: [Lease] = []
    var want: [Lease] = []
    var release: [Lease] = []
    /// Shards of leases that came to us in a way that was not noticed.
    var assigned: [String] = []
    /// Shards that another worker asks for.
    var revoked: [String] = []
    /// Shards that another worker has already.
    var lost: [String] = []
  }

  private let settings: Settings
  private var seen: [String: (counter: Int64, owner: String?, at: Int64)] = [:]
  /// Wishes of ours that were not fulfilled, since when.
  private var wished: [String: Int64] = [:]
  /// Shards that the engine has, or is about to get.
  private(set) var held: Set<String> = []
  /// Shards that the engine is to give back.
  private var leaving: Set<String> = []
  /// The same of shards that another worker has already: they are not taken again before the engine has answered.
  private var losing: Set<String> = []
  /// Shards that the engine gave back.
  private var returned: Set<String> = []

  init(_ settings: Settings) { self.settings = settings }

  // MARK: Events

  /// A lease is ours.
  mutating func took(_ key: String) { held.insert(key) }

  /// The engine has given shards back.
  mutating func released(_ keys: [String]) {
    for key in keys where losing.remove(key) == nil {
      if leaving.remove(key) != nil || held.remove(key) != nil { returned.insert(key) }
    }
  }

  /// The worker ends: what it had is to be given back.
  mutating func ends() {
    returned.formUnion(held)
    returned.formUnion(leaving)
    (held, leaving) = ([], [])
  }

  /// The table's rows, all at one moment.
  /// - Parameter shards: ids of the shards that the stream has.
  mutating func saw(_ rows: [Lease], shards: Set<String>, at now: Int64) -> Round {
    note(rows, at: now)
    var round = Round()
    let rows = rows.sorted { $0.key < $1.key }
    let mine = rows.filter { $0.owner == settings.worker && !$0.hasEnded }
    let own = Set(mine.map(\.key))
    let ended = Set(rows.filter(\.hasEnded).map(\.key))
    held.subtract(ended)
    round.lost = held.subtracting(own).sorted()
    held.subtract(round.lost)
    losing.formUnion(round.lost)
    // Those that the engine is giving back are not its own any more, whatever the table says.
    returned.formIntersection(own)
    for lease in mine {
      if returned.contains(lease.key) {
        round.release.append(lease)
        continue
      }
      round.renew.append(lease)
      if leaving.contains(lease.key) || losing.contains(lease.key) { continue }
      if held.insert(lease.key).inserted { round.assigned.append(lease.key) }
      if let other = lease.wantedBy, other != settings.worker {
        round.revoked.append(lease.key)
        held.remove(lease.key)
        leaving.insert(lease.key)
      }
    }
    round.assigned.removeAll(where: round.revoked.contains)
    balance(rows.filter { !$0.hasEnded && shards.contains($0.key) }, at: now, &round)
    return round
  }

  private mutating func note(_ rows: [Lease], at now: Int64) {
    for row in rows {
      if let known = seen[row.key], known.counter == row.counter, known.owner == row.owner { continue }
      seen[row.key] = (row.counter, row.owner, now)
    }
    let keys = Set(rows.map(\.key))
    seen = seen.filter { keys.contains($0.key) }
    wished = wished.filter { wish in rows.contains { $0.key == wish.key && $0.wantedBy == settings.worker && $0.owner != settings.worker } }
    for row in rows where row.wantedBy == settings.worker && row.owner != settings.worker && wished[row.key] == nil {
      wished[row.key] = now
    }
  }

  private func unchanged(_ lease: Lease, at now: Int64) -> Int64 { seen[lease.key].map { now - $0.at } ?? 0 }

  private func hasExpired(_ lease: Lease, at now: Int64) -> Bool {
    lease.owner != nil && lease.owner != settings.worker && unchanged(lease, at: now) > settings.leaseNanoseconds
  }

  // MARK: Shares

  private func balance(_ rows: [Lease], at now: Int64, _ round: inout Round) {
    let live = rows.filter { $0.owner != nil && !hasExpired($0, at: now) }
    var loads: [String: [Lease]] = [settings.worker: []]
    for lease in live { loads[lease.owner ?? "", default: []].append(lease) }
    let share = (rows.count + loads.count - 1) / loads.count
    let count = held.intersection(rows.map(\.key)).count
    var need = share - count
    guard need > 0 else { return }
    let free = rows.filter { lease in
      guard lease.owner == nil || hasExpired(lease, at: now), !returned.contains(lease.key), !losing.contains(lease.key)
      else { return false }
      // It was given up for another worker, which has the time of a lease to take it.
      let isPromised = lease.owner == nil && lease.wantedBy.map { $0 != settings.worker } ?? false
      return !isPromised || unchanged(lease, at: now) > settings.leaseNanoseconds
    }
    // What was given up for this worker comes first.
    let ordered = free.filter { $0.wantedBy == settings.worker } + free.filter { $0.wantedBy != settings.worker }
    round.take = Array(ordered.prefix(need))
    let patience = settings.handOverNanoseconds + settings.leaseNanoseconds
    let due = rows.filter { lease in
      guard let since = wished[lease.key], lease.owner != nil, !losing.contains(lease.key) else { return false }
      return now - since > patience && !round.take.contains(lease)
    }
    round.take += due.prefix(max(0, need - round.take.count))
    need -= round.take.count + wished.keys.filter { key in !round.take.contains { $0.key == key } }.count
    if round.take.isEmpty, need > 0 { round.want = wanted(from: loads, share: share, need: need) }
  }

  /// What to ask the worker for that has most. As in KCL: what it has beyond its share; a worker that lacks more than one gets one from
  /// another that has just its share.
  private func wanted(from loads: [String: [Lease]], share: Int, need: Int) -> [Lease] {
    let others = loads.filter { $0.key != settings.worker }
    guard let most = others.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) })?.value else { return [] }
    // What it was asked for already, it will not have for long.
    let free = most.filter { $0.wantedBy == nil }
    guard free.count >= share else { return [] }
    var count = min(need, free.count - share, settings.wantsMax)
    if count == 0, need > 1 { count = 1 }
    return Array(free.sorted { $0.key < $1.key }.suffix(max(0, count)))
  }
}
