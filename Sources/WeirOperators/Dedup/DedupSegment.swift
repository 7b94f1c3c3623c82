import CWeirPrefetch
import WeirCore

/// The ids of one range of hashes: at most 2^20 live ones.
///
/// The shard watermark never falls, so ids expire in the order in which they came. A segment is a log of hashes in that order,
/// with a table of log places next to it. Expiry moves the log's head and touches nothing else; a table slot that points
/// before the head is dead, and disappears when the table is rebuilt.
///
/// Where the bytes go (an id): 16 for the hash, in chunks that are freed as the head passes them; 1 to 3 for the watermark, as
/// LEB128 of its rise since the id before (only the head's is ever asked for, so a stream of rises will do); 5 to 6 for the
/// table: slots of 4 bytes, 67 to 80 % full once it is large. A slot is 11 bits of the hash and 21 bits of the place, so
/// that a new id nearly always costs one cache line of the table and none of the log.
final class DedupSegment {
  /// More live ids are split over two segments.
  static let liveMax = 1 << 20
  private static let placeBits: UInt32 = 21
  private static let placeMask: UInt32 = 1 << placeBits - 1
  private static let chunkBits = 10

  /// nil: ids never expire.
  private let within: Int64?
  /// Chunk of a place: place >> 10. nil: no live place in it.
  private let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Hash128>?>
  private static let chunksMax = 1 << (Int(placeBits) - chunkBits)
  /// The chunk freed last: where ids expire as fast as they come, the next one.
  private var spare: UnsafeMutablePointer<Hash128>?
  /// Places are numbers modulo 2^21: the first live one, and the one that comes next.
  private var head: UInt32 = 0
  private var tail: UInt32 = 0
  /// 0 is free.
  private var slots: UnsafeMutablePointer<UInt32>
  private var size: Int
  private var used = 0
  private var usedMax: Int

  /// Rises of the watermark from id to id, LEB128, from the one after the head's.
  private var rises: UnsafeMutablePointer<UInt8>
  private var risesCapacity = 64
  private var risesHead = 0
  private var risesTail = 0
  private var headMark: Int64 = 0
  private var lastMark: Int64 = 0

  /// Live ids at the end of the log that are in no blob.
  private var unsaved = 0

  init(within: Int64?) {
    self.within = within
    chunks = .allocate(capacity: DedupSegment.chunksMax)
    chunks.initialize(repeating: nil, count: DedupSegment.chunksMax)
    size = 512
    usedMax = size / 2
    slots = .allocate(capacity: size)
    slots.initialize(repeating: 0, count: size)
    rises = .allocate(capacity: risesCapacity)
  }

  deinit {
    slots.deallocate()
    rises.deallocate()
    for chunk in 0..<DedupSegment.chunksMax { chunks[chunk]?.deallocate() }
    spare?.deallocate()
    chunks.deallocate()
  }

  var count: Int { Int((tail &- head) & DedupSegment.placeMask) }
  var unsavedCount: Int { min(unsaved, count) }

  /// Bytes held.
  var bytes: Int {
    let held = (0..<DedupSegment.chunksMax).count { chunks[$0] != nil }
    return size * 4 + DedupSegment.chunksMax * 8 + (held + (spare == nil ? 0 : 1)) * (16 << DedupSegment.chunkBits) + risesCapacity
  }

  // MARK: Insert

  @inline(__always)
  private func start(_ hash: Hash128) -> Int { Int(truncatingIfNeeded: ((hash.low >> 32) &* UInt64(size)) >> 32) }

  @inline(__always)
  private static func tag(_ hash: Hash128) -> UInt32 { max(1, UInt32(truncatingIfNeeded: hash.low) & 0x7FF) }

  /// - Parameter place: a live one, so its chunk is there: `append` makes it, and `expire` frees it only before the head.
  @inline(__always)
  private func hash(at place: UInt32) -> Hash128 {
    // unsafelyUnwrapped: a live place's chunk is there (see the parameter), and this is the innermost line of dedup.
    chunks[Int(place) >> DedupSegment.chunkBits].unsafelyUnwrapped[Int(place) & (1 << DedupSegment.chunkBits - 1)]
  }

  @inline(__always)
  func prefetch(_ hash: Hash128) { weir_prefetch(slots + start(hash)) }

  /// Asks for the ends of the log and of the rises.
  @inline(__always)
  func warm() {
    if let chunk = chunks[Int(tail) >> DedupSegment.chunkBits] { weir_prefetch(chunk + Int(tail) & (1 << DedupSegment.chunkBits - 1)) }
    weir_prefetch(rises + risesHead)
    weir_prefetch(rises + risesTail)
  }

  /// See ``DedupIndex/insert(_:watermark:)``.
  ///
  /// What has expired matters only when an id is found that looks like this one. So ids are dropped then, and otherwise some at a
  /// time: one by one, how many there are to drop before each insert is what no branch predictor foresees.
  @inline(__always)
  func insert(_ hash: Hash128, watermark: Int64) -> Bool {
    if tail & DedupSegment.expiryMask == 0 { expire(watermark: watermark) }
    let tag = DedupSegment.tag(hash)
    var at = start(hash)
    while true {
      let slot = slots[at]
      if slot == 0 { break }
      if slot >> DedupSegment.placeBits == tag, isLive(slot & DedupSegment.placeMask, hash, watermark) { return false }
      at += 1
      if at == size { at = 0 }
    }
    slots[at] = tag << DedupSegment.placeBits | tail
    append(hash, watermark)
    return true
  }

