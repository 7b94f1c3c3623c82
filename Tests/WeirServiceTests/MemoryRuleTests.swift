import Foundation
import Testing
import WeirCore

@testable import WeirEngine

/// The alert WeirMemory against what makes a worker stop.
@Suite struct MemoryRuleTests {
  /// The shipped rule, as far as it decides: which holders count, and above which part of the budget it fires.
  private static func rule() throws -> (holders: Set<String>, part: Double) {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("Deploy/Prometheus/rules.yaml"), encoding: .utf8)
    let rule = try #require(text.firstRange(of: "alert: WeirMemory\n").map { text[$0.upperBound...] })
    let expression = try #require(rule.firstMatch(of: /holder=~"([a-z|]+)"[^"]*?"?/)?.1)
    let share = try #require(rule.firstMatch(of: /\(([0-9.]+) \* max by \(job, instance\) \([a-z_]*memory_budget_bytes/)?.1)
    let bound = try #require(rule.firstMatch(of: /\)\) > ([0-9.]+)\n/)?.1)
    return (Set(expression.split(separator: "|").map(String.init)), try #require(Double(share)) * #require(Double(bound)))
  }

  @Test(arguments: [64 << 20, 256 << 20, 1536 << 20, 24 << 30] as [Int64])
  func itFiresBeforeTheWorkerStopsForItsStateAndNotLongBefore(_ bytes: Int64) throws {
    let (holders, part) = try Self.rule()
    let budget = MemoryBudget(configured: bytes, available: nil)
    func fires(_ state: StateBytes) -> Bool {
      let values = ["dedup": state.dedup, "windows": state.windows, "keyed": state.keyed]
      return Double(values.filter { holders.contains($0.key) }.reduce(0) { $0 + $1.value }) > part * Double(budget.total)
    }
    func state(_ bytes: Int64, in holder: WritableKeyPath<StateBytes, Int64>) -> StateBytes {
      var state = StateBytes()
      state[keyPath: holder] = bytes
      return state
    }
    for holder in [\StateBytes.dedup, \.windows, \.keyed] {
      #expect(throws: WeirError.self) { try budget.check(state(budget.stateMax + 1, in: holder)) }
      let last = state(budget.stateMax * 9 / 10, in: holder)
      try budget.check(last)
      #expect(fires(last), "it fires while the worker still runs")
      #expect(!fires(state(budget.stateMax / 2, in: holder)), "half of it is no reason")
    }
  }
}
