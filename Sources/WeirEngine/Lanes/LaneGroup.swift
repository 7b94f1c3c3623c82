import WeirCore
import WeirOperators

/// The one owner of the states of some neighbouring lanes of a capture: a thin actor around them.
///
/// Messages carry blocks, never records. Between two of them the state flusher may take changed rows.
actor LaneGroup {
  nonisolated let ids: [LaneID]
  /// Number of the first among the capture's lanes.
  private let first: Int
  private let lanes: [LaneState]

  init(_ lanes: sending [LaneState], first: Int) {
    ids = lanes.map(\.id)
    self.first = first
    self.lanes = lanes
  }

  /// Consumes the rows of these lanes of some deals, in turn.
  func consume(_ deals: [DealtBlocks]) {
    for next in deals {
      if lanes.count > 1 { warm() }
      for (number, lane) in lanes.enumerated() { lane.consume(next, lane: first + number) }
    }
  }

  /// What the lanes hold that no cut frees.
  var stateBytes: StateBytes { lanes.reduce(StateBytes()) { $0 + $1.stateBytes } }

  private func warm() { for step in 0..<DedupIndex.warmingSteps { for lane in lanes { lane.warm(step) } } }

  /// Ends the epoch at a mark of the capture, which every lane of it reached.
  func cut(position: Int64, watermark: Int64) throws -> [LaneEpoch] {
    try lanes.map { lane in
      lane.advance(position: position, watermark: watermark)
      return try lane.cut()
    }
  }
}

extension LaneGroup: StateRowSource {
  func takeStateRows() -> [LaneRows] { lanes.map { LaneRows($0.takeStateRows(), of: $0) } }

  func allStateRows(of id: LaneID) -> LaneRows? { lanes.first { $0.id == id }.map { LaneRows($0.allStateRows(), of: $0) } }

  func markAllUnflushed(_ id: LaneID) { lanes.first { $0.id == id }?.markAllUnflushed() }
}
