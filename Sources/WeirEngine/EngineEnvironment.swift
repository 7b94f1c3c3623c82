import WeirCore
import WeirProtocol

/// All effects that the engine has (law 8), given by the service or by a simulation.
package struct EngineEnvironment: Sendable {
  package var lake: any ObjectStore
  /// In which the lake's tables are written.
  package var tables: any TableFormat
  /// nil: the plan names no state table.
  package var state: (any StateTable)?
  package var clock: any Clock
  package var random: any RandomSource
  /// Threads for work that does not belong in the cooperative pool: encoding and compression of files.
  package var threads: any BlockingRunner
  /// Blocks that are prepared at once.
  package var parallel: Int
  /// Topics that tables go to; nil: the plan names none, or they are not to be followed.
  package var sinks: SinkEnvironment?
  /// Of a plan whose records carry the ids of schemas.
  package var registry: RegistryEnvironment?
  /// Where the files of lookups are; nil: they are not refreshed.
  package var lookups: (any LookupPlaces)?
  /// What the worker may take of the machine's memory.
  package var memory: MemoryBudget { governor.budget }
  package let governor: MemoryGovernor
  /// How long tombstones of expired rows stay in the state table at least.
  package var tombstoneKeepMicroseconds: Int64 = 86_400_000_000
  /// Only the simulation sets these.
  package var variant: EngineVariant = []
  package var protocolVariant: ProtocolVariant = []
  package var commitObserver: (@Sendable (CommitMachine.Event, CommitMachine.Action) -> Void)?

  package init(
    lake: any ObjectStore, tables: any TableFormat, state: (any StateTable)?, clock: any Clock, random: any RandomSource,
    threads: any BlockingRunner, parallel: Int, sinks: SinkEnvironment? = nil, registry: RegistryEnvironment? = nil,
    memory: MemoryBudget = MemoryBudget(configured: nil, available: nil), processMemory: ProcessMemory? = nil
  ) {
    governor = MemoryGovernor(memory, processMemory)
    self.registry = registry
    self.sinks = sinks
    self.lake = lake
    self.tables = tables
    self.state = state
    self.clock = clock
    self.random = random
    self.threads = threads
    self.parallel = parallel
  }

  /// Versions of the plan's lookups may change while a worker runs.
  func refreshesLookups(of plan: Plan) -> Bool { lookups != nil && plan.lookups.contains { $0.refreshMicroseconds != nil } }

  /// What a table's follower has of it.
  func follower(of ledgerID: String) -> FollowerEnvironment {
    var follower = FollowerEnvironment(ledgerID: ledgerID, lake: lake, clock: clock)
    follower.isSyncing = !variant.contains(.followsUnsyncedVersions)
    follower.variant = protocolVariant
    return follower
  }
}
