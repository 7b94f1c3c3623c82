import CWeirPrefetch
import WeirCore

/// Which ids were seen, and at which shard watermark first (DESIGN law 3: a horizon is judged against the watermark).
///
/// Ids are distributed over segments by their hash, each a log with a small table (see ``DedupSegment``). When one grows beyond its
/// bound, all are split in two, one after the other: no table ever doubles as a whole.
package final class DedupIndex {
  /// nil: ids never expire.
  private let within: Int64?
  /// A power of two; an id belongs to the one that the upper bits of its hash name.
  private var segments: [DedupSegment] { didSet { point() } }
  /// The same, without the counting of references: what an insert goes by.
  private var pointers: UnsafeMutablePointer<Unmanaged<DedupSegment>>
  private var shift: UInt64 = 64
  /// The watermark of the last insert: what expired until now is in no blob.
  private var watermark = Watermark.minimum

  /// - Parameter within: a duplicate's watermark is at most this many microseconds above the first one's.
  package init(withinMicroseconds within: Int64?) {
    self.within = within
    segments = [DedupSegment(within: within)]
    pointers = .allocate(capacity: 1)
    pointers.initialize(to: .passUnretained(segments[0]))
  }

  deinit { pointers.deallocate() }

  private func point() {
    pointers.deallocate()
    pointers = .allocate(capacity: segments.count)
    for (i, segment) in segments.enumerated() { (pointers + i).initialize(to: .passUnretained(segment)) }
  }

  /// Drops what expired until the last insert. Before it is called, ``count`` and ``unsavedCount`` may hold more than is live.
  package func expire() { for segment in segments { segment.expire(watermark: watermark) } }

  /// Ids that can still make a duplicate.
  package var count: Int { segments.reduce(0) { $0 + $1.count } }

  /// Live ids that are in no blob yet.
  package var unsavedCount: Int { segments.reduce(0) { $0 + $1.unsavedCount } }

  /// Bytes held.
  package var bytes: Int { segments.reduce(0) { $0 + $1.bytes } }

  /// `>>` of Swift gives 0 for a shift by 64: one segment.
  @inline(__always)
  private func segment(_ hash: Hash128) -> Unmanaged<DedupSegment> { pointers[Int(truncatingIfNeeded: hash.high >> shift)] }

  /// Call it some ids ahead of ``insert(_:watermark:)``: the table is larger than the caches.
  @inline(__always)
  package func prefetch(_ hash: Hash128) { segment(hash)._withUnsafeGuaranteedRef { $0.prefetch(hash) } }

  /// Steps of ``warm(_:)``.
  package static let warmingSteps = 3

  /// Asks for what an insert reads and writes of the index itself. Of hundreds of lanes none is in the caches when its turn comes, and
  /// each of these lines is known by the one before only; so it is called step by step, for some indexes in each.
  @inline(__always)
  package func warm(_ step: Int) {
    switch step {
    case 0: weir_prefetch(Unmanaged.passUnretained(self).toOpaque())
    // The upper bits of hashes: with one segment, which is what hundreds of lanes have, it is this one.
    case 1: weir_prefetch(pointers[0].toOpaque())
    default: pointers[0]._withUnsafeGuaranteedRef { $0.warm() }
    }
  }

  /// True if the id is new at this watermark (and is now known), false for a duplicate, which renews nothing.
  /// Watermarks must not fall from call to call.
  @inline(__always)
  package func insert(_ hash: Hash128, watermark: Int64) -> Bool {
    self.watermark = watermark
    let (isNew, isFull) = segment(hash)._withUnsafeGuaranteedRef { segment in
      let isNew = segment.insert(hash, watermark: watermark)
      return (isNew, segment.count >= DedupSegment.liveMax)
    }
    if isFull { makeRoom(hash) }
    return isNew
  }

  @inline(__always)
  static func isExpired(first: Int64, now: Int64, within: Int64) -> Bool {
    let (rise, overflow) = now.subtractingReportingOverflow(first)
    return overflow || rise > within
  }

  /// A segment looks full: what expired in it goes, or all are split.
  private func makeRoom(_ hash: Hash128) {
    let isFull = segment(hash)._withUnsafeGuaranteedRef { segment in
      segment.expire(watermark: watermark)
      return segment.count >= DedupSegment.liveMax
    }
    if isFull { split() }
  }

  /// Twice as many segments. The old ones are freed one by one.
  private func split() {
    shift -= 1
    var halves: [DedupSegment] = []
    var olds = segments
    segments = []
    for i in olds.indices {
      let pair = [DedupSegment(within: within), DedupSegment(within: within)]
      let old = olds[i]
      let firstUnsaved = old.count - old.unsavedCount
      var unsaved = [0, 0]
      var number = 0
      old.forEach { hash, mark in
        let half = Int(truncatingIfNeeded: hash.high >> shift) & 1
        _ = pair[half].insert(hash, watermark: mark)
        if number >= firstUnsaved { unsaved[half] += 1 }
        number += 1
      }
      for half in 0..<2 { pair[half].markUnsaved(unsaved[half]) }
      halves += pair
      olds[i] = pair[0]
    }
    segments = halves
  }

  /// Takes over all ids of other indexes into this one, which has none yet.
  /// - Parameter others: with each, by how much its marks rise: ids of several indexes are put in the order of the marks that they get.
  package func inherit(_ others: [(index: DedupIndex, rise: Int64)]) {
    var all: [(mark: Int64, hash: Hash128)] = []
    for (index, rise) in others {
      for segment in index.segments { segment.forEach { hash, mark in all.append((mark &+ rise, hash)) } }
    }
    all.sort { ($0.mark, $0.hash.high, $0.hash.low) < ($1.mark, $1.hash.high, $1.hash.low) }
    for (mark, hash) in all { _ = insert(hash, watermark: mark) }
  }

  // MARK: State

  /// Writes all live ids (`base`), or those since the last save, segment by segment in the order in which they came: the hash, and
  /// as LEB128 the rise of the watermark since the id before.
  package func save(base: Bool, into out: inout ByteWriter) {
    expire()
    out.write(UInt8(segments.count.trailingZeroBitCount))
    for segment in segments {
      let first = base ? 0 : segment.count - segment.unsavedCount
      out.write(UInt32(segment.count - first))
      var before: Int64 = 0
      segment.forEach(from: first) { hash, mark in
        out.write(hash)
        out.write(varint: UInt64(bitPattern: mark &- before))
        before = mark
        out.closePiece()
      }
      segment.markSaved()
    }
  }

  /// Adds what ``save(base:into:)`` wrote. Blobs are restored in their order.
  package func restore(from reader: inout ByteReader) throws(WeirError) {
    let bits = Int(try reader.read(UInt8.self))
    guard bits <= 16, 1 << bits >= segments.count else { throw reader.corrupt("the dedup index has \(bits) bits of segments") }
    // Each segment has a count of 4 bytes: a broken number must not ask for all memory.
    guard reader.left >= 4 << bits else { throw reader.corrupt("it ends before the last segment of the dedup index") }
    // A segment takes ids in the order of their watermarks only: there must be as many as when they were written.
    while segments.count < 1 << bits { split() }
    for i in 0..<1 << bits {
      var mark: Int64 = 0
      for _ in 0..<(try reader.readCount(each: 17)) {
        let hash = try reader.readHash()
        mark &+= Int64(bitPattern: try reader.readVarint())
        guard Bounds.isWatermark(mark) else { throw reader.corrupt("the time of an id is out of range") }
        guard Int(truncatingIfNeeded: hash.high >> shift) == i else { throw reader.corrupt("an id is in another's segment") }
        _ = segments[i].insert(hash, watermark: mark)
        watermark = max(watermark, mark)
      }
    }
    for segment in segments { segment.markSaved() }
  }
}