  /// Ids are dropped at every 64th place at the latest.
  private static let expiryMask: UInt32 = 63

  /// Whether the id at `place` is `hash`, and not expired.
  private func isLive(_ place: UInt32, _ hash: Hash128, _ watermark: Int64) -> Bool {
    func holds() -> Bool {
      (place &- head) & DedupSegment.placeMask < (tail &- head) & DedupSegment.placeMask && self.hash(at: place) == hash
    }
    guard holds() else { return false }
    expire(watermark: watermark)
    return holds()
  }

  @inline(__always)
  private func append(_ hash: Hash128, _ watermark: Int64) {
    let at = Int(tail) >> DedupSegment.chunkBits
    if chunks[at] == nil {
      chunks[at] = spare ?? .allocate(capacity: 1 << DedupSegment.chunkBits)
      spare = nil
    }
    // unsafelyUnwrapped: made in the lines before, if it was not there.
    chunks[at].unsafelyUnwrapped[Int(tail) & (1 << DedupSegment.chunkBits - 1)] = hash
    if within != nil {
      if head == tail { headMark = watermark } else { rise(by: UInt64(bitPattern: watermark &- lastMark)) }
      lastMark = watermark
    }
    tail = (tail &+ 1) & DedupSegment.placeMask
    unsaved += 1
    used += 1
    if used >= usedMax { rebuild() }
  }

  @inline(__always)
  private func rise(by rise: UInt64) {
    if risesTail + 10 > risesCapacity { makeRoom() }
    var rest = rise
    while rest >= 0x80 {
      rises[risesTail] = UInt8(truncatingIfNeeded: rest) | 0x80
      risesTail += 1
      rest >>= 7
    }
    rises[risesTail] = UInt8(rest)
    risesTail += 1
  }

  /// Moves the rises to the front, into twice the room if they fill more than half of it.
  private func makeRoom() {
    let count = risesTail - risesHead
    let old = rises
    if count * 2 > risesCapacity - 10 {
      risesCapacity *= 2
      rises = .allocate(capacity: risesCapacity)
    }
    rises.update(from: old + risesHead, count: count)
    if rises != old { old.deallocate() }
    (risesHead, risesTail) = (0, count)
  }

  /// Drops what was first seen more than `within` below this watermark.
  func expire(watermark: Int64) {
    guard let within, head != tail else { return }
    // In variables of its own: a property is written back for each id.
    var (head, mark, rise) = (head, headMark, risesHead)
    while DedupIndex.isExpired(first: mark, now: watermark, within: within) {
      let chunk = Int(head) >> DedupSegment.chunkBits
      head = (head &+ 1) & DedupSegment.placeMask
      if head == tail || Int(head) >> DedupSegment.chunkBits != chunk { free(chunk) }
      guard head != tail else {
        // The next place begins a chunk that is not there; nothing live is in it.
        (risesHead, risesTail) = (0, 0)
        self.head = head
        return
      }
      mark = mark &+ Int64(bitPattern: nextRise(&rise))
    }
    (self.head, headMark, risesHead) = (head, mark, rise)
  }

  /// The head is past the chunk. The tail may continue in it: then it gets a new one.
  private func free(_ chunk: Int) {
    spare?.deallocate()
    spare = chunks[chunk]
    chunks[chunk] = nil
  }

  @inline(__always)
  private func nextRise(_ at: inout Int) -> UInt64 {
    let first = rises[at]
    at += 1
    if first < 0x80 { return UInt64(first) }
    var value = UInt64(first & 0x7F)
    var shift: UInt64 = 7
    while true {
      let byte = rises[at]
      at += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// Rebuilds the table from the live part of the log: sparse while it is small, since ids come and go and each filling costs
  /// a rebuild, dense when it is large.
  private func rebuild() {
    let live = count
    let (wanted, full): (Int, Int) =
      switch live {
      case ..<(1 << 18): (max(512, live * 3), 67)
      default: (live + live / 2, 80)
      }
    if wanted > size || wanted < size / 2 {
      slots.deallocate()
      size = wanted
      slots = .allocate(capacity: size)
    }
    slots.initialize(repeating: 0, count: size)
    usedMax = size * full / 100
    used = live
    forEachPlace { place, hash in
      var at = start(hash)
      while slots[at] != 0 {
        at += 1
        if at == size { at = 0 }
      }
      slots[at] = DedupSegment.tag(hash) << DedupSegment.placeBits | place
    }
  }

  private func forEachPlace(_ body: (UInt32, Hash128) -> Void) {
    var place = head
    while place != tail {
      body(place, hash(at: place))
      place = (place &+ 1) & DedupSegment.placeMask
    }
  }

  // MARK: All ids

  /// Calls `body` with the live ids from number `first` on, in the order in which they came, each with its watermark.
  func forEach(from first: Int = 0, _ body: (Hash128, Int64) -> Void) {
    var number = 0
    var mark = headMark
    var at = risesHead
    forEachPlace { _, hash in
      if number > 0, within != nil { mark = mark &+ Int64(bitPattern: nextRise(&at)) }
      if number >= first { body(hash, mark) }
      number += 1
    }
  }

  func markSaved() { unsaved = 0 }
  func markUnsaved(_ count: Int) { unsaved = count }
}
