import WeirCore
import WeirProtocol

/// The stage of a replay that visits the lanes: hands each its rows and cuts them, while the reader decodes, sequences and deals what
/// comes next.
struct LaneStage: Sendable {
  private let session: Session
  private let lanes: Int
  /// All lanes, in order.
  private let groups: [LaneActor]
  /// Numbers of groups, distributed over as many tasks as run at once.
  private let shares: [[Int]]
  /// Called after each deal: records, position and watermark that every lane has reached.
  private let reached: @Sendable (Int, Int64, Int64) -> Void

  init(_ session: Session, reached: @escaping @Sendable (Int, Int64, Int64) -> Void) {
    (self.session, self.reached) = (session, reached)
    let groups = session.lanes.dealt
    self.groups = groups
    lanes = groups.reduce(0) { $0 + $1.ids.count }
    let tasks = min(session.environment.parallel, groups.count)
    shares = (0..<tasks).map { first in Array(stride(from: first, to: groups.count, by: tasks)) }
  }

  /// Blocks that the lanes get at once: handing over costs the same for one and for several. Each of hundreds of lanes has but a
  /// few rows of a block, and its state is in no cache when its turn comes; that is paid once for all of them. Where a record's latency
  /// counts, no block waits for another.
  static func together(lanes: Int, isPaced: Bool) -> Int {
    isPaced ? 1 : min(togetherMax, max(togetherMin, lanes / lanesABlock))
  }
  private static let togetherMin = 2
  private static let togetherMax = 8
  private static let lanesABlock = 32

  /// Finishes both hand-overs: the one it takes from, when a cut failed or no stage takes batches any more, so that the sender does not wait
  /// for room; the one it sends to, when all is cut.
  func run(_ work: Handover<LaneWork>, into batches: Handover<EpochBatch>) async throws {
    let partial = ShardPartial(session.compiled, lanes: lanes, run: session.run)
    do {
      while let next = await work.receive() {
        switch next {
        case .deals(let deals, let records, let end, let watermark):
          try await visit(deals)
          for deal in deals { partial.fold(deal) }
          reached(records, end, watermark)
        case .cut(let position, let hash, let watermark, let decisions, let blankLines):
          var blobBytes: Int64 = 0
          for group in groups { blobBytes += await group.blobBytes }
          try await session.environment.governor.reserve(blobBytes, session.environment.clock)
          var (decisions, blankLines) = (decisions, blankLines)
          var isClosing: Bool
          repeat {
            var epochs = try await cut(position, watermark)
            // Until it is committed.
            session.environment.governor.began()
            epochs[0].counts.blankLines += Int64(blankLines)
            partial.finish(into: &epochs)
            let carried = Dictionary(uniqueKeysWithValues: epochs.map { ($0.lane, decisions) })
            isClosing = epochs.contains(where: \.isClosing)
            // The committer's own error ends the run and says why.
            guard await batches.send(EpochBatch(epochs: epochs, prefixHash: hash, decisions: carried)) else { return await work.finish() }
            (decisions, blankLines) = ([], 0)
          } while isClosing
        }
      }
      await batches.finish()
    } catch {
      await work.finish()
      await batches.finish()
      throw error
    }
  }

  /// One task per core, each for an equal share of the groups: a task for each group costs more than the few rows of a block that hundreds of
  /// lanes get.
  private func visit(_ deals: [DealtBlocks]) async throws {
    @Sendable func visit(_ share: [Int]) async throws { for number in share { try await groups[number].consume(deals) } }
    guard shares.count > 1 else { return try await visit(shares[0]) }
    // The first share is done here.
    try await withThrowingDiscardingTaskGroup { others in
      for share in shares.dropFirst() { others.addTask { try await visit(share) } }
      try await visit(shares[0])
    }
  }

  /// The epochs by lane.
  private func cut(_ position: Int64, _ watermark: Int64) async throws -> [LaneEpoch] {
    try await withThrowingTaskGroup(of: [(Int, [LaneEpoch])].self) { tasks in
      for share in shares {
        tasks.addTask {
          var cut: [(Int, [LaneEpoch])] = []
          for number in share { cut.append((number, try await groups[number].cut(position: position, watermark: watermark))) }
          return cut
        }
      }
      let all = try await tasks.reduce(into: []) { $0 += $1 }
      return all.sorted { $0.0 < $1.0 }.flatMap(\.1)
    }
  }
}
