/// Numbers that depend on seed, stream and event alone: event `i` can be made again at any time (a duplicate is that), and
/// another version of this program makes the same (SplitMix64; Steele, Lea, Flood 2014).
struct SeededRandom {
  private var state: UInt64

  /// - Parameter purpose: keeps the draws of one event for different purposes apart.
  init(seed: UInt64, purpose: UInt64, event: Int64) {
    state = SeededRandom.mix(seed &+ SeededRandom.mix(purpose &* 0xD6E8_FEB8_6659_FD93 &+ UInt64(bitPattern: event)))
  }

  private static func mix(_ x: UInt64) -> UInt64 {
    var z = x
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return SeededRandom.mix(state)
  }

  /// Below `n`, each as likely (the multiplication's error is below n / 2^64).
  mutating func below(_ n: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(n)).high) }

  mutating func chance(_ share: Double) -> Bool { Double(next() >> 11) * 0x1p-53 < share }
}

/// JSON text being written, without a detour by strings.
struct LineWriter {
  var bytes: [UInt8] = []

  mutating func add(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func add(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// - Parameter digits: the least number, filled up with zeros.
  mutating func add(_ value: Int, digits: Int = 1) {
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    var rest = value.magnitude
    let start = bytes.count
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    while bytes.count - start < digits { bytes.append(UInt8(ascii: "0")) }
    bytes[start...].reverse()
  }

  /// Hundredths as a decimal number.
  mutating func add(hundredths: Int) {
    add(hundredths / 100)
    bytes.append(UInt8(ascii: "."))
    add(hundredths % 100, digits: 2)
  }

  /// A UUID's form, of 128 bits.
  mutating func add(uuid high: UInt64, _ low: UInt64) {
    for i in 0..<32 {
      if i == 8 || i == 12 || i == 16 || i == 20 { bytes.append(UInt8(ascii: "-")) }
      let nibble = UInt8(truncatingIfNeeded: (i < 16 ? high >> UInt64(60 - 4 * i) : low >> UInt64(124 - 4 * i)) & 15)
      bytes.append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10)
    }
  }
}
