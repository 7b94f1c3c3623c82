import Foundation
import Testing
import WeirSimulation

/// The commit protocol under simulation. `WEIR_SEEDS` sets the number of seeds, `WEIR_SEED` replays one.
@Suite(.serialized) struct SimulationTests {
  static var seeds: UInt64 {
    if let text = ProcessInfo.processInfo.environment["WEIR_SEEDS"], let n = UInt64(text) { return n }
    #if DEBUG
      return 100
    #else
      return 2000
    #endif
  }

  /// One seed, or all.
  static var range: Range<UInt64> {
    guard let text = ProcessInfo.processInfo.environment["WEIR_SEED"], let seed = UInt64(text) else { return 0..<seeds }
    return seed..<seed + 1
  }

  static func replay(_ seed: UInt64) -> String {
    "seed \(seed); replay: WEIR_SEED=\(seed) swift test -c release -Xswiftc -enable-testing --filter SimulationTests"
  }

  @Test func `no record is lost, doubled or out of order under any seed`() {
    var marks = Marks()
    var failures: [String] = []
    for seed in Self.range {
      let result = ProtocolSimulation.run(seed: seed)
      marks += result.marks
      if let violation = result.violation { failures.append("\(violation)\n  \(Self.replay(seed))") }
    }
    for failure in failures.prefix(5) { Issue.record(Comment(rawValue: failure)) }
    if failures.count > 5 { Issue.record("\(failures.count) of \(Self.range.count) seeds failed") }
    for mark in Mark.allCases { FileHandle.standardError.write(Data("\(mark): \(marks[mark])\n".utf8)) }
    if Self.range.count >= 2000 { #expect(marks.missing == [], "faults or recovery branches that never happened") }
  }

  @Test func `a seed gives the same run every time`() {
    for seed in stride(from: Self.range.lowerBound, to: Self.range.upperBound, by: 50) {
      let first = ProtocolSimulation.run(seed: seed)
      let second = ProtocolSimulation.run(seed: seed)
      #expect(first.trace == second.trace, "\(Self.replay(seed))")
      #expect(first.steps == second.steps)
    }
  }

  /// Every planted bug must be found. Most are within 100 seeds; `foldsStrays` needs a collection, a stray entry and a slow reader at once, and
  /// is found by seed 3714.
  @Test(arguments: ProtocolBug.allCases) func `a planted bug is found`(bug: ProtocolBug) {
    let most = max(Self.seeds, 5000)
    for seed in 0..<most {
      if let violation = ProtocolSimulation.run(seed: seed, bug: bug).violation {
        let first = violation.prefix { $0 != "\n" }
        FileHandle.standardError.write(Data("\(bug) found by seed \(seed): \(first)\n".utf8))
        return
      }
    }
    Issue.record("\(bug) was not found in \(most) seeds")
  }
}
