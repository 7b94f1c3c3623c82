import Testing
import WeirCore

@testable import WeirOperators

/// What every accumulator must hold: a new one in ``AggregateFunctions/all`` is tested by being there.
@Suite struct AccumulatorTests {
  private static let types: [ColumnType] = [
    .bool, .int64, .double, .string, .binary, .timestamp, .decimal(precision: 12, scale: 2), .decimal(precision: 38, scale: 3),
  ]

  /// Each function with each type that it takes, and without an argument where it folds rows.
  private static let measures: [Measure] = AggregateFunctions.all.flatMap { function in
    let arguments: [ColumnType?] = types + (function.takesRows ? [nil] : [])
    return arguments.compactMap { type -> Measure? in
      guard let result = try? function.result(of: type) else { return nil }
      return Measure(
        name: "m", function: function.name, argument: type.map { Expr(node: .column(0), type: $0, text: "v") }, type: result)
    }
  }

  private static let rows = 60

  /// Small whole numbers, so that no order of adding doubles shows; every fourth is null.
  private static func column(_ type: ColumnType) -> Column {
    let numbers = (0..<rows).map { ($0 * 37) % 23 - 11 }
    let validity = (0..<rows).map { $0 % 4 != 0 }
    let arena = Arena()
    let values: Column.Values =
      switch type {
      case .bool: .bool(numbers.map { $0 > 0 })
      case .double: .double(numbers.map(Double.init))
      case .string, .binary: .string(numbers.map { arena.copy("text \($0)") })
      case .decimal: .decimal(numbers.map { Int128($0) })
      default: .int64(numbers.map(Int64.init))
      }
    return Column(type: type, values: values, validity: validity, owners: [arena])
  }

  private static func fold(_ rows: [Int], _ measure: Measure, into store: CellStore, cell: Int) {
    let argument = measure.argument.map { column($0.type) }
    rows.map { UInt32($0) }.withUnsafeBufferPointer { rows in
      [Int32](repeating: Int32(cell), count: rows.count).withUnsafeBufferPointer {
        store.update(cells: $0, rows: rows, arguments: [argument])
      }
    }
  }

  private static func store(_ measure: Measure, cells: Int) -> CellStore {
    let store = CellStore(AggregateLayout([measure]))
    for _ in 0..<cells { _ = store.add() }
    return store
  }

  private static func result(_ store: CellStore, _ cell: Int) -> Literal {
    var out: [Literal] = []
    store.results(cell, into: &out)
    return out[0]
  }

  @Test(arguments: measures)
  func `a measure has the same result whole, and merged of parts in any order, in bulk and by cell, within one store or of several`(
    measure: Measure
  ) {
    let whole = AccumulatorTests.store(measure, cells: 1)
    AccumulatorTests.fold(Array(0..<AccumulatorTests.rows), measure, into: whole, cell: 0)
    let expected = AccumulatorTests.result(whole, 0)
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
      // Cells 0 to 2 hold a third each; cells 3 and 4 take them.
      let parts = AccumulatorTests.store(measure, cells: 5)
      let other = AccumulatorTests.store(measure, cells: 2)
      for part in 0..<3 {
        AccumulatorTests.fold((0..<AccumulatorTests.rows).filter { $0 % 3 == part }, measure, into: parts, cell: part)
      }
      let sources = order.map { Int32($0) }
      parts.merge(with: parts, most: 3) { pairs in for source in sources { pairs.add(3, source) } }
      other.merge(with: parts, most: 3) { pairs in for source in sources { pairs.add(1, source) } }
      for part in order { parts.merge(4, with: parts, part) }
      #expect(AccumulatorTests.result(parts, 3) == expected && AccumulatorTests.result(parts, 4) == expected)
      #expect(AccumulatorTests.result(other, 1) == expected)
    }
  }

  @Test(arguments: measures)
  func `an empty measure merges without an effect, and rows without values leave it empty`(measure: Measure) {
    let store = AccumulatorTests.store(measure, cells: 3)
    let empty = AccumulatorTests.result(store, 0)
    #expect(empty == (measure.function == .count ? .int64(0) : .null))
    AccumulatorTests.fold(measure.argument == nil ? [] : [0, 4, 8], measure, into: store, cell: 1)
    #expect(AccumulatorTests.result(store, 1) == empty)
    AccumulatorTests.fold([1, 2, 3], measure, into: store, cell: 2)
    let before = AccumulatorTests.result(store, 2)
    store.merge(with: store, most: 5) { pairs in for empty in [Int32(0), 1] { pairs.add(2, empty) } }
    #expect(AccumulatorTests.result(store, 2) == before)
  }

  @Test(arguments: measures)
  func `a measure that is saved and restored takes further rows as if it had not been`(measure: Measure) throws {
    let store = AccumulatorTests.store(measure, cells: 2)
    AccumulatorTests.fold(Array(0..<30), measure, into: store, cell: 0)
    var out = ByteWriter()
    for cell in 0..<2 { store.save(cell, into: &out) }
    let restored = AccumulatorTests.store(measure, cells: 2)
    var reader = ByteReader(out.bytes[...], what: "test")
    for cell in 0..<2 { try restored.restore(cell, from: &reader) }
    var again = ByteWriter()
    for cell in 0..<2 { restored.save(cell, into: &again) }
    #expect(again.bytes == out.bytes)
    for each in [store, restored] { AccumulatorTests.fold(Array(30..<AccumulatorTests.rows), measure, into: each, cell: 0) }
    #expect(AccumulatorTests.result(store, 0) == AccumulatorTests.result(restored, 0))
  }

  @Test func `functions are found by their name, and refuse what they do not take`() {
    #expect(Set(AggregateFunctions.all.map(\.name)).count == AggregateFunctions.all.count)
    for function in AggregateFunctions.all { #expect(AggregateFunctions.named(function.name)?.name == function.name) }
    #expect(AggregateFunctions.named(Measure.Function(rawValue: "median")) == nil)
    for type in [ColumnType.bool, .string, .timestamp, .decimal(precision: 29, scale: 0)] {
      #expect(throws: ExpressionError.self) { try AggregateFunctions.named(.sum)?.result(of: type) }
    }
    #expect(throws: ExpressionError.self) { try AggregateFunctions.named(.max)?.result(of: nil) }
  }
}
