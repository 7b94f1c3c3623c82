import WeirCore

/// Kafka's hash of keys: MurmurHash2, 32 bit, seed 0x9747b28c, as in Kafka's `Utils.murmur2`.
@inline(__always)
package func murmur2(_ key: UnsafeBufferPointer<UInt8>) -> UInt32 {
  let m: UInt32 = 0x5BD1_E995
  let count = key.count
  var h: UInt32 = 0x9747_B28C ^ UInt32(truncatingIfNeeded: count)
  let base = UnsafeRawPointer(key.baseAddress)
  var at = 0
  while at + 4 <= count, let base {
    var k = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt32.self)) &* m
    k ^= k >> 24
    h = (h &* m) ^ (k &* m)
    at += 4
  }
  let rest = count - at
  if count >= 4, let base {
    // The last four bytes, of which those that are hashed already are shifted out: no jump depends on how many they are.
    let last = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
    let mixed = (h ^ last >> UInt32(32 - 8 * rest)) &* m
    h = rest == 0 ? h : mixed
  } else {
    if rest >= 3 { h ^= UInt32(key[at + 2]) << 16 }
    if rest >= 2 { h ^= UInt32(key[at + 1]) << 8 }
    if rest >= 1 { h = (h ^ UInt32(key[at])) &* m }
  }
  h ^= h >> 13
  h = h &* m
  return h ^ (h >> 15)
}

/// MD5 (RFC 1321) as a big-endian number: Kinesis's hash key of a partition key.
package enum MD5 {
  private static let shifts: [UInt32] = [
    7, 12, 17, 22, 7, 12, 17, 22, 7, 12, 17, 22, 7, 12, 17, 22, 5, 9, 14, 20, 5, 9, 14, 20, 5, 9, 14, 20, 5, 9, 14, 20,
    4, 11, 16, 23, 4, 11, 16, 23, 4, 11, 16, 23, 4, 11, 16, 23, 6, 10, 15, 21, 6, 10, 15, 21, 6, 10, 15, 21, 6, 10, 15, 21,
  ]
  /// floor(2^32 × |sin(i + 1)|), the table T of RFC 1321 section 3.4.
  private static let sines: [UInt32] = [
    0xD76A_A478, 0xE8C7_B756, 0x2420_70DB, 0xC1BD_CEEE, 0xF57C_0FAF, 0x4787_C62A, 0xA830_4613, 0xFD46_9501,
    0x6980_98D8, 0x8B44_F7AF, 0xFFFF_5BB1, 0x895C_D7BE, 0x6B90_1122, 0xFD98_7193, 0xA679_438E, 0x49B4_0821,
    0xF61E_2562, 0xC040_B340, 0x265E_5A51, 0xE9B6_C7AA, 0xD62F_105D, 0x0244_1453, 0xD8A1_E681, 0xE7D3_FBC8,
    0x21E1_CDE6, 0xC337_07D6, 0xF4D5_0D87, 0x455A_14ED, 0xA9E3_E905, 0xFCEF_A3F8, 0x676F_02D9, 0x8D2A_4C8A,
    0xFFFA_3942, 0x8771_F681, 0x6D9D_6122, 0xFDE5_380C, 0xA4BE_EA44, 0x4BDE_CFA9, 0xF6BB_4B60, 0xBEBF_BC70,
    0x289B_7EC6, 0xEAA1_27FA, 0xD4EF_3085, 0x0488_1D05, 0xD9D4_D039, 0xE6DB_99E5, 0x1FA2_7CF8, 0xC4AC_5665,
    0xF429_2244, 0x432A_FF97, 0xAB94_23A7, 0xFC93_A039, 0x655B_59C3, 0x8F0C_CC92, 0xFFEF_F47D, 0x8584_5DD1,
    0x6FA8_7E4F, 0xFE2C_E6E0, 0xA301_4314, 0x4E08_11A1, 0xF753_7E82, 0xBD3A_F235, 0x2AD7_D2BB, 0xEB86_D391,
  ]

  package static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt128 {
    var message = Array(bytes)
    message.append(0x80)
    while message.count % 64 != 56 { message.append(0) }
    withUnsafeBytes(of: (UInt64(bytes.count) &* 8).littleEndian) { message.append(contentsOf: $0) }
    var state: (UInt32, UInt32, UInt32, UInt32) = (0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476)
    message.withUnsafeBytes { raw in
      for chunk in stride(from: 0, to: raw.count, by: 64) { round(&state, raw, chunk) }
    }
    var out: UInt128 = 0
    for word in [state.0, state.1, state.2, state.3] { out = out << 32 | UInt128(word.byteSwapped) }
    return out
  }

  private static func round(_ state: inout (UInt32, UInt32, UInt32, UInt32), _ raw: UnsafeRawBufferPointer, _ chunk: Int) {
    var (a, b, c, d) = state
    for i in 0..<64 {
      let f: UInt32
      let g: Int
      switch i >> 4 {
      case 0: (f, g) = ((b & c) | (~b & d), i)
      case 1: (f, g) = ((d & b) | (~d & c), (5 * i + 1) & 15)
      case 2: (f, g) = (b ^ c ^ d, (3 * i + 5) & 15)
      default: (f, g) = (c ^ (b | ~d), (7 * i) & 15)
      }
      let word = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: chunk + g * 4, as: UInt32.self))
      let sum = a &+ f &+ sines[i] &+ word
      (a, d, c) = (d, c, b)
      b = b &+ (sum << shifts[i] | sum >> (32 - shifts[i]))
    }
    state = (state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d)
  }
}

