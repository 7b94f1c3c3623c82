import WeirCore
import WeirOperators

extension MemoryBudget {
  /// Called before the first record, and wherever a lookup's version changes.
  /// - Throws: `memory_exceeded` when lookups take more than the part of the budget that no cut frees.
  package func check(_ lookups: [LookupTable]) throws(WeirError) {
    guard let largest = lookups.max(by: { $0.memoryBytes < $1.memoryBytes }) else { return }
    let all = lookups.reduce(Int64(0)) { $0 + $1.memoryBytes }
    guard all > stateMax else { return }
    func mib(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
    throw WeirError(
      .memoryExceeded,
      "the lookups use \(mib(all)), more than two fifths of the memory of the worker (\(mib(total))); the largest is \(largest.name), \(mib(largest.memoryBytes))",
      advice:
        "Raise \(.setting(.workerMemory)) (and the container's limit), or leave out of the file the rows and columns that the pipeline does not use."
    )
  }

  /// Called before a block is decoded: what a record takes then cannot be taken back.
  /// - Parameter shard: nil: the stream is a capture.
  /// - Throws: `record_too_long` when a record is longer than ``recordBytes``.
  func check(_ block: RawBlock, of shard: String?) throws(WeirError) {
    // A block is longer than this only if one of its records is: see ``blockBytes``.
    guard block.count > recordBytes, let longest = block.longestRecord, longest.bytes > recordBytes else { return }
    throw .recordTooLong(at: longest.position, of: shard, bytes: longest.bytes, max: recordBytes)
  }

  /// Called after a commit, and before the first record: so what was read is never lost by it.
  /// - Throws: `memory_exceeded` when state takes more than its part of the budget.
  func check(_ state: StateBytes) throws(WeirError) {
    guard state.total > stateMax, let largest = state.holders.max(by: { $0.bytes < $1.bytes }) else { return }
    func mib(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
    throw WeirError(
      .memoryExceeded,
      "the state uses \(mib(state.total)), more than two fifths of the memory of the worker (\(mib(total))); the largest part is \(largest.name), \(mib(largest.bytes))",
      advice:
        "Everything through the last commit is kept, but a cut does not free state: the pipeline needs more memory. Raise \(.setting(.workerMemory)) (and the container's limit), use more workers, or \(largest.remedy)."
    )
  }
}
