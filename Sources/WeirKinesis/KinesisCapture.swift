import WeirCore

/// A stream as a capture reads it: all its shards, without leases.
///
/// It is a member of no application: the group below is never joined, and its table is never asked.
package final class KinesisCapture: CapturableSource {
  private let group: KinesisGroup

  /// - Parameter group: not joined.
  package init(_ group: KinesisGroup) { self.group = group }

  package var streams: [String] { [group.spec.stream] }

  package func shards() async throws -> [SourceShard] { try await group.shards() }

  package func bounds(of shards: [String]) async throws -> [String: ShardBounds] { try await group.bounds(of: shards) }

  package func starts(of shards: [String], isLater: Bool) async throws -> [String: ShardPoint] {
    guard isLater else { return try await group.starts(of: shards) }
    return Dictionary(shards.map { ($0, KinesisPlace.beginningOfShard) }) { first, _ in first }
  }

  package func look(_ asks: [String: ShardAsk]) async throws -> [String: ShardSight] { try await group.look(asks) }

  package func assign(_ positions: [String: ShardPoint]) async throws -> [any CapturableShard] {
    try await group.assign(positions).map { KinesisCapturedShard(name: $0.key, source: $0.value) }
  }

  package func release(_ shards: [String]) async throws { try await group.release(shards) }

  package func refuseQuestions() { group.refuseQuestions() }

  package func close() async { await group.close() }
}

private struct KinesisCapturedShard: CapturableShard {
  let name: String
  let source: any RecordSource

  func next() async throws -> CapturableRead {
    while true {
      switch try await source.next() {
      case .block(let block, _): if let recorded = RecordedBlock(block) { return .block(recorded) }
      case .caughtUp: return .caughtUp
      case .outOfRange(let at): return .outOfRange(at: at)
      case .closed(_, let children): return .ended(children: children)
      case .end: return .closed
      case .cut: continue
      }
    }
  }
}

extension RecordedBlock {
  /// Of a block of a counted source; nil: it is none, or has no records.
  init?(_ block: RawBlock) {
    guard let details = block.details, let first = details.positions.first, let last = details.positions.last,
      case .spans(let offset, let length) = block.framing, details.sequences.count == details.positions.count
    else { return nil }
    self.init(shard: details.shard, first: first, next: last + 1)
    (positions, sequences, timeKind) = (details.positions, details.sequences, details.isAppendTime ? .appended : .created)
    timestamps = details.arrivals.map { $0 == RecordDetails.noArrival ? -1 : $0 / 1000 }
    headerCount = positions.map { _ in 0 }
    withExtendedLifetime(block) {
      for row in positions.indices {
        let key = details.key(row, in: block.text)
        keyLength.append(key.map { Int32($0.count) } ?? -1)
        if let key { text += UnsafeBufferPointer(start: key.start, count: Int(key.count)) }
        valueLength.append(details.isTombstone(row) ? -1 : Int32(length[row]))
        text += UnsafeBufferPointer(start: UnsafePointer(block.text.base) + Int(offset[row]), count: Int(length[row]))
      }
    }
  }
}
