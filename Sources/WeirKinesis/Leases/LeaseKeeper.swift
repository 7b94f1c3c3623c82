import Synchronization
import WeirCore

/// Keeps a worker's leases: one loop reads the table's rows, and does what ``LeaseMachine`` says. Only this loop writes to the table.
final class LeaseKeeper: Sendable {
  struct Settings: Sendable {
    var lease = LeaseMachine.Settings(worker: "")
    var createsTable = true
    /// Shards that another program has read to their end are taken over, so that the ledger can close them.
    var acceptsCheckpoints = false
    var refreshNanoseconds: Int64 = 30_000_000_000
    /// Of leases of shards that no one has read: a word of KCL's.
    var firstCheckpoint = "TRIM_HORIZON"
  }

  private struct State {
    var machine: LeaseMachine
    /// As they were last read.
    var rows: [String: Lease] = [:]
    var checkpoints: [String: Checkpoint] = [:]
    /// Whose positions they are; nil: there was none yet.
    var ledger: String?
    /// Shards that the ledger has as closed, and those that have their keys now.
    var ended: [String: [String]] = [:]
    /// Ids of the shards that the stream has.
    var shards: Set<String> = []
    var shardsAreDue = true
    var hasLooked = false
    var isEnding = false
    var hasEnded = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let table: LeaseTable
  private let settings: Settings
  private let clock: any Clock
  private let state: Mutex<State>
  private let news = Signal()
  /// All shards that the stream has.
  private let list: @Sendable () async throws -> [KinesisShard]
  private let emit: @Sendable (ShardGroupEvent) -> Void
  private let stream: String

  init(
    _ table: LeaseTable, _ settings: Settings, stream: String, clock: any Clock,
    list: @escaping @Sendable () async throws -> [KinesisShard], emit: @escaping @Sendable (ShardGroupEvent) -> Void
  ) {
    (self.table, self.settings, self.stream, self.clock, self.list, self.emit) = (table, settings, stream, clock, list, emit)
    state = Mutex(State(machine: LeaseMachine(settings.lease)))
  }

  // MARK: What others say

  /// The engine has given shards back.
  func release(_ keys: [String]) {
    state.withLock { $0.machine.released(keys) }
    news.ring()
  }

  /// The ledger has these positions.
  func follow(_ checkpoints: [String: Checkpoint]) {
    state.withLock { state in
      state.checkpoints.merge(checkpoints) { $1 }
      if let checkpoint = checkpoints.values.first { state.ledger = checkpoint.mark }
    }
  }

  /// The ledger has these shards as closed.
  func end(_ shards: [String: [String]]) {
    guard !shards.isEmpty else { return }
    state.withLock { state in
      for (shard, children) in shards {
        // Another program's word is replaced by our own.
        if let row = state.rows[shard], row.isAtEnd, row.isOwn { continue }
        state.ended[shard] = children
      }
    }
    news.ring()
  }

  /// A shard ended: its children are there.
  func lookAtShards() {
    state.withLock { $0.shardsAreDue = true }
    news.ring()
  }

  /// As it was last read.
  func lease(_ key: String) -> Lease? { state.withLock { $0.rows[key] } }

