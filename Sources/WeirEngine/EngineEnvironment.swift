import WeirCore

/// All effects that the engine has (law 8), given by the service or by a simulation.
public struct EngineEnvironment: Sendable {
  public var lake: any ObjectStore
  /// nil: the plan names no state table.
  public var state: (any StateTable)?
  public var clock: any Clock
  public var random: any RandomSource
  /// Threads for work that is no business of the cooperative pool: encoding and compression of files.
  public var threads: any BlockingRunner
  /// Blocks that are prepared at once.
  public var parallel: Int
  /// Topics that tables go to; nil: the plan names none, or they are not to be followed.
  public var sinks: SinkEnvironment?
  /// Of a plan whose records carry the ids of schemas.
  public var registry: RegistryEnvironment?
  /// What the worker may take of the machine's memory.
  public var memory: MemoryBudget { governor.budget }
  public let governor: MemoryGovernor

  public init(
    lake: any ObjectStore, state: (any StateTable)?, clock: any Clock, random: any RandomSource,
    threads: any BlockingRunner, parallel: Int, sinks: SinkEnvironment? = nil, registry: RegistryEnvironment? = nil,
    memory: MemoryBudget = MemoryBudget(configured: nil, available: nil), processMemory: ProcessMemory? = nil
  ) {
    governor = MemoryGovernor(memory, processMemory)
    self.registry = registry
    self.sinks = sinks
    self.lake = lake
    self.state = state
    self.clock = clock
    self.random = random
    self.threads = threads
    self.parallel = parallel
  }
}
