import Synchronization
import WeirCore

/// Keeps the process within its budget: it looks at what the process has before more comes in.
///
/// It changes no row and no cut of a replay: it only waits, or stops the worker. What it waits for ends by itself: an epoch is committed.
package final class MemoryGovernor: Sendable {
  /// Before the worker stops for lack of memory: together a tenth of a second.
  private static let looks = 10
  private static let restNanoseconds: Int64 = 10_000_000
  /// Input that may come in between two looks, each of which is a system call.
  private static let unlookedMax: Int64 = 1 << 20

  package let budget: MemoryBudget
  private let memory: ProcessMemory?
  private struct State {
    var underWay = 0
    var peak: Int64 = 0
    var state = StateBytes()
    var lookups: Int64 = 0
    /// What the process had when memory was given back to the system last.
    var trimmedTo: Int64 = 0
    /// Bytes of input since the last look.
    var unlooked: Int64 = 0
    var wasBusy = false
    /// Raised when memory may have come free; nil: no task waits for that.
    var freed: Flag?
  }
  private let state = Mutex(State())

  /// - Parameter memory: nil: nothing is measured, and nothing waits.
  package init(_ budget: MemoryBudget, _ memory: ProcessMemory? = nil) { (self.budget, self.memory) = (budget, memory) }

  /// Bytes that the process has now.
  @discardableResult
  package func look() -> Int64 {
    guard let now = memory?.anonymousBytes() else { return 0 }
    state.withLock { ($0.peak, $0.unlooked) = (max($0.peak, now), 0) }
    return now
  }

  /// The most that was seen; 0: nothing is measured.
  package var peak: Int64 { state.withLock { $0.peak } }

  /// An epoch is cut: until it is committed its memory comes free by itself.
  func began() { state.withLock { $0.underWay += 1 } }

  /// It is committed, and what it held is free.
  func ended() {
    state.withLock { $0.underWay -= 1 }
    freed()
  }

  /// Something that takes memory was consumed or encoded: those that wait for memory look again.
  func freed() {
    let waiting = state.withLock { state in
      defer { state.freed = nil }
      return state.freed
    }
    waiting?.raise()
  }

  /// Is raised at the next call of ``freed()``. Taken before a look, so that nothing is missed between the look and the wait.
  private var nextFreed: Flag {
    state.withLock { state in
      let next = state.freed ?? Flag()
      state.freed = next
      return next
    }
  }

  /// What the state held at the last commit: for the error.
  func holds(_ bytes: StateBytes) { state.withLock { $0.state = bytes } }

  /// What the lookups hold: for the error.
  func holds(lookups bytes: Int64) { state.withLock { $0.lookups = bytes } }

  private var holders: [MemoryHolder] {
    state.withLock { state in
      state.state.holders + [
        MemoryHolder(
          bytes: state.lookups, name: "lookups", remedy: "leave out of their files the rows and columns that the pipeline does not use")
      ]
    }
  }

  var isUnderWay: Bool { state.withLock { $0.underWay > 0 } }

  /// Whether the process takes more than it should while more comes in. Gives back what the allocator keeps before it says so.
  var isBusy: Bool {
    let isBusy = look() > budget.busyAbove && trimmed() > budget.busyAbove
    state.withLock { $0.wasBusy = isBusy }
    return isBusy
  }

  /// The same for a small block of input: after little input the process is not looked at again, unless it was busy at the last look.
  func isBusy(after bytes: Int64) -> Bool {
    let isDue = state.withLock { state in
      state.unlooked += bytes
      return state.wasBusy || state.unlooked >= MemoryGovernor.unlookedMax
    }
    return isDue && isBusy
  }

  /// Whether this many more bytes fit into the budget.
  func hasRoom(for bytes: Int64) -> Bool {
    memory == nil || look() + bytes <= budget.stopAbove || trimmed() + bytes <= budget.stopAbove
  }

  /// Gives back what the allocator keeps, unless it was done with about the same bytes before: it takes a while.
  private func trimmed() -> Int64 {
    let now = look()
    guard state.withLock({ abs(now - $0.trimmedTo) > budget.total / 64 }) else { return now }
    memory?.trim()
    let after = look()
    state.withLock { $0.trimmedTo = after }
    return after
  }

  /// Waits until more input may come.
  /// - Parameter hasMore: whether other work is under way that frees memory, and calls ``freed()`` when it has.
  /// - Throws: `memory_exceeded` when nothing is under way and the budget is used up.
  func admit(_ clock: any Clock, while hasMore: () async -> Bool = { false }) async throws {
    while !Task.isCancelled {
      let freed = nextFreed
      guard isBusy else { return }
      var mayFree = isUnderWay
      if !mayFree { mayFree = await hasMore() }
      guard mayFree else { return try await stopIfFull(clock) }
      await freed.wait()
    }
  }

  /// Waits until there is room for the blobs of a cut.
  /// - Throws: `memory_exceeded` when there is none, and nothing is under way.
  func reserve(_ bytes: Int64, _ clock: any Clock) async throws {
    while !Task.isCancelled {
      let freed = nextFreed
      guard !hasRoom(for: bytes), isUnderWay else { break }
      await freed.wait()
    }
    try await stopIfFull(with: bytes, clock)
  }

  /// The end of an epoch is reported just before its rows are let go of, and other threads do that: so memory that is missing is looked for
  /// some more times.
  private func stopIfFull(with more: Int64 = 0, _ clock: any Clock) async throws {
    for _ in 0..<MemoryGovernor.looks {
      if Task.isCancelled || hasRoom(for: more) { break }
      await clock.sleep(nanoseconds: MemoryGovernor.restNanoseconds)
      // What was let go of since the last time is the allocator's: the process has as much as before.
      state.withLock { $0.trimmedTo = 0 }
    }
    try stopIfFull(with: more)
  }

  /// - Throws: `memory_exceeded`.
  func stopIfFull(with more: Int64 = 0) throws(WeirError) {
    guard !hasRoom(for: more) else { return }
    let now = look()
    let largest = holders.max { $0.bytes < $1.bytes }.flatMap { $0.bytes > now / 4 ? $0 : nil }
    func mib(_ bytes: Int64) -> String { "\(bytes >> 20) MiB" }
    throw WeirError(
      .memoryExceeded,
      "the worker uses \(mib(now))\(more > 0 ? ", and needs \(mib(more)) more to save its state" : ""), of at most \(mib(budget.total)); the largest part is \(largest.map { "\($0.name), \(mib($0.bytes))" } ?? "the rows and files of the epochs that are not committed yet")",
      advice:
        "Everything through the last commit is kept. The next run commits a smaller epoch first. Raise \(.setting(.workerMemory)) (and the container's limit), use more workers, or \(largest?.remedy ?? "make \(.setting(.flushBytes)) smaller, or partition tables by columns with fewer values")."
    )
  }
}
