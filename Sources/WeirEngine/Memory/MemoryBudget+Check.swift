import WeirCore
import WeirOperators

extension MemoryBudget {
  /// Called behind a commit, and before the first record: so what was read is never lost by it.
  /// - Throws: `memory_exceeded` when state takes more than its part of the budget.
  func check(_ state: StateBytes) throws(WeirError) {
    guard state.total > stateMax else { return }
    let holders = [
      (state.dedup, "dedup", "shorten dedup.within"),
      (state.windows, "open windows", "use shorter windows, a larger `every`, less lateness, or fewer groups (`by`)"),
      (state.keyed, "keyed state", "use fewer groups (`by`) in the section state"),
    ]
    let largest = holders.max { $0.0 < $1.0 } ?? holders[0]
    func mib(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
    throw WeirError(
      "memory_exceeded",
      "the state uses \(mib(state.total)), more than half of the memory of the worker (worker.memory: \(mib(total))); the largest part is \(largest.1), \(mib(largest.0))",
      advice:
        "Everything through the last commit is kept, but a cut does not free state: the pipeline needs more memory. Raise worker.memory (and the container's limit), use more workers, or \(largest.2).",
      fatalTo: .worker)
  }
}
