import WeirCore

/// Interns group keys: 128-bit hash to a dense group number, in order of first appearance.
///
/// The hash is the identity; the encoded key (``StateKey``) is kept once a group, for rows and blobs.
public final class GroupTable {
  /// Group + 1 in the low half, upper hash bits above; 0 is free. Power of two, at most half full.
  private var slots: [UInt64]
  private var hashes: [Hash128] = []
  private var keyEnd: [Int] = []
  private var keyBytes: [UInt8] = []

  public init() { slots = [UInt64](repeating: 0, count: 256) }

  public var count: Int { hashes.count }

  public func hash(of group: Int) -> Hash128 { hashes[group] }

  public func key(of group: Int) -> ArraySlice<UInt8> { keyBytes[(group == 0 ? 0 : keyEnd[group - 1])..<keyEnd[group]] }

  /// The group of `hash`, made with `key()` if it is new.
  @inline(__always)
  public func intern(_ hash: Hash128, key: () -> [UInt8]) -> Int {
    if let group = find(hash) { return group }
    return insert(hash, key: key())
  }

  @inline(__always)
  public func find(_ hash: Hash128) -> Int? {
    let tag = hash.high | 0xFFFF_FFFF
    let mask = slots.count - 1
    var at = Int(truncatingIfNeeded: hash.low) & mask
    while true {
      let slot = slots[at]
      if slot == 0 { return nil }
      if slot | 0xFFFF_FFFF == tag {
        let group = Int(slot & 0xFFFF_FFFF) - 1
        if hashes[group] == hash { return group }
      }
      at = (at + 1) & mask
    }
  }

  private func insert(_ hash: Hash128, key: [UInt8]) -> Int {
    if (hashes.count + 1) * 2 > slots.count { grow() }
    let group = hashes.count
    hashes.append(hash)
    keyBytes += key
    keyEnd.append(keyBytes.count)
    place(hash, group)
    return group
  }

  private func place(_ hash: Hash128, _ group: Int) {
    let mask = slots.count - 1
    var at = Int(truncatingIfNeeded: hash.low) & mask
    while slots[at] != 0 { at = (at + 1) & mask }
    slots[at] = (hash.high & ~0xFFFF_FFFF) | UInt64(group + 1)
  }

  private func grow() {
    slots = [UInt64](repeating: 0, count: slots.count * 2)
    for group in 0..<hashes.count { place(hashes[group], group) }
  }
}
