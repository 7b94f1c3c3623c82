import WeirCore

/// Live workers under simulation: the real engine over a simulated source, lake, state table and clock, from one seed.
package enum LiveSimulation {
  /// How a run ended.
  package struct Result: Sendable {
    /// What went wrong first; nil if nothing did.
    package var violation: String?
    package var trace: UInt64
    package var steps: Int
    package var strikes: Int
    /// Virtual nanoseconds.
    package var time: Int64
    package var entries: Int64
    package var marks: Marks
    /// Kinds of faults that the run had on.
    package var faults: [String]
  }

  /// What is simulated.
  package enum Mode: String, CaseIterable, Sendable {
    /// Live workers on a topic.
    case live
    /// The source is one of ``ReshardSettings``.
    case reshards
    /// The topic gets more partitions, see ``TopicGrowth``.
    case grows
    /// Replays of a plain capture.
    case replays
    /// A live run, whose decisions are repeated from a capture of its topic.
    case repeats
  }

  /// Runs one seed.
  /// - Parameters:
  ///   - without: kinds of faults to leave out; `all` leaves out all.
  ///   - bug: planted in the engine. It is run in its own mode.
  ///   - parts: gold tables are partitioned by their groups, and an entry gets few of those that close. Replays draw that by themselves.
  ///   - aimed: strikes are of few kinds and at the moments at which they hurt, see ``LiveFaults/init(aimed:)``. Repeats do without.
  ///   - log: receives each step, for a look at a seed.
  package static func run(
    seed: UInt64, without: Set<String> = [], bug: PlantedBug? = nil, mode: Mode = .live, parts: Bool = false, aimed: Bool = false,
    log: ((String) -> Void)? = nil
  ) -> Result {
    let mode = bug?.mode ?? mode
    let aimed = aimed || bug?.isAimed == true
    switch mode {
    case .replays: return replay(seed: seed, without: without, bug: bug, aimed: aimed, log: log)
    case .repeats: return repeats(seed: seed, without: without, bug: bug, parts: parts, log: log)
    case .live, .reshards, .grows:
      return LiveRun(
        seed: seed, without: without, bug: bug, reshards: mode == .reshards, grows: mode == .grows, parts: parts, aimed: aimed, log: log
      ).run()
    }
  }

  /// The kinds of faults that a seed has on.
  static func faults(of seed: UInt64, aimed: Bool) -> Set<String> {
    Set(LiveRun(seed: seed, without: [], bug: nil, reshards: false, grows: false, aimed: aimed, log: nil).kinds)
  }

  /// Looks for a seed that finds a bug, among those that have the faults on without which it does no harm.
  /// - Returns: the seed, and what went wrong; nil: none of the seeds has found it.
  package static func find(_ bug: PlantedBug, in seeds: Range<UInt64>) -> (seed: UInt64, violation: String)? {
    for seed in seeds where bug.needs.isSubset(of: bug.needs.isEmpty ? [] : faults(of: seed, aimed: bug.isAimed)) {
      if let violation = run(seed: seed, bug: bug).violation { return (seed, violation) }
    }
    return nil
  }

  /// The kinds of faults that a failing seed needs: each is left out in turn, and stays out if the seed fails all the same.
  package static func reduce(seed: UInt64, mode: Mode = .live, aimed: Bool = false) -> [String] {
    var without: Set<String> = []
    for kind in run(seed: seed, mode: mode, aimed: aimed).faults
    where run(seed: seed, without: without.union([kind]), mode: mode, aimed: aimed).violation != nil {
      without.insert(kind)
    }
    return run(seed: seed, without: without, mode: mode, aimed: aimed).faults
  }
}
