import WeirCore

/// When a dictionary is worth its price.
enum DictionaryPolicy {
  /// Larger dictionaries are given up: they no longer fit the caches of a reader.
  static let maxBytes = 1 << 20
  static let firstLook = 4096
  static let secondLook = 16384

  /// Whether `distinct` values among the first `rows` of the chunk are few enough to continue.
  ///
  /// The share of new values only falls, so the first look is lenient: 10,000 prices are 82 % distinct at 4096 rows.
  static func isWorthIt(distinct: Int, rows: Int) -> Bool {
    rows < secondLook ? distinct * 8 <= rows * 7 : distinct * 2 <= rows
  }
}

/// Fixed-width values numbered by their first appearance: open addressing, at most half full.
struct ValueTable<Value: FixedValue>: ~Copyable {
  private(set) var keys = Buffer<Value>(capacity: 512)
  // Index + 1; 0 is free.
  private var slots = Buffer<UInt32>(repeating: 0, count: 1024)
  private var mask = 1023

  var count: Int { keys.count }

  /// The numbers of `values`, written to `out`.
  mutating func lookUp(_ values: UnsafePointer<Value>, count n: Int, into out: UnsafeMutablePointer<UInt32>) {
    if (keys.count + n) * 2 > mask { grow(for: n) }
    keys.reserve(n)
    let slots = slots.base
    let known = keys.base
    let mask = mask
    var distinct = keys.count
    for i in 0..<n {
      let value = values[i]
      var at = Int(truncatingIfNeeded: value.mixed) & mask
      while true {
        let slot = slots[at]
        if slot == 0 {
          known[distinct] = value
          out[i] = UInt32(truncatingIfNeeded: distinct)
          distinct += 1
          slots[at] = UInt32(truncatingIfNeeded: distinct)
          break
        }
        if Value.isSame(known[Int(slot - 1)], value) {
          out[i] = slot - 1
          break
        }
        at = (at + 1) & mask
      }
    }
    keys.count = distinct
  }

  private mutating func grow(for more: Int) {
    var size = mask + 1
    while (keys.count + more) * 2 >= size { size *= 2 }
    slots = Buffer(repeating: 0, count: size)
    mask = size - 1
    for i in 0..<keys.count {
      var at = Int(truncatingIfNeeded: keys.base[i].mixed) & mask
      while slots.base[at] != 0 { at = (at + 1) & mask }
      slots.base[at] = UInt32(i + 1)
    }
  }

  mutating func removeAll() {
    keys.removeAll()
    slots.base.update(repeating: 0, count: mask + 1)
  }
}

/// Byte strings numbered by their first appearance.
struct BytesTable: ~Copyable {
  /// The values as a PLAIN page: each its length in 4 bytes and its bytes.
  private(set) var plain = Buffer<UInt8>(capacity: 4096)
  private var offsets = Buffer<UInt32>(capacity: 512)
  // High half of the hash, index + 1; 0 is free.
  private var slots = Buffer<UInt64>(repeating: 0, count: 1024)
  private var hashes = Buffer<UInt64>(capacity: 512)
  private var mask = 1023

  var count: Int { offsets.count }

  /// Value `index`; valid until the next one is added.
  @inline(__always) subscript(index: Int) -> StringRef {
    let at = UnsafeRawPointer(plain.base + Int(offsets.base[index]))
    let length = Int(UInt32(littleEndian: at.loadUnaligned(as: UInt32.self)))
    return StringRef(start: (at + 4).assumingMemoryBound(to: UInt8.self), count: length)
  }

  /// The number of `value`.
  @inline(__always) mutating func lookUp(_ value: StringRef) -> UInt32 {
    let hash = value.mixed
    let tag = hash & 0xFFFF_FFFF_0000_0000
    var at = Int(truncatingIfNeeded: hash) & mask
    while true {
      let slot = slots.base[at]
      if slot == 0 { return add(value, hash: hash, at: at) }
      let index = UInt32(truncatingIfNeeded: slot) - 1
      if slot & 0xFFFF_FFFF_0000_0000 == tag && self[Int(index)] == value { return index }
      at = (at + 1) & mask
    }
  }

  private mutating func add(_ value: StringRef, hash: UInt64, at: Int) -> UInt32 {
    let index = UInt32(offsets.count)
    slots.base[at] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(index + 1)
    offsets.append(UInt32(plain.count))
    hashes.append(hash)
    plain.append(littleEndian: UInt32(value.count))
    plain.append(value.start, count: value.count)
    if offsets.count * 2 > mask { grow() }
    return index
  }

  private mutating func grow() {
    let size = (mask + 1) * 4
    slots = Buffer(repeating: 0, count: size)
    mask = size - 1
    for i in 0..<hashes.count {
      let hash = hashes.base[i]
      var at = Int(truncatingIfNeeded: hash) & mask
      while slots.base[at] != 0 { at = (at + 1) & mask }
      slots.base[at] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(i + 1)
    }
  }

  mutating func removeAll() {
    plain.removeAll()
    offsets.removeAll()
    hashes.removeAll()
    slots.base.update(repeating: 0, count: mask + 1)
  }
}

extension StringRef {
  /// A hash for tables of this module. All bytes take part.
  @inline(__always) var mixed: UInt64 {
    if count > 16 { return Hash128(self).low }
    let (head, tail) = ends
    var h = (head ^ (UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15)) &* 0xff51_afd7_ed55_8ccd
    h ^= h >> 32
    h = (h ^ tail) &* 0xc4ce_b9fe_1a85_ec53
    h ^= h >> 29
    h = h &* 0x9e37_79b9_7f4a_7c15
    return h ^ (h >> 32)
  }

  /// The first and the last 8 bytes of at most 16; shorter strings give overlapping or zero-filled ones.
  @inline(__always) private var ends: (UInt64, UInt64) {
    let raw = UnsafeRawPointer(start)
    if count >= 8 { return (raw.loadUnaligned(as: UInt64.self), (raw + (count - 8)).loadUnaligned(as: UInt64.self)) }
    if count >= 4 {
      return (UInt64(raw.loadUnaligned(as: UInt32.self)), UInt64((raw + (count - 4)).loadUnaligned(as: UInt32.self)))
    }
    if count == 0 { return (0, 0) }
    return (UInt64(start[0]) | UInt64(start[count / 2]) << 8, UInt64(start[count - 1]))
  }

  /// The first 8 bytes as a number that sorts like them; shorter strings as if zeros followed.
  @inline(__always) var prefix: UInt64 {
    let raw = UnsafeRawPointer(start)
    if count >= 8 { return raw.loadUnaligned(as: UInt64.self).bigEndian }
    if count >= 4 {
      let head = UInt64(raw.loadUnaligned(as: UInt32.self).bigEndian) << 32
      let tail = UInt64((raw + (count - 4)).loadUnaligned(as: UInt32.self).bigEndian)
      return head | tail << UInt64(64 - 8 * count)
    }
    var result: UInt64 = 0
    for i in 0..<count { result |= UInt64(start[i]) << UInt64(56 - 8 * i) }
    return result
  }
}
