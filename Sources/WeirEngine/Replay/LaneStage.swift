import WeirCore
import WeirProtocol

/// What the reader has for the lanes, in the order of the shard.
enum LaneWork: Sendable {
  /// Some blocks, of `records` records; `end` and `watermark` are the shard's behind them.
  case deals([DealtBlocks], records: Int, end: Int64, watermark: Int64)
  case cut(position: Int64, prefixHash: Hash128, watermark: Int64, decisions: [Decision])
}

/// The stage of a replay that visits the lanes: hands each its rows and cuts them, while the reader decodes, sequences and deals what
/// comes next.
struct LaneStage: Sendable {
  let lanes: [ShardActor]
  /// Tasks that visit lanes at once.
  let parallel: Int
  /// Called behind each deal: records, position and watermark that every lane has reached.
  let reached: @Sendable (Int, Int64, Int64) -> Void

  /// Blocks that the lanes get at once: handing over costs the same for one and for several. Each of hundreds of lanes has but a
  /// few rows of a block, and its state is in no cache when its turn comes; that is paid once for all of them. Where a record's latency
  /// counts, no block waits for another.
  static func together(lanes: Int, isPaced: Bool) -> Int {
    isPaced ? 1 : min(togetherMax, max(togetherMin, lanes / lanesABlock))
  }
  private static let togetherMin = 2
  private static let togetherMax = 8
  private static let lanesABlock = 32

  /// Ends both hand-overs: the one before, for whoever waits for room in it when nobody takes batches any more or a cut failed; the one
  /// behind, when all is cut.
  func run(_ work: Handover<LaneWork>, into batches: Handover<EpochBatch>) async throws {
    do {
      while let next = await work.receive() {
        switch next {
        case .deals(let deals, let records, let end, let watermark):
          await visit(deals)
          reached(records, end, watermark)
        case .cut(let position, let hash, let watermark, let decisions):
          let epochs = try await cut(position, watermark)
          // The committer's own error ends the run and says why.
          guard await batches.send(EpochBatch(epochs: epochs, prefixHash: hash, decisions: decisions)) else { return await work.finish() }
        }
      }
      await batches.finish()
    } catch {
      await work.finish()
      await batches.finish()
      throw error
    }
  }

  /// As many tasks as run at once, each for every so many-th of the groups of lanes: a task a lane costs more than the few rows of a
  /// block that one of hundreds of lanes gets.
  private func visit(_ deals: [DealtBlocks]) async {
    let shares = self.shares
    @Sendable func visit(_ share: [Range<Int>]) async {
      for group in share { for number in group { await lanes[number].consume(deals, lane: number) } }
    }
    // The first share is done here.
    await withDiscardingTaskGroup { others in
      for share in shares.dropFirst() { others.addTask { await visit(share) } }
      await visit(shares[0])
    }
  }

  /// The epochs by lane.
  private func cut(_ position: Int64, _ watermark: Int64) async throws -> [LaneEpoch] {
    try await withThrowingTaskGroup(of: [(Int, LaneEpoch)].self) { group in
      for share in shares {
        group.addTask {
          var cut: [(Int, LaneEpoch)] = []
          for number in share.joined() { cut.append((number, try await lanes[number].cut(position: position, watermark: watermark))) }
          return cut
        }
      }
      var epochs = [LaneEpoch?](repeating: nil, count: lanes.count)
      for try await cut in group { for (number, epoch) in cut { epochs[number] = epoch } }
      return epochs.compactMap(\.self)
    }
  }

  /// The lanes, dealt over as many tasks as run at once; neighbours that share a partial are with one.
  private var shares: [[Range<Int>]] {
    let size = Restorer.sharing(lanes.count)
    let groups = stride(from: 0, to: lanes.count, by: size).map { $0..<min($0 + size, lanes.count) }
    let tasks = min(parallel, groups.count)
    return (0..<tasks).map { first in stride(from: first, to: groups.count, by: tasks).map { groups[$0] } }
  }
}
