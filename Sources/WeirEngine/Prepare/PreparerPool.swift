import WeirCore
import WeirOperators
import Synchronization

/// Preparers that are not in use. A preparer keeps the key order it saw last, so it is worth keeping.
final class PreparerPool: Sendable {
  private struct Box: @unchecked Sendable {
    // Unchecked: a preparer is in the pool or with one task.
    let preparer: BlockPreparer
  }
  private let compiled: CompiledPlan
  private let dealer: LaneDealer?
  private let free = Mutex<[Box]>([])
  private let schemas: SchemaBook?
  let lookups: LookupBook
  let clock: any Clock
  let memory: MemoryGovernor

  /// - Parameter dealer: nil: one lane has all rows of a block.
  init(_ compiled: CompiledPlan, _ environment: EngineEnvironment, dealer: LaneDealer? = nil) {
    self.compiled = compiled
    self.dealer = dealer
    lookups = LookupBook(LookupSet(compiled.lookups))
    clock = environment.clock
    memory = environment.governor
    schemas = SchemaBook(compiled.plan, environment: environment)
  }

  /// The plan's records name schemas.
  var asksForSchemas: Bool { schemas != nil }

  /// What preparing needs besides the block. Waits for an unreachable schema registry.
  /// - Returns: nil when `isStopped` ended the wait.
  func resolve(_ raw: RawBlock, until isStopped: @Sendable () -> Bool) async throws -> RawBlock? {
    guard let schemas else { return raw }
    return try await schemas.resolve(raw, until: isStopped)
  }

  func prepare(_ raw: RawBlock) -> PreparedBlock { prepare(raw, with: lookups.current) }

  private func prepare(_ raw: RawBlock, with lookups: LookupSet) -> PreparedBlock {
    let box = free.withLock { $0.popLast() } ?? Box(preparer: BlockPreparer(compiled, dealer))
    defer { free.withLock { $0.append(box) } }
    return box.preparer.prepare(raw, lookups)
  }

  /// A block that was prepared and sequenced, with other lookups.
  /// - Throws: `check_failed`.
  func prepare(_ block: PreparedBlock, with lookups: LookupSet) throws(WeirError) -> PreparedBlock {
    var next = prepare(block.decoded.raw, with: lookups)
    next.takeSequence(of: block)
    try Sequencer.checkFailures(next)
    return next
  }
}