  /// Gives all leases back, and returns when that is done.
  func close() async {
    state.withLock { state in
      state.isEnding = true
      state.machine.ends()
    }
    news.ring()
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if !state.hasEnded { state.waiters.append(continuation) }
        return state.hasEnded
      }
      if isOver { continuation.resume() }
    }
  }

  // MARK: The loop

  /// Runs until ``close()``.
  func run() async {
    let pause = settings.lease.leaseNanoseconds / 3
    var isOpen = false
    var isAway = false
    var shardsDue = clock.monotonicNanoseconds
    while !state.withLock({ $0.isEnding }) {
      do {
        if !isOpen { try await table.open(creates: settings.createsTable, clock) }
        isOpen = true
        if state.withLock({ state in
          defer { state.shardsAreDue = false }
          return state.shardsAreDue
        }) || clock.monotonicNanoseconds >= shardsDue {
          shardsDue = clock.monotonicNanoseconds + settings.refreshNanoseconds
          try await createLeases()
        }
        try await round()
        isAway = false
      } catch {
        var failure = error as? WeirError ?? (error as? KinesisFailure)?.error ?? WeirError(.internal, "\(error)")
        if (error as? KinesisFailure)?.kind == .tableMissing, settings.createsTable {
          // It was there. Leases only say who reads: the ledger has the positions.
          isOpen = false
          state.withLock { $0.shardsAreDue = true }
          failure = WeirError(
            .unavailable, failure.message, advice: "The table of leases was deleted. Nothing is lost: the worker creates it again.")
        }
        // One outage is one event; what ends the worker is always said.
        if !isAway || !failure.isRetriable { emit(.failed(failure)) }
        isAway = true
      }
      await news.wait(until: clock.monotonicNanoseconds + pause, clock)
    }
    if isOpen { await giveBack() }
    let waiters = state.withLock { state in
      state.hasEnded = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Leases of new shards are made, those of shards that are gone and were read to their end are deleted.
  private func createLeases() async throws {
    let shards = try await list()
    let rows = try await table.leases()
    let known = Set(rows.map(\.key))
    var refused: Set<String> = []
    for shard in shards where !known.contains(shard.id) {
      // As KCL: children begin at their beginning.
      let isChild = shard.parents.contains { parent in shards.contains { $0.id == parent } }
      do throws(KinesisFailure) {
        try await table.create(shard, checkpoint: isChild ? "TRIM_HORIZON" : settings.firstCheckpoint)
      } catch {
        if error.kind != .condition { throw error }
        refused.insert(shard.id)
      }
    }
    // Another worker was first, or a row with the shard's key is no lease.
    if !refused.isEmpty, let other = refused.subtracting(try await table.leases().map(\.key)).min() {
      throw WeirError(
        .refused, "the table of leases has a row with the key \(other) that is not a lease of this stream",
        advice:
          "No worker would read the shard. Remove the row, or give the pipeline an application of its own (\(.setting(.sourceGroup))).")
    }
    let there = Set(shards.map(\.id))
    for lease in rows where lease.hasEnded && !there.contains(lease.key) && lease.isOwn {
      do throws(KinesisFailure) { try await table.delete(lease) } catch { if error.kind != .condition { throw error } }
    }
    state.withLock { $0.shards = there }
  }

  /// A shard that another program ended, or a pipeline with another ledger, would be read by no worker, and nothing would say so.
  private func refuseEnded(_ rows: [Lease]) throws(WeirError) {
    let (shards, ledger) = state.withLock { ($0.shards, $0.ledger) }
    func isForeign(_ lease: Lease) -> Bool {
      if !lease.isOwn { return true }
      guard let ledger, let mark = lease.mark else { return false }
      return mark != ledger
    }
    guard let lease = rows.first(where: { $0.hasEnded && shards.contains($0.key) && isForeign($0) }) else { return }
    throw WeirError(
      .refused, "the table of leases says that another program has read the shard \(lease.key) to its end",
      advice:
        "Its records would be read by no worker of this pipeline. If the other program is not a pipeline with another ledger, \(.acceptCheckpoints(stream: stream)) continues where it stopped: the ledger records a gap. Or give the pipeline an application of its own (\(.setting(.sourceGroup))), which reads from its start."
    )
  }

  /// As the machine sees them.
  private func leases() async throws -> [Lease] {
    var leases = try await table.leases()
    for index in leases.indices where settings.acceptsCheckpoints && leases[index].isAtEnd && !leases[index].isOwn {
      leases[index].isReopened = true
    }
    return leases
  }

  private func round() async throws {
    let rows = try await leases()
    try refuseEnded(rows)
    let now = clock.monotonicNanoseconds
    let (round, ended) = state.withLock { state in
      state.rows = Dictionary(rows.map { ($0.key, $0) }) { $1 }
      return (state.machine.saw(rows, shards: state.shards, at: now), state.ended)
    }
    let worker = settings.lease.worker
    if !round.lost.isEmpty { emit(.revoked(round.lost.map(name), isLost: true)) }
    if !round.revoked.isEmpty { emit(.revoked(round.revoked.map(name), isLost: false)) }
    try await writeEnds()
    for lease in round.renew where ended[lease.key] == nil { try await renew(lease) }
    for lease in round.release {
      try await conditional { () async throws(KinesisFailure) in try await self.table.release(lease, as: worker) }
    }
    let taken = round.assigned + (try await take(round.take))
    for lease in round.want { try await conditional { () async throws(KinesisFailure) in try await self.table.want(lease, as: worker) } }
    let isFirst = state.withLock { state in
      defer { state.hasLooked = true }
      return !state.hasLooked
    }
    if isFirst || !taken.isEmpty { emit(.assigned(taken.sorted().map(name))) }
  }

  /// Shards that the ledger has as closed.
  private func writeEnds() async throws {
    for (shard, children) in state.withLock({ $0.ended }).sorted(by: { $0.key < $1.key }) {
      try await conditional { () async throws(KinesisFailure) in try await self.table.end(shard, children: children) }
      state.withLock { $0.ended[shard] = nil }
    }
  }

  /// - Returns: the keys of those that are ours now.
  private func take(_ leases: [Lease]) async throws -> [String] {
    var taken: [String] = []
    for lease in leases {
      try await conditional { () async throws(KinesisFailure) in
        let now = try await self.table.take(lease, as: self.settings.lease.worker)
        taken.append(lease.key)
        self.state.withLock { state in
          state.rows[lease.key] = now
          state.machine.took(lease.key)
        }
      }
    }
    return taken
  }

  private func renew(_ lease: Lease) async throws {
    let checkpoint = state.withLock { $0.checkpoints[lease.key] }
    // What is written already need not be written again.
    let new = checkpoint.flatMap { $0.text == lease.checkpointText && $0.mark == lease.mark ? nil : $0 }
    try await conditional { () async throws(KinesisFailure) in
      let now = try await self.table.renew(lease, new, as: self.settings.lease.worker)
      self.state.withLock { $0.rows[lease.key] = now }
    }
  }

  /// A condition that does not hold is found by the next round.
  private func conditional(_ body: () async throws(KinesisFailure) -> Void) async throws {
    do throws(KinesisFailure) { try await body() } catch { if error.kind != .condition { throw error } }
  }

  private func giveBack() async {
    try? await writeEnds()
    guard let rows = try? await leases() else { return }
    let worker = settings.lease.worker
    for lease in rows where lease.owner == worker && !lease.hasEnded {
      var lease = lease
      let checkpoint = state.withLock { $0.checkpoints[lease.key] }
      if let checkpoint, checkpoint.text != lease.checkpointText,
        let now = try? await table.renew(lease, checkpoint, as: worker)
      {
        lease = now
      }
      try? await table.release(lease, as: worker)
    }
  }

  private func name(_ key: String) -> String { "\(stream)/\(key)" }
}
