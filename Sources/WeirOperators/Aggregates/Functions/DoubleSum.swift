import WeirCore

/// `[sum, rest, n]`: double-double sum (106 bits), so that the order of records does not show in the result.
///
/// A sum that became larger than ``large`` is kept as 2^-64 of itself: no order of up to 2^62 values leaves the range on the way, so the
/// sum is out of range only if the total is. All others are kept as they are, since a small part of them would leave the range at its
/// lower end. The highest bit of the count distinguishes the two; cells of older versions are all scaled.
struct DoubleSum: Accumulator {
  let isAverage: Bool
  var words: Int { 3 }
  var isExact: Bool { false }
  var mayBeOutOfRange: Bool { true }

  private static let scale = Double(sign: .plus, exponent: -64, significand: 1)
  private static let large = Double(sign: .plus, exponent: 1000, significand: 1)
  private static let isPlain: UInt64 = 1 << 63

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument, case .double(let values) = argument.values else { return }
    cells.forEach(values, argument.validity) { DoubleSum.add($0.words, $1, 0, 1) }
  }

  /// Double-double addition (Dekker, Knuth's TwoSum): the pair carries 106 bits of the sum.
  @inline(__always)
  private static func add(_ words: UnsafeMutablePointer<UInt64>, _ value: Double, _ valueRest: Double, _ n: UInt64) {
    let count = words[2]
    let a = Double(bitPattern: words[0])
    // Two numbers below `large` cannot leave the range; a NaN is not below it.
    guard count == 0 || count & isPlain != 0, abs(a) < large, abs(value) < large else {
      return addLarge(words, value * scale, valueRest * scale, n)
    }
    let (high, low) = sum(a, Double(bitPattern: words[1]), value, valueRest)
    words[0] = high.bitPattern
    words[1] = low.bitPattern
    words[2] = (count | isPlain) + n
  }

  @inline(__always)
  private static func sum(_ a: Double, _ aRest: Double, _ b: Double, _ bRest: Double) -> (high: Double, low: Double) {
    let s = a + b
    let c = s - a
    let error = (a - (s - c)) + (b - c)
    let low = aRest + bRest + (error.isNaN ? 0 : error)
    let high = s + low
    return (high, high.isFinite ? low - (high - s) : 0)
  }

  /// - Parameters: scaled.
  @inline(never)
  private static func addLarge(_ words: UnsafeMutablePointer<UInt64>, _ value: Double, _ valueRest: Double, _ n: UInt64) {
    let count = words[2]
    let factor = count & isPlain != 0 ? scale : 1
    let (high, low) = sum(Double(bitPattern: words[0]) * factor, Double(bitPattern: words[1]) * factor, value, valueRest)
    let isSmall = abs(high) < large * scale
    words[0] = (isSmall ? high / scale : high).bitPattern
    words[1] = (isSmall ? low / scale : low).bitPattern
    words[2] = (count & ~isPlain) + n | (isSmall ? isPlain : 0)
  }

  func merge(_ cell: Cell, with other: Cell) {
    let n = count(other)
    guard n > 0 else { return }
    let (high, low) = (Double(bitPattern: other.words[0]), Double(bitPattern: other.words[1]))
    if other.words[2] & DoubleSum.isPlain != 0 {
      DoubleSum.add(cell.words, high, low, n)
    } else {
      DoubleSum.addLarge(cell.words, high, low, n)
    }
  }

  func count(_ cell: Cell) -> UInt64 { cell.words[2] & ~DoubleSum.isPlain }

  func result(_ cell: Cell) -> Literal {
    guard let value = value(cell), value.isFinite else { return .null }
    return .double(value)
  }

  func isOutOfRange(_ cell: Cell) -> Bool { value(cell)?.isFinite == false }

  /// Sum or mean, which may be no finite number; nil without values.
  private func value(_ cell: Cell) -> Double? {
    let n = count(cell)
    guard n > 0 else { return nil }
    let (high, low) = (Double(bitPattern: cell.words[0]), Double(bitPattern: cell.words[1]))
    let result = isAverage ? Averages.mean(high, low, count: n) : high + low
    return cell.words[2] & DoubleSum.isPlain != 0 ? result : result / DoubleSum.scale
  }
}
