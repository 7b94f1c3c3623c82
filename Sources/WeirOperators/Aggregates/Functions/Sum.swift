import WeirCore

/// `sum(x)`: exact for int64 and decimals, and for doubles independent of the order of records.
struct SumFunction: AggregateFunction {
  var name: Measure.Function { .sum }
  var typeOfNull: ColumnType? { .int64 }

  func result(of argument: ColumnType?) throws(ExpressionError) -> ColumnType {
    switch try Summing.checked(argument, name) {
    case .double: .double
    case .decimal(_, let scale): .decimal(precision: 38, scale: scale)
    default: .decimal(precision: 38, scale: 0)
    }
  }

  func accumulator(of argument: ColumnType?) -> any Accumulator {
    if argument == .double { return DoubleSum(isAverage: false) }
    return ExactSum(scale: Summing.scale(argument), isAverage: false)
  }
}

/// `avg(x)`: the sum over the number of values, rounded once.
struct AverageFunction: AggregateFunction {
  var name: Measure.Function { .avg }
  var typeOfNull: ColumnType? { .int64 }

  func result(of argument: ColumnType?) throws(ExpressionError) -> ColumnType {
    _ = try Summing.checked(argument, name)
    return .double
  }

  func accumulator(of argument: ColumnType?) -> any Accumulator {
    if argument == .double { return DoubleSum(isAverage: true) }
    return ExactSum(scale: Summing.scale(argument), isAverage: true)
  }
}

/// What sums and averages take.
private enum Summing {
  static func checked(_ argument: ColumnType?, _ function: Measure.Function) throws(ExpressionError) -> ColumnType {
    switch argument {
    case .double?, .int64?: break
    case .decimal(let precision, let scale)?:
      guard precision <= 28 else {
        throw ExpressionError(
          "the \(function.rawValue) of \(ColumnType.decimal(precision: precision, scale: scale).name) could overflow: "
            + "cast it to decimal(28,\(min(scale, 28))) or less", at: 0)
      }
    case let other: throw ExpressionError("\(function.rawValue) needs a number, not \(other?.name ?? "rows")", at: 0)
    }
    return argument ?? .int64
  }

  static func scale(_ type: ColumnType?) -> Int {
    if case .decimal(_, let scale)? = type { scale } else { 0 }
  }
}

/// `[low, high, n]`: the exact Int128 sum of int64s or of decimals' digits.
private struct ExactSum: Accumulator {
  let scale: Int
  let isAverage: Bool
  var words: Int { 3 }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument else { return }
    switch argument.values {
    case .int64(let values): cells.forEach(values, argument.validity) { add(Int128($1), 1, to: $0) }
    case .decimal(let values): cells.forEach(values, argument.validity) { add($1, 1, to: $0) }
    default: preconditionFailure("sum of \(argument.type.name): the plan's compiler refuses it")
    }
  }

  @inline(__always)
  private func add(_ value: Int128, _ n: UInt64, to cell: Cell) {
    let (sum, carry) = cell.words[0].addingReportingOverflow(UInt64(truncatingIfNeeded: value))
    cell.words[0] = sum
    cell.words[1] = cell.words[1] &+ UInt64(truncatingIfNeeded: value >> 64) &+ (carry ? 1 : 0)
    cell.words[2] += n
  }

  func merge(_ cell: Cell, with other: Cell) { add(other.exact, other.words[2], to: cell) }

  func result(_ cell: Cell) -> Literal {
    let n = cell.words[2]
    guard n > 0 else { return .null }
    return isAverage ? .double(Averages.mean(cell.exact, scale: scale, count: n)) : .decimal(cell.exact, precision: 38, scale: scale)
  }
}

extension Cell {
  /// The first two words as one number.
  @inline(__always)
  var exact: Int128 { Int128(Int64(bitPattern: words[1])) << 64 | Int128(words[0]) }
}
