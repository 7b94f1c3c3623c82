import WeirCore

/// 128-bit identities of rows over one or several columns. Equal values hash equal, null is a value of its own, and
/// column borders count: ("a", "bc") is not ("ab", "c").
enum RowHash {
  private static let null = Hash128(low: 0x9E37_79B9_7F4A_7C15, high: 0xD1B5_4A32_D192_ED03)

  static func hash(_ columns: [Column], count: Int) -> [Hash128] {
    guard let first = columns.first else { return [Hash128](repeating: null, count: count) }
    var hashes = column(first, count: count)
    for next in columns.dropFirst() { combine(&hashes, column(next, count: count)) }
    return hashes
  }

  static func combine(_ into: inout [Hash128], _ other: [Hash128]) {
    for i in 0..<into.count { into[i] = pair(into[i], other[i]) }
  }

  @inline(__always)
  static func pair(_ a: Hash128, _ b: Hash128) -> Hash128 {
    withUnsafeBytes(of: (a.low, a.high, b.low, b.high)) { Hash128($0, seed: 2) }
  }

  private static func column(_ column: Column, count: Int) -> [Hash128] {
    var out = values(column, count: count)
    if let validity = column.validity { for i in 0..<count where !validity[i] { out[i] = null } }
    return out
  }

  private static func values(_ column: Column, count: Int) -> [Hash128] {
    func hash<T>(_ values: [T]) -> [Hash128] {
      values.map { value in withUnsafeBytes(of: value) { Hash128($0, seed: 1) } }
    }
    switch column.values {
    case .string(let v): return v.map { Hash128($0, seed: 1) }
    case .int64(let v): return hash(v)
    case .double(let v): return hash(v.map { $0 == 0 ? 0.0 : $0 })
    case .decimal(let v): return hash(v)
    case .bool(let v): return hash(v.map { $0 ? UInt8(1) : 0 })
    }
  }
}
