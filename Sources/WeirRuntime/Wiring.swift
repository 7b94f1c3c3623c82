import CWeirSystem
import Foundation
import Synchronization
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirLocal
import WeirOperators
import WeirPlan
import WeirProtocol
import WeirS3Settings

/// The real environment of a worker: threads, clock, lake, state table.
package struct Wiring {
  package let threads: BlockingThreads
  package let stateThread: BlockingThreads
  package let lake: any ObjectStore
  private let tables: any TableFormat
  package let state: (any StateTable)?
  /// Where the state table is.
  package let store: String
  package let random = SystemRandom()
  package let clock = SystemClock()
  package let memory: MemoryBudget

  /// What a worker may take of the memory: as its plan says, else of the machine or the container.
  package static func memory(_ worker: WorkerSpec?) -> MemoryBudget {
    MemoryBudget(configured: worker?.memoryBytes, available: MachineMemory.available())
  }

  /// - Parameters:
  ///   - withState: opens (and makes) the state table.
  ///   - worker: the plan's; of it the memory.
  ///   - isLooking: nothing is going to be written, so that the places are not checked.
  /// - Throws: `config` where a place must not be used (``Places/check(_:)``).
  package init(_ places: Places, withState: Bool, worker: WorkerSpec? = nil, isLooking: Bool = false) async throws {
    memory = Wiring.memory(worker)
    if let bytes = memory.returnsFrom { weir_return_memory(Int32(bytes)) }
    // One more than there are cores, since one mostly waits for the disk. They give way to lanes and flushes: that keeps the
    // state table fresh while a large epoch is encoded.
    threads = BlockingThreads(count: ProcessInfo.processInfo.activeProcessorCount + 1, niceness: 10)
    stateThread = BlockingThreads(count: 1)
    store = places.store
    if !isLooking { try await places.check(LakeEffects(threads: threads, clock: clock, random: random)) }
    lake = try await AdapterRegistry.standard.lake(
      places.lake, settings: places.lakeSettings, LakeEffects(threads: threads, clock: clock, random: random))
    tables = AdapterRegistry.standard.tables(places.format)
    state = withState ? try AdapterRegistry.standard.stateTable(at: places.store, memory: memory, thread: stateThread) : nil
  }

  /// Settings of the store that the lake is in which would harm it.
  package func examineLake(_ places: Places) async throws -> [StoreFinding] {
    try await AdapterRegistry.standard.examineLake(places.lake, settings: places.lakeSettings, effects)
  }

  /// For another lake.
  package var effects: LakeEffects { LakeEffects(threads: threads, clock: clock, random: random) }

  /// - Parameter lookups: relative to which directory the files of a live worker's lookups are; nil: they are not refreshed.
  package func environment(
    sinks: SinkEnvironment? = nil, registry: RegistryEnvironment? = nil, lookups directory: String? = nil
  ) -> EngineEnvironment {
    var environment = EngineEnvironment(
      lake: lake, tables: tables, state: state, clock: clock, random: random, threads: threads,
      parallel: ProcessInfo.processInfo.activeProcessorCount + 1, sinks: sinks, registry: registry,
      memory: memory, processMemory: MachineMemory.process)
    environment.lookups = directory.map { LookupWatch(directory: $0, effects) }
    return environment
  }
}
