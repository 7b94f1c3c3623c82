import WeirCore

/// 128-bit identities of rows over one or several columns. Equal values hash equal, null is a value of its own, and
/// column borders count: ("a", "bc") is not ("ab", "c").
enum RowHash {
  private static let null = Hash128(low: 0x9E37_79B9_7F4A_7C15, high: 0xD1B5_4A32_D192_ED03)

  /// - Parameter mask: rows that are wanted; the others' hashes mean nothing.
  static func hash(_ columns: [Column], count: Int, mask: [Bool]? = nil) -> [Hash128] {
    guard let first = columns.first else { return [Hash128](repeating: null, count: count) }
    var hashes = column(first, count: count, mask)
    for next in columns.dropFirst() {
      let other = column(next, count: count, mask)
      for i in 0..<count { hashes[i] = pair(hashes[i], other[i]) }
    }
    return hashes
  }

  /// Both are random already, so it takes no hash function to mix them: each half of the result is a product of 128 bits,
  /// folded, over halves of both (Lemire and Kaser's multilinear hashing; wyhash folds likewise), plus a rotated half, so that
  /// a factor that happens to be zero hides nothing.
  @inline(__always)
  static func pair(_ a: Hash128, _ b: Hash128) -> Hash128 {
    func fold(_ x: UInt64, _ y: UInt64) -> UInt64 {
      let (high, low) = x.multipliedFullWidth(by: y)
      return high ^ low
    }
    func turn(_ x: UInt64, _ n: UInt64) -> UInt64 { x << n | x >> (64 - n) }
    let low = fold(a.low ^ 0xA076_1D64_78BD_642F, b.low ^ 0xE703_7ED1_A0B4_28DB) ^ turn(a.high, 23) &+ b.high
    let high = fold(a.high ^ 0x8EBC_6AF0_9C88_C6E3, b.high ^ 0x5899_65CC_7537_4CC3) ^ turn(a.low, 41) &+ b.low
    return Hash128(low: low, high: high)
  }

  private static func column(_ column: Column, count: Int, _ mask: [Bool]?) -> [Hash128] {
    var out = values(column, count: count, mask)
    if let validity = column.validity { for i in 0..<count where !validity[i] { out[i] = null } }
    return out
  }

  private static func values(_ column: Column, count: Int, _ mask: [Bool]?) -> [Hash128] {
    func each(_ hash: (Int) -> Hash128) -> [Hash128] {
      guard let mask else { return (0..<count).map(hash) }
      return (0..<count).map { mask[$0] ? hash($0) : null }
    }
    func bytes<T>(_ value: T) -> Hash128 { withUnsafeBytes(of: value) { Hash128($0, seed: 1) } }
    switch column.values {
    case .string(let v): return each { Hash128(v[$0], seed: 1) }
    case .int64(let v): return each { bytes(v[$0]) }
    case .double(let v): return each { bytes(v[$0] == 0 ? 0.0 : v[$0]) }
    case .decimal(let v): return each { bytes(v[$0]) }
    case .bool(let v): return each { bytes(v[$0] ? UInt8(1) : 0) }
    }
  }
}
