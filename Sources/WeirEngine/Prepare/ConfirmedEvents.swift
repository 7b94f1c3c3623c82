import WeirCore

/// Sequences the events of a capture, and holds those whose verdict depends on records that were not read yet (``ClockGuard``).
///
/// Nearly always an event goes through at once. A block with a record that must be judged near its end waits until
/// ``ClockGuard/followersMax`` valid records after it are known, or ``ClockGuard/bytesMax``, or the input has ended; what comes after it
/// waits too, cuts included, so that the ledger never has half of it. Bound (law 7): those records, and the rest of the blocks they are in.
///
/// If the capture may grow, a record that is undecided at its end is left for a later run, with everything after it: like an unfinished
/// line. So a capture that is read in parts has the rows of one that is read at once.
struct ConfirmedEvents {
  private(set) var sequencer: Sequencer
  /// The capture may grow.
  private let keepOpen: Bool
  /// Prepares the part of a block that comes before an undecided record.
  private let prepare: (RawBlock) -> PreparedBlock
  private var held: [PreparedEvent] = []
  /// The first one that is held is a block that was tried, and needs more of what follows.
  private var isWaiting = false
  /// The end of the last block that went through.
  private var passed: (position: Int64, hash: Hash128)?

  /// Where the records begin that a later run is to decide; nil: there are none.
  private(set) var waitsFrom: Int64?

  init(_ sequencer: Sequencer, keepOpen: Bool, prepare: @escaping (RawBlock) -> PreparedBlock) {
    self.sequencer = sequencer
    self.keepOpen = keepOpen
    self.prepare = prepare
  }

  /// - Returns: the events that are decided now, in order.
  /// - Throws: `check_failed`.
  mutating func admit(_ event: PreparedEvent) throws(WeirError) -> [SequencedEvent] {
    switch event {
    // It moves nothing, and must not wait for a pipe that gives nothing.
    case .pause, .caughtUp, .outOfRange, .closed: return [.pause]
    // What is held is after the last cut that was passed on: the next run reads it again.
    case .interrupted:
      held = []
      return [.interrupted]
    case .block, .cut, .end: held.append(event)
    }
    var ready: [SequencedEvent] = []
    var next = 0
    while next < held.count, let events = try sequence(next) {
      ready += events
      next += 1
    }
    held.removeFirst(min(next, held.count))
    return ready
  }

  /// nil: it has to wait.
  private mutating func sequence(_ index: Int) throws(WeirError) -> [SequencedEvent]? {
    switch held[index] {
    case .block(var block, let end):
      let followers = followers(after: index, to: end)
      if isWaiting, !followers.suffice(before: end.ordinal) { return nil }
      // The queue's own reference would make the block's columns be copied.
      held[index] = .pause
      guard let row = try sequencer.sequence(&block, followers: followers) else {
        isWaiting = false
        passed = block.decoded.raw.prefixHash.map { (end.ordinal, $0) }
        return [.block(block, end: end.ordinal, watermark: sequencer.watermark)]
      }
      if followers.end == .keptOpen {
        held = []
        waitsFrom = block.position(row)
        return try leaveOpen(block, from: row, followers) + [.end]
      }
      held[index] = .block(block, end: end)
      isWaiting = true
      return nil
    case .cut(let position, let hash): return [.cut(position: position, prefixHash: hash, watermark: sequencer.watermark)]
    case .pause, .caughtUp, .outOfRange, .closed: return [.pause]
    case .end: return [.end]
    case .interrupted: return [.interrupted]
    }
  }

  /// - Parameter end: of the block at `index`.
  private func followers(after index: Int, to end: ShardPoint) -> ClockGuard.Followers {
    var followers = ClockGuard.Followers()
    followers.through = end.ordinal
    for event in held[(index + 1)...] {
      switch event {
      case .block(let block, let end):
        followers.add(block, from: 0)
        followers.through = end.ordinal
      case .end: followers.end = keepOpen ? .keptOpen : .closed
      case .cut, .pause, .interrupted, .caughtUp, .outOfRange, .closed: break
      }
    }
    return followers
  }

  /// - Parameter row: undecided, the first one of the block.
  /// - Returns: what comes before the record, with a cut.
  private mutating func leaveOpen(
    _ block: PreparedBlock, from row: Int, _ following: ClockGuard.Followers
  ) throws(WeirError) -> [SequencedEvent] {
    var raw = block.decoded.raw
    raw.cut(before: block.decoded.elements == nil ? row : nil, at: Int(block.decoded.offset[row]))
    if raw.count > 0, let hash = block.decoded.raw.hashBefore?.hash(raw.count, of: raw.text) {
      raw.prefixHash = hash
      var part = prepare(raw)
      var followers = ClockGuard.Followers()
      followers.add(block, from: part.count)
      followers.add(following)
      if try sequencer.sequence(&part, followers: followers) == nil {
        let position = raw.position + Int64(raw.count)
        return [
          .block(part, end: position, watermark: sequencer.watermark),
          .cut(position: position, prefixHash: hash, watermark: sequencer.watermark),
        ]
      }
    }
    return passed.map { [.cut(position: $0.position, prefixHash: $0.hash, watermark: sequencer.watermark)] } ?? []
  }
}

extension ClockGuard.Followers {
  mutating func add(_ block: PreparedBlock, from row: Int) {
    if row < block.count, first == nil { first = block.position(row) }
    var next = row
    while next < block.count, times.count < ClockGuard.followersMax {
      if block.decoded.valid[next] {
        times.append(block.columns.time[next])
        positions.append(block.position(next))
      }
      next += 1
    }
  }

  mutating func add(_ others: ClockGuard.Followers) {
    let room = ClockGuard.followersMax - times.count
    first = first ?? others.first
    times += others.times.prefix(room)
    positions += others.positions.prefix(room)
    (through, end) = (others.through, others.end)
  }
}

extension RawBlock {
  /// Keeps the records before one.
  /// - Parameters:
  ///   - row: its place, of records that are not lines; nil: it is an element, and what is kept are the outer records before its own.
  ///   - offset: its first byte.
  fileprivate mutating func cut(before row: Int?, at offset: Int) {
    switch framing {
    case .lines: count = lineStart(offset)
    case .spans(let offsets, let lengths):
      let row = row ?? offsets.indices.first { Int(offsets[$0]) + Int(lengths[$0]) > offset } ?? offsets.count
      count = row > 0 ? Int(offsets[row - 1]) + Int(lengths[row - 1]) : 0
      framing = .spans(offset: Array(offsets.prefix(row)), length: Array(lengths.prefix(row)))
    }
  }

  /// The beginning of the line that has this byte.
  private func lineStart(_ offset: Int) -> Int {
    var at = offset
    while at > 0, text.base[at - 1] != 0x0A { at -= 1 }
    return at
  }
}
