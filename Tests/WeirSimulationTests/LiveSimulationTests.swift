import Foundation
import Testing
import WeirSimulation

/// Live workers, which are the real engine, under simulation. `Scripts/simulate` runs many seeds; here are a few, and the planted bugs.
@Suite(.serialized) struct LiveSimulationTests {
  static let replay = "SWIFT_DETERMINISTIC_HASHING=1 .build/release/weir-simulate --verbose --first"

  @Test func `no record is lost, doubled or out of order under any seed`() {
    for seed in 0..<20 as Range<UInt64> {
      let result = LiveSimulation.run(seed: seed)
      if let violation = result.violation { Issue.record("seed \(seed): \(violation)\n  replay: \(Self.replay) \(seed)") }
    }
  }

  @Test(arguments: [LiveSimulation.Mode.replays, .repeats]) func `a replay has every record once under any seed`(
    mode: LiveSimulation.Mode
  ) {
    for seed in 0..<10 as Range<UInt64> {
      let result = LiveSimulation.run(seed: seed, mode: mode)
      if let violation = result.violation { Issue.record("seed \(seed): \(violation)\n  replay: \(Self.replay) \(seed) --\(mode)") }
    }
  }

  /// Seeds that once found a fault of the engine.
  @Test(arguments: LiveSimulation.regressionSeeds) func `what a seed has found does not come back`(seed: UInt64) {
    #expect(LiveSimulation.run(seed: seed).violation == nil, "replay: \(Self.replay) \(seed)")
  }

  @Test func `what a seed of another source or of a replay has found does not come back`() {
    for (mode, seeds) in LiveSimulation.recorded where mode != .live {
      for seed in seeds { #expect(LiveSimulation.run(seed: seed, mode: mode).violation == nil, "replay: \(Self.replay) \(seed) --\(mode)") }
    }
  }

  @Test func `a run without faults is the same every time`() {
    let runs = (0..<2).map { _ in LiveSimulation.run(seed: 7, without: ["all"]) }
    #expect(runs[0].violation == nil)
    #expect(runs[0].entries > 5)
    // Hash tables of one process have one order, so one process can compare.
    #expect(runs[0].trace == runs[1].trace)
    #expect(runs[0].steps == runs[1].steps)
  }

  /// By its recorded seed. Where a change of the engine has shifted what that seed does, a release build looks for another.
  @Test(arguments: PlantedBug.recorded) func `a planted bug is found`(bug: PlantedBug) {
    if LiveSimulation.run(seed: bug.recordedSeed, bug: bug).violation != nil { return }
    #if !DEBUG
      if LiveSimulation.find(bug, in: 0..<1000) == nil { Issue.record("\(bug) was not found in 1,000 seeds") }
    #endif
  }
}
