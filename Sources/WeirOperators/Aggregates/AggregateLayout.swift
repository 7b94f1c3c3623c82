import WeirCore

/// How the measures of a table lie in a cell: a run of 64-bit words.
///
/// Every accumulator is mergeable, and the zero words are the empty accumulator.
public struct AggregateLayout: Sendable {
  public enum Kind: Sendable {
    /// `[n]`
    case countRows, countValues
    /// `[low, high, n]`: exact Int128 sum of int64 or decimal; null while n is 0. `average`: sum / n as a double.
    case sumExact(average: Bool)
    /// `[sum, rest, n]`: double-double sum (106 bits), so that the order of records does not show in the result. With the highest bit
    /// of n clear, sum and rest are 2^-64 of the sum.
    case sumDouble(average: Bool)
    /// `[value, n]` by signed order (int64, timestamp, bool).
    case extremeInt(max: Bool)
    /// `[bits, n]`
    case extremeDouble(max: Bool)
    /// `[low, high, n]`
    case extremeDecimal(max: Bool)
    /// `[index into the cell store's strings, n]`
    case extremeString(max: Bool)

    var words: Int {
      switch self {
      case .countRows, .countValues: 1
      case .extremeInt, .extremeDouble, .extremeString: 2
      case .sumExact, .sumDouble, .extremeDecimal: 3
      }
    }
  }

  public struct Slot: Sendable {
    public var kind: Kind
    /// First word of the measure in the cell.
    public var word: Int
    public var argumentType: ColumnType?
    public var resultType: ColumnType
  }

  public let slots: [Slot]
  /// Words a cell.
  public let stride: Int
  /// A measure keeps values outside of the cell.
  let hasStrings: Bool
  /// A result may be out of range.
  let hasDoubleSums: Bool
  /// Merging gives the same result in any order, to the last bit. Sums of doubles may differ in it, and extremes where one is no number.
  public let isExact: Bool

  public init(_ measures: [Measure]) {
    var word = 0
    slots = measures.map { measure in
      let slot = Slot(
        kind: AggregateLayout.kind(measure), word: word, argumentType: measure.argument?.type, resultType: measure.type)
      word += slot.kind.words
      return slot
    }
    stride = max(word, 1)
    hasDoubleSums = slots.contains { if case .sumDouble = $0.kind { true } else { false } }
    isExact = slots.allSatisfy { slot in
      switch slot.kind {
      case .sumDouble, .extremeDouble: false
      default: true
      }
    }
    hasStrings = slots.contains { if case .extremeString = $0.kind { true } else { false } }
  }

  private static func kind(_ measure: Measure) -> Kind {
    switch measure.function {
    case .count: return measure.argument == nil ? .countRows : .countValues
    case .sum, .avg:
      let average = measure.function == .avg
      return measure.argument?.type == .double ? .sumDouble(average: average) : .sumExact(average: average)
    case .min, .max:
      let max = measure.function == .max
      switch measure.argument?.type {
      case .double: return .extremeDouble(max: max)
      case .decimal: return .extremeDecimal(max: max)
      case .string, .binary: return .extremeString(max: max)
      default: return .extremeInt(max: max)
      }
    }
  }
}
