import CWeirPrefetch
import WeirCore

/// Encoded keys (``StateKey``) by group number.
struct GroupKeys: Sendable {
  private var ends: [Int] = []
  private var bytes: [UInt8] = []

  subscript(group: Int) -> ArraySlice<UInt8> { bytes[(group == 0 ? 0 : ends[group - 1])..<ends[group]] }

  var count: Int { ends.count }

  /// Bytes held.
  var byteCount: Int { bytes.capacity + ends.capacity * 8 }

  mutating func append(_ key: [UInt8]) {
    bytes += key
    ends.append(bytes.count)
  }
}

/// Interns group keys: 128-bit hash to a dense group number, in order of first appearance.
///
/// The hash is the identity; the encoded key (``StateKey``) is kept once a group, for rows and blobs.
package final class GroupTable {
  /// Group + 1 in the low half, upper hash bits above; 0 is free. At most half full.
  private var slots: UnsafeMutablePointer<UInt64>
  /// Slots less one; their number is a power of two.
  private var mask: Int
  private var hashes: UnsafeMutablePointer<Hash128>
  package private(set) var count = 0
  /// By group.
  private(set) var keys = GroupKeys()

  package init() {
    mask = 255
    slots = .allocate(capacity: mask + 1)
    slots.initialize(repeating: 0, count: mask + 1)
    hashes = allocated((mask + 1) / 2)
  }

  deinit {
    slots.deallocate()
    free(hashes)
  }

  /// Bytes held.
  package var byteCount: Int { (mask + 1) * 16 + keys.byteCount }

  package func hash(of group: Int) -> Hash128 {
    precondition(group >= 0 && group < count, "no such group")
    return hashes[group]
  }

  package func key(of group: Int) -> ArraySlice<UInt8> { keys[group] }

  /// The group of `hash`, made with `key()` if it is new.
  @inline(__always)
  package func intern(_ hash: Hash128, key: () -> [UInt8]) -> Int {
    let group = find(hash)
    return group >= 0 ? group : insert(hash, key: key())
  }

  /// Call it some rows ahead of ``intern(_:key:)``: the table may be larger than the caches.
  @inline(__always)
  package func prefetch(_ hash: Hash128) { weir_prefetch(slots + Int(truncatingIfNeeded: hash.low) & mask) }

  /// Once the slot is in the cache: prefetches the entry that it most probably names. Its group, or -1.
  @inline(__always)
  func prefetchEntry(_ hash: Hash128) -> Int {
    let slot = slots[Int(truncatingIfNeeded: hash.low) & mask]
    guard slot != 0 else { return -1 }
    let group = Int(slot & 0xFFFF_FFFF) - 1
    weir_prefetch(hashes + group)
    return group
  }

  /// -1 if there is none.
  @inline(__always)
  private func find(_ hash: Hash128) -> Int {
    let tag = hash.high | 0xFFFF_FFFF
    var at = Int(truncatingIfNeeded: hash.low) & mask
    while true {
      let slot = slots[at]
      if slot == 0 { return -1 }
      if slot | 0xFFFF_FFFF == tag {
        let group = Int(slot & 0xFFFF_FFFF) - 1
        if hashes[group] == hash { return group }
      }
      at = (at + 1) & mask
    }
  }

  private func insert(_ hash: Hash128, key: [UInt8]) -> Int {
    if (count + 1) * 2 > mask + 1 { grow() }
    let group = count
    hashes[group] = hash
    count += 1
    keys.append(key)
    place(hash, group)
    return group
  }

  private func place(_ hash: Hash128, _ group: Int) {
    var at = Int(truncatingIfNeeded: hash.low) & mask
    while slots[at] != 0 { at = (at + 1) & mask }
    slots[at] = (hash.high & ~0xFFFF_FFFF) | UInt64(group + 1)
  }

  private func grow() {
    let size = (mask + 1) * 2
    mask = size - 1
    slots.deallocate()
    slots = .allocate(capacity: size)
    slots.initialize(repeating: 0, count: size)
    hashes = resized(hashes, size / 2)
    for group in 0..<count { place(hashes[group], group) }
  }
}
