import WeirCore

/// How a source is read.
struct Reading: Sendable {
  /// Blocks that may be prepared along with the first.
  var ahead: PrepareAhead
  /// Raised when the reading is stopped from outside.
  var interruption: Flag
  /// The source is this shard's; nil: the stream is a capture.
  var shard: String?
  /// An error that passes does not end the reading: the client of a live source tries again by itself.
  var retries = false
  /// While the source is not asked it gathers what comes, into larger blocks: so it is asked only when a block can be prepared at once.
  /// A block costs as much with ten records as with a hundred.
  var gathers = false
  /// ``PreparedEvent/pause`` is handed on, and a wait for the source ends when it is interrupted: of a capture, which may be a pipe.
  var mayPause = false
  /// Waits for memory before the next block is read. The argument says whether blocks are under way, which free some
  /// (``MemoryGovernor/freed()``).
  var admit: (@Sendable (_ hasBlocks: () async -> Bool) async throws -> Void)?
  /// Called when schemas are asked for, and when they are there.
  var resolves: @Sendable (Bool) -> Void = { _ in }
}

extension Reading {
  /// Of a capture, which has the worker to itself.
  static func capture(_ environment: EngineEnvironment, _ interruption: Flag) -> Reading {
    let (governor, clock) = (environment.governor, environment.clock)
    return Reading(
      ahead: PrepareAhead(environment.parallel), interruption: interruption, mayPause: true,
      admit: { hasBlocks in try await governor.admit(clock, while: hasBlocks) })
  }
}
