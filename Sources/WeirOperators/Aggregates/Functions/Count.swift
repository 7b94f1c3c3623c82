import WeirCore

/// `count()` counts rows; `count(x)` those where x is not null.
struct CountFunction: AggregateFunction {
  var name: Measure.Function { .count }
  var takesRows: Bool { true }

  func result(of argument: ColumnType?) -> ColumnType { .int64 }
  func accumulator(of argument: ColumnType?) -> any Accumulator { Count() }
}

/// `[n]`
private struct Count: Accumulator {
  var words: Int { 1 }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let validity = argument?.validity else {
      let (first, stride) = (cells.first, cells.stride)
      for cell in cells.cells { first[Int(cell) * stride] += 1 }
      return
    }
    cells.forEach(validity) { $0.words[0] += 1 }
  }

  func merge(_ cell: Cell, with other: Cell) { cell.words[0] += other.words[0] }
  func result(_ cell: Cell) -> Literal { .int64(Int64(cell.words[0])) }
}
