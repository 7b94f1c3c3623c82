import WeirCore
import WeirEngine
import WeirOperators

/// How often a pipeline does in the steady state what services charge for: a function of the plan and of ``CostInputs``. Pure.
///
/// Not in it: starts and stops, take-overs of lanes, repeated requests, readers of the tables.
package struct CostActivity: Sendable, Hashable {
  /// A state table.
  package struct State: Sendable, Hashable {
    package var name: String
    /// Of a row.
    package var measures: Int
    /// Rows that one flush of all workers writes, at most.
    package var rowsPerFlush: Double
    /// Seconds between two flushes of a worker.
    package var flushSeconds: Double
    /// Its rows are merged from the ledger: one worker writes them, with the entries of the merge.
    package var isMerged: Bool
  }

  package enum Cut: String, Sendable, Hashable { case age, bytes }

  package var workers: Double
  /// Lanes of a worker, on average.
  package var lanesPerWorker: Double
  package var tables: Double
  /// Seconds between two epochs of a worker, and what ends one.
  package var epochSeconds: Double
  package var cut: Cut
  /// Records of an epoch.
  package var epochRecords: Double
  /// Epochs of all workers.
  package var epochsPerSecond: Double
  /// Entries of the merge alone: none where an epoch and its merge share an entry.
  package var mergesPerSecond: Double
  package var entriesPerSecond: Double { epochsPerSecond + mergesPerSecond }
  package var filesPerSecond: Double
  /// Of all tables.
  package var commitsPerSecond: Double
  /// Collections of the ledger.
  package var collectionsPerSecond: Double
  /// Bytes of the values of all records.
  package var inputBytesPerSecond: Double
  /// The merge reads what epochs contribute: there are merged aggregates, and entries of their own for them.
  package var mergesPartials: Bool
  package var state: [State]

  package init(_ plan: CompiledPlan, _ inputs: CostInputs) {
    let spec = plan.plan
    let isLive = spec.source.live != nil
    workers = isLive ? inputs[.workers] : 1
    lanesPerWorker = max(1, inputs[.partitions] / workers)
    tables = Double(spec.tables.count)
    inputBytesPerSecond = inputs[.recordsPerSecond] * inputs[.recordBytes]
    let bytesSeconds = Double(spec.lake.flushBytes) / (inputBytesPerSecond / workers)
    let ageSeconds = Double(spec.lake.flushEveryMicroseconds) / 1e6
    // A replay does not cut by age. Without a record there is no epoch.
    let seconds = max(isLive ? min(ageSeconds, bytesSeconds) : bytesSeconds, workers / inputs[.recordsPerSecond])
    cut = isLive && ageSeconds <= bytesSeconds ? .age : .bytes
    epochSeconds = seconds
    epochRecords = inputs[.recordsPerSecond] / workers * seconds
    epochsPerSecond = workers / seconds
    // The worker that leads merges after each of its own epochs, what all workers have committed until then.
    mergesPerSecond = isLive ? 1 / seconds : 0
    let (epochs, merges, workers) = (epochsPerSecond, 1 / seconds, workers)
    filesPerSecond =
      spec.tables.reduce(0) { sum, table in
        switch table.kind {
        case .bronze, .silver, .silverTable: return sum + epochs
        case .gold(let number):
          // A file where a window has closed.
          let slide = Double(spec.gold[number].window.slideMicroseconds) / 1e6
          return sum + (plan.aggregates[number].isFinishedInLane ? min(epochs, workers / slide) : min(merges, 1 / slide))
        // Rejected and late records are not expected.
        case .quarantine, .late: return sum
        }
      } * inputs[.files]
    commitsPerSecond = (epochsPerSecond + mergesPerSecond) / Double(Followers.behindMax) * tables
    collectionsPerSecond = isLive ? 1 / min(3600, max(1, Double(spec.lake.ledgerKeepMicroseconds) / 8e6)) : 0
    mergesPartials = isLive && plan.aggregates.contains { !$0.isFinishedInLane }
    state = []
    for (i, table) in spec.state.enumerated() {
      let isMerged = !plan.aggregates[plan.goldCount + i].isFinishedInLane
      let flush = isMerged ? seconds : max(Double(spec.store.flushMicroseconds) / 1e6, 0.001)
      state.append(
        State(
          name: table.name, measures: table.measures.count, rowsPerFlush: min(inputs[.keys], inputs[.recordsPerSecond] * flush),
          flushSeconds: flush, isMerged: isMerged))
    }
  }
}
