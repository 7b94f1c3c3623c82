import WeirCore
import WeirOperators
import WeirProtocol

/// Where a worker's records come from, and who assigns its lanes.
package struct WorkerInput: Sendable {
  /// Other workers may have lanes of the same ledger.
  let isShared: Bool
  /// Called for each session.
  let connect: @Sendable (EngineEnvironment, @escaping @Sendable (WorkerEvent) -> Void) async throws -> any SessionInput

  /// A live source, whose shards a group of workers shares, until the worker is stopped.
  /// - Parameters:
  ///   - accepted: streams (topics) of which another incarnation than the ledger's is read from its start, by a recorded decision.
  ///   - grown: streams of which more shards than the ledger's are accepted where that moves keys, by a recorded decision.
  ///   - make: makes a member of the group; called again after a session that ended with an error.
  package static func group(
    accepted: Set<String> = [], grown: Set<String> = [], _ make: @escaping @Sendable () async throws -> any ShardGroup
  ) -> WorkerInput {
    WorkerInput(isShared: true) { _, observe in
      let group = try await make()
      do { return try await GroupInput(group, AcceptedStreams(recreated: accepted, grown: grown), observe: observe) } catch {
        await group.close()
        throw error
      }
    }
  }

  /// A capture of a live stream: each recorded shard is one lane, as live. The ledger is like that of a live run.
  /// - Parameter recorded: the live run whose entries are repeated, number by number. nil: cuts come after a number of input bytes, in the
  ///   order of recording.
  package static func stream(_ stream: any RecordedStream, recorded: RecordedRun? = nil, keepOpen: Bool) -> WorkerInput {
    WorkerInput(isShared: false) { environment, observe in
      var decisions: RecordedDecisions?
      if let recorded { decisions = try await RecordedDecisions.open(recorded.layout, lake: recorded.lake, environment) }
      return await StreamInput(stream, decisions, keepOpen: keepOpen, observe: observe)
    }
  }

  /// A plain capture: one shard, partitioned over the lanes of the ledger.
  /// - Parameters:
  ///   - latency: receives positions once their rows are visible. Then no block waits for another.
  ///   - source: makes the source that begins at a place.
  package static func capture(
    keepOpen: Bool, latency: LatencyMeter? = nil, _ source: @escaping @Sendable (CaptureStart) throws -> any RecordSource
  ) -> WorkerInput {
    WorkerInput(isShared: false) { _, observe in CaptureInput(source: source, keepOpen: keepOpen, latency: latency, observe: observe) }
  }
}
