import WeirCore

/// Which ids were seen, and at which shard watermark first (DESIGN law 3: a horizon is judged against the watermark).
///
/// The trick: the shard watermark never falls, so ids expire in the order in which they came. The index is a log of
/// (hash, watermark) with a table of log places beside it: expiry moves the log's head and touches nothing else; a table
/// slot that points before the head is dead and is dropped when the table is made anew.
public final class DedupIndex {
  /// nil: ids never expire.
  private let within: Int64?
  private var hashes: [Hash128] = []
  private var marks: [Int64] = []
  /// The first live place of the log.
  private var head = 0
  /// Log place + 1 in the low half, upper hash bits above; 0 is free. Power of two.
  private var slots: [UInt64]
  private var used = 0
  /// Log place of the first id that is not yet in a state blob.
  private var firstUnsaved = 0

  /// - Parameter within: a duplicate's watermark is at most this many microseconds above the first one's.
  public init(withinMicroseconds within: Int64?) {
    self.within = within
    slots = [UInt64](repeating: 0, count: 1024)
  }

  /// Ids that can still make a duplicate.
  public var count: Int { hashes.count - head }

  /// True if the id is new at this watermark (and is now known), false for a duplicate, which renews nothing.
  /// Watermarks must not fall from call to call.
  @inline(__always)
  public func insert(_ hash: Hash128, watermark: Int64) -> Bool {
    if let within { expire(watermark: watermark, within: within) }
    let tag = hash.high | 0xFFFF_FFFF
    return slots.withUnsafeMutableBufferPointer { slots in
      let mask = slots.count - 1
      var at = Int(truncatingIfNeeded: hash.low) & mask
      while slots[at] != 0 {
        let slot = slots[at]
        if slot | 0xFFFF_FFFF == tag {
          let place = Int(slot & 0xFFFF_FFFF) - 1
          if place >= head, hashes[place] == hash { return false }
        }
        at = (at + 1) & mask
      }
      slots[at] = (hash.high & ~0xFFFF_FFFF) | UInt64(hashes.count + 1)
      return true
    } && append(hash, watermark)
  }

  private func append(_ hash: Hash128, _ watermark: Int64) -> Bool {
    hashes.append(hash)
    marks.append(watermark)
    used += 1
    if used * 2 > slots.count || hashes.count >= 0xFFFF_FFF0 { rebuild() }
    return true
  }

  @inline(__always)
  private func expire(watermark: Int64, within: Int64) {
    while head < marks.count, DedupIndex.isExpired(first: marks[head], now: watermark, within: within) { head += 1 }
  }

  @inline(__always)
  static func isExpired(first: Int64, now: Int64, within: Int64) -> Bool {
    let (rise, overflow) = now.subtractingReportingOverflow(first)
    return overflow || rise > within
  }

  /// Drops the dead part of the log and makes the table anew, at most a quarter full.
  private func rebuild() {
    if head > 0 {
      hashes.removeSubrange(0..<head)
      marks.removeSubrange(0..<head)
      firstUnsaved = max(0, firstUnsaved - head)
      head = 0
    }
    var size = 1024
    while size < hashes.count * 4 { size *= 2 }
    slots = [UInt64](repeating: 0, count: size)
    let mask = size - 1
    for (place, hash) in hashes.enumerated() {
      var at = Int(truncatingIfNeeded: hash.low) & mask
      while slots[at] != 0 { at = (at + 1) & mask }
      slots[at] = (hash.high & ~0xFFFF_FFFF) | UInt64(place + 1)
    }
    used = hashes.count
  }

  // MARK: State

  /// Live ids that are in no blob yet.
  public var unsavedCount: Int { hashes.count - max(firstUnsaved, head) }

  /// Writes all live ids (`base`), or those since the last save, in the order in which they came.
  public func save(base: Bool, into out: inout ByteWriter) {
    let from = base ? head : max(firstUnsaved, head)
    out.write(UInt32(hashes.count - from))
    for place in from..<hashes.count {
      out.write(hashes[place])
      out.write(marks[place])
    }
    firstUnsaved = hashes.count
  }

  /// Adds what ``save(base:into:)`` wrote. Blobs are restored in their order.
  public func restore(from reader: inout ByteReader) throws(WeirError) {
    for _ in 0..<(try reader.readCount(each: 24)) {
      let hash = try reader.readHash()
      hashes.append(hash)
      marks.append(try reader.read(Int64.self))
    }
    rebuild()
    firstUnsaved = hashes.count
  }
}
