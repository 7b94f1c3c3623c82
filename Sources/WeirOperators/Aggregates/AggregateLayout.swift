import WeirCore

/// How the measures of a table are stored in a cell: each measure's accumulator has a run of 64-bit words.
package struct AggregateLayout: Sendable {
  struct Slot: Sendable {
    let accumulator: any Accumulator
    /// First word of the measure in the cell.
    let word: Int
  }

  let slots: [Slot]
  /// By measure: the type of its argument; nil for rows.
  package let argumentTypes: [ColumnType?]
  /// Number of measures.
  package var count: Int { slots.count }
  /// Words a cell.
  package let stride: Int
  /// A measure keeps values outside of the cell.
  let keepsValuesOutside: Bool
  /// A result may be out of range.
  let mayBeOutOfRange: Bool
  /// Merging gives the same result in any order, to the last bit. Sums of doubles may differ in it, and extremes where one is NaN.
  package let isExact: Bool

  /// - Precondition: each measure's function is registered, and takes its argument: `PlanBuilder` refuses others.
  package init(_ measures: [Measure]) {
    argumentTypes = measures.map { $0.argument?.type }
    var word = 0
    slots = measures.map { measure in
      guard let function = AggregateFunctions.named(measure.function) else {
        preconditionFailure("no aggregate function is named \(measure.function.rawValue): a plan with one is refused")
      }
      let slot = Slot(accumulator: function.accumulator(of: measure.argument?.type), word: word)
      assert(slot.accumulator.words > 0, "an accumulator without words")
      word += slot.accumulator.words
      return slot
    }
    stride = max(word, 1)
    keepsValuesOutside = slots.contains { $0.accumulator.keepsValuesOutside }
    mayBeOutOfRange = slots.contains { $0.accumulator.mayBeOutOfRange }
    isExact = slots.allSatisfy { $0.accumulator.isExact }
  }
}
