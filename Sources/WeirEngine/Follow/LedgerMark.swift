import WeirCore
import WeirProtocol

/// What the state table keeps of the ledger about a lane, so that its readers can see which rows are committed.
package struct LedgerMark: Sendable, Equatable {
  /// Before the lane's name, in the names of the table's marks.
  package static let prefix = "committed/"

  package var generation: Int64
  /// Everything before this ordinal is committed.
  package var position: Int64
  /// Where the generation started, in the positions of the one before; nil: not known.
  package var start: Int64?

  package init(generation: Int64, position: Int64, start: Int64? = nil) {
    (self.generation, self.position, self.start) = (generation, position, start)
  }

  /// What the ledger has of a listed lane. The merge lane's positions are numbers of entries.
  init(of id: LaneID, in fold: LedgerFold) {
    let lane = fold[id]
    // A lane without an epoch has consumed nothing.
    let position = id == .merge ? fold.number : lane?.position?.ordinal ?? 0
    self.init(generation: lane?.generation ?? 0, position: position, start: lane?.generationStart?.ordinal)
  }

  /// Reads what ``entry(of:)`` wrote; nil: it is not a mark.
  package init?(_ value: [UInt8]) {
    let numbers = String(decoding: value, as: UTF8.self).split(separator: " ").compactMap { Int64($0) }
    guard numbers.count == 2 || numbers.count == 3 else { return nil }
    self.init(generation: numbers[0], position: numbers[1], start: numbers.count == 3 ? numbers[2] : nil)
  }

  /// The mark with its name, as it is written. Without a start it is as before there were starts.
  func entry(of lane: String) -> (String, [UInt8]) {
    (LedgerMark.prefix + lane, Array(([generation, position] + (start.map { [$0] } ?? [])).map(String.init).joined(separator: " ").utf8))
  }

  /// The ledger has reached a row with this fence. One of the generation before is committed up to where the next one started: what is
  /// beyond comes from records that no entry has (law 6). No row of a still older generation is beyond its end: a worker that takes a lane
  /// over writes this mark after it has taken such rows back.
  package func covers(_ fence: Fence) -> Bool {
    if fence.generation == generation { return fence.position <= position }
    guard fence.generation < generation else { return false }
    guard let start, fence.generation == generation - 1 else { return true }
    return fence.position <= start
  }
}
