import WeirCore

/// An aggregate function of measures: `sum(x)`. A new one is a file in `Functions`, and a line in ``AggregateFunctions/all``.
package protocol AggregateFunction: Sendable {
  /// As a measure names it; lower case.
  var name: Measure.Function { get }
  /// `name()` and `name(*)` fold rows; else an argument is needed.
  var takesRows: Bool { get }
  /// The type that an argument without one (`null`) is given; nil: it stays as it is.
  var typeOfNull: ColumnType? { get }
  /// The type of the result.
  /// - Parameter argument: the argument's type; nil for rows.
  /// - Throws: with the reason, where the function does not take the type.
  func result(of argument: ColumnType?) throws(ExpressionError) -> ColumnType
  /// What a cell keeps.
  /// - Parameter argument: a type that ``result(of:)`` takes.
  func accumulator(of argument: ColumnType?) -> any Accumulator
}

extension AggregateFunction {
  package var takesRows: Bool { false }
  package var typeOfNull: ColumnType? { nil }
}

/// Every aggregate function that a measure may name.
package enum AggregateFunctions {
  package static let all: [any AggregateFunction] = [
    CountFunction(), SumFunction(), ExtremeFunction(max: false), ExtremeFunction(max: true), AverageFunction(),
  ]

  package static func named(_ name: Measure.Function) -> (any AggregateFunction)? { all.first { $0.name == name } }
}