/// Deals keys over lanes: the one place that knows which lane a key belongs to.
package struct LaneDealer: Sendable {
  package let dealing: Dealing
  package let count: Int
  /// 2^64 / count, rounded up.
  private let reciprocal: UInt64
  /// floor(2^128 / count); not used for one lane.
  private let width: UInt128

  package init(_ dealing: Dealing, lanes: Int) {
    precondition(lanes >= 1 && lanes <= 65_535, "1 to 65,535 lanes")
    self.dealing = dealing
    count = lanes
    reciprocal = lanes == 1 ? 0 : UInt64.max / UInt64(lanes) + 1
    let (quotient, rest) = UInt128.max.quotientAndRemainder(dividingBy: UInt128(lanes))
    // 2^128 itself is one more than the largest number.
    width = lanes > 1 && rest == UInt128(lanes - 1) ? quotient + 1 : quotient
  }

  /// `hash % count`, by two multiplications instead of a division (Lemire, Kaser and Kurz, "Faster remainder by direct computation",
  /// 2019: exact for all 32-bit numbers).
  @inline(__always)
  private func remainder(_ hash: UInt32) -> Int {
    Int(truncatingIfNeeded: (reciprocal &* UInt64(hash)).multipliedFullWidth(by: UInt64(count)).high)
  }

  @inline(__always)
  package func lane(of key: StringRef) -> Int {
    if count == 1 { return 0 }
    switch dealing {
    case .murmur2: return remainder(UInt32(truncatingIfNeeded: murmur2(key.bytes)) & 0x7FFF_FFFF)
    case .md5: return lane(ofHash: MD5.hash(key.bytes))
    }
  }

  /// Kinesis splits 2^128 into equal ranges: lane i begins at `i * floor(2^128 / count)`, the last one takes the rest.
  private func lane(ofHash hash: UInt128) -> Int { min(Int(hash / width), count - 1) }

  /// First and last hash of a lane's range (`md5` only).
  package func hashRange(_ lane: Int) -> (UInt128, UInt128) {
    (UInt128(lane) * width, lane == count - 1 ? UInt128.max : UInt128(lane + 1) * width - 1)
  }

  /// The lane of every key; a null key is partitioned as the empty key.
  package func lanes(of keys: Column, count rows: Int) -> [UInt16] {
    guard count > 1, case .string(let values) = keys.values else { return [UInt16](repeating: 0, count: rows) }
    return [UInt16](unsafeUninitializedCapacity: rows) { lanes, filled in
      values.withUnsafeBufferPointer { values in
        for row in 0..<rows { lanes[row] = UInt16(truncatingIfNeeded: lane(of: values[row])) }
      }
      if let validity = keys.validity { for row in 0..<rows where !validity[row] { lanes[row] = UInt16(lane(of: .empty)) } }
      filled = rows
    }
  }
}
