import WeirTesting

/// Changes inputs at random: what libFuzzer does, without looking at the program.
struct Mutator {
  /// Inputs do not grow beyond this.
  static let bytesMax = 64 << 10

  let seeds: [[UInt8]]
  let words: [[UInt8]]
  var random: SplitMix64

  private static let numbers: [UInt64] = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, 1 << 56, 1 << 60, 1 << 62, 1 << 63,
    (1 << 63) - 1, .max, .max - 1, 0x7FF0_0000_0000_0000,
  ]
  private static let digits = [
    "0", "-1", "1", "00", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e308", "1e-400", "0.1", "4294967296",
    "99999999999999999999999999999999999999", "1e99999999999", "2147483648", "72057594037927937", "-0",
  ].map { Array($0.utf8) }

  /// A seed with one to four changes.
  mutating func next() -> [UInt8] {
    var input = seeds[random.below(seeds.count)]
    for _ in 0...random.below(4) { change(&input) }
    if input.count > Mutator.bytesMax { input.removeLast(input.count - Mutator.bytesMax) }
    return input
  }

  private mutating func change(_ input: inout [UInt8]) {
    guard !input.isEmpty else {
      input = (0..<random.below(16)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      return
    }
    let at = random.below(input.count)
    switch random.below(12) {
    case 0: input[at] ^= 1 << UInt8(random.below(8))
    case 1: input[at] = UInt8(truncatingIfNeeded: random.next())
    case 2: put(Mutator.numbers[random.below(Mutator.numbers.count)], &input)
    case 3: input.removeSubrange(at..<min(input.count, at + 1 + random.below(8)))
    case 4: input.insert(contentsOf: (0...random.below(4)).map { _ in UInt8(truncatingIfNeeded: random.next()) }, at: at)
    case 5: input.removeLast(input.count - at)
    // A part of it once more, at its place or elsewhere; sometimes many times.
    case 6:
      let part = Array(input[at..<min(input.count, at + 1 + random.below(64))])
      let times = random.below(8) == 0 ? 1 + random.below(200) : 1
      for _ in 0..<times { input.insert(contentsOf: part, at: at) }
    // A part of another seed.
    case 7:
      let other = seeds[random.below(seeds.count)]
      let from = random.below(other.count)
      let part = other[from..<min(other.count, from + 1 + random.below(64))]
      input.replaceSubrange(at..<min(input.count, at + random.below(64)), with: part)
    case 8: if !words.isEmpty { input.insert(contentsOf: words[random.below(words.count)], at: at) }
    case 9: if !words.isEmpty { replaceWord(&input, at) }
    case 10: replaceDigits(&input, at)
    default: input.swapAt(at, random.below(input.count))
    }
  }

  /// A number of one to eight bytes, in either order of bytes.
  private mutating func put(_ number: UInt64, _ input: inout [UInt8]) {
    let count = min(input.count, 1 << random.below(4))
    let at = random.below(input.count - count + 1)
    let isLittle = random.below(2) == 0
    for i in 0..<count { input[at + i] = UInt8(truncatingIfNeeded: number >> UInt64(8 * (isLittle ? i : count - 1 - i))) }
  }

  /// The next run of letters becomes another word.
  private mutating func replaceWord(_ input: inout [UInt8], _ at: Int) {
    func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) || byte == 0x5F }
    guard let start = input[at...].firstIndex(where: isLetter) else { return }
    let end = input[start...].firstIndex { !isLetter($0) } ?? input.count
    input.replaceSubrange(start..<end, with: words[random.below(words.count)])
  }

  /// The next run of digits becomes another number.
  private mutating func replaceDigits(_ input: inout [UInt8], _ at: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    guard let start = input[at...].firstIndex(where: isDigit) else { return }
    let end = input[start...].firstIndex { !isDigit($0) } ?? input.count
    input.replaceSubrange(start..<end, with: Mutator.digits[random.below(Mutator.digits.count)])
  }
}
