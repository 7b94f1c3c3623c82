import Synchronization

/// From a record's scheduled arrival to the moment at which the state table shows what it did.
package final class LatencyMeter: Sendable {
  /// Nanoseconds.
  package struct Summary: Sendable {
    package var records: Int64
    package var p50, p90, p99, p999, max: Int64

    /// nil: nothing was counted.
    package init?(_ histogram: LatencyHistogram) {
      guard histogram.records > 0 else { return nil }
      records = histogram.records
      (p50, p90) = (histogram.percentile(0.5), histogram.percentile(0.9))
      (p99, p999, max) = (histogram.percentile(0.99), histogram.percentile(0.999), histogram.max)
    }
  }

  private struct Arrival {
    var through: Int64
    var records: Int64
    var first: Int64
    var last: Int64
  }

  /// What of one shard is on its way.
  private struct Shard {
    var arrivals: [Arrival] = []
    var next = 0
  }

  private struct State {
    var shards: [Shard]
    var all = LatencyHistogram()
    /// Since ``takeInterval()``.
    var interval = LatencyHistogram()
  }
  private let state: Mutex<State>

  /// - Parameter shards: whose positions are counted apart.
  package init(shards: Int = 1) { state = Mutex(State(shards: [Shard](repeating: Shard(), count: shards))) }

  /// Records up to a position, due evenly from `first` to `last`.
  package func arrives(shard: Int = 0, through: Int64, records: Int64, first: Int64, last: Int64) {
    state.withLock { $0.shards[shard].arrivals.append(Arrival(through: through, records: records, first: first, last: last)) }
  }

  /// Everything up to a position is visible at `now`.
  package func visible(shard number: Int = 0, through: Int64, now: Int64) {
    state.withLock { state in
      var shard = state.shards[number]
      state.shards[number] = Shard()
      while shard.next < shard.arrivals.count, shard.arrivals[shard.next].through <= through {
        let arrival = shard.arrivals[shard.next]
        shard.next += 1
        for i in 0..<arrival.records {
          let due = arrival.first + (arrival.last - arrival.first) * i / max(1, arrival.records - 1)
          state.interval.add(now - due)
        }
      }
      if shard.next > 1024 {
        shard.arrivals.removeFirst(shard.next)
        shard.next = 0
      }
      state.shards[number] = shard
    }
  }

  /// What became visible since the last call.
  package func takeInterval() -> LatencyHistogram {
    state.withLock { state in
      defer { state.interval = LatencyHistogram() }
      state.all.add(state.interval)
      return state.interval
    }
  }

  /// Of everything that became visible.
  package var histogram: LatencyHistogram {
    state.withLock { state in
      var all = state.all
      all.add(state.interval)
      return all
    }
  }

  /// nil before anything was visible.
  package var summary: Summary? { Summary(histogram) }
}
