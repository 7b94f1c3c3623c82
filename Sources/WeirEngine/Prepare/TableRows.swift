import WeirCore
import WeirOperators

/// The rows that a block's records make in one silver table.
struct TableRows: Sendable {
  /// Of the table.
  var columns: [Column]
  /// Of each record where its rows begin, and at the end where those of the last one end; nil: a record has one row.
  var starts: [UInt32]?
  var count: Int

  /// The rows of some records, ascending as those are.
  func rows(of records: [UInt32]) -> [UInt32] {
    guard let starts else { return records }
    return records.flatMap { starts[Int($0)]..<starts[Int($0) + 1] }
  }
}

extension CompiledPlan {
  /// A silver table with a name of its own.
  struct RowTable: Sendable {
    let place: String
    let list: Output?
    let element: ColumnType
    let filter: Output?
    let outputs: [Output]
    /// By ``SilverTable/inputs(of:)``: the filter or a column reads it.
    let inputsRead: [Bool]

    init(_ table: SilverTable, _ plan: Plan) {
      place = "silver.\(table.name)"
      list = table.explode.map { Output("silver.\(table.name).explode", $0.list) }
      if case .list(let type)? = table.explode?.list.type { element = type } else { element = .bool }
      filter = table.filter.map { Output("silver.\(table.name).where", $0) }
      outputs = table.columns.map { Output("silver.\(table.name).\($0.name)", $0.expr) }
      var isRead = [Bool](repeating: false, count: table.inputs(of: plan).count)
      for expr in table.columns.map(\.expr) + [table.filter].compactMap(\.self) { for input in expr.inputColumns { isRead[input] = true } }
      inputsRead = isRead
    }
  }
}

/// Makes the rows of one silver table from a block's records.
struct TableRowMaker {
  private let table: CompiledPlan.RowTable
  /// By `Plan.inputs`; nil: no expression reads it.
  private let inputs: [Column?]
  private let count: Int
  /// Why records have no rows: an error in one row rejects its record, so that the table has all of its rows or none.
  private(set) var errors: [(record: Int, reason: String)] = []

  init(_ table: CompiledPlan.RowTable, _ inputs: [Column?], count: Int) {
    (self.table, self.inputs, self.count) = (table, inputs, count)
  }

  /// - Parameter proceeds: of each record; one that does not has no rows, if its table has not all.
  mutating func make(_ proceeds: (Int) -> Bool) -> TableRows {
    let outputs = table.outputs
    guard table.list != nil || table.filter != nil else {
      let columns = outputs.map { evaluate($0, inputs, count: count, records: nil, numbers: nil) }
      return TableRows(columns: columns, starts: nil, count: count)
    }
    var rows = expand(proceeds)
    var own = gather(rows)
    if let filter = table.filter {
      let result = filter.evaluator.rows(thatAre: true, own, count: rows.records.count)
      report(result.errors, filter, rows.records, rows.numbers)
      let chosen = result.rows.indices.lazy.filter { result.rows[$0] }.map { UInt32($0) }
      if chosen.count < rows.records.count {
        rows.take(Array(chosen))
        own = gather(rows)
      }
    }
    let columns = outputs.map { evaluate($0, own, count: rows.records.count, records: rows.records, numbers: rows.numbers) }
    return TableRows(columns: columns, starts: rows.starts(records: count), count: rows.records.count)
  }

  /// Rows before they have columns.
  private struct Rows {
    /// The record of each.
    var records: [UInt32] = []
    /// The number of its element, and the element; nil: a record has one row.
    var numbers: [Int64]?
    var elements: Column?

    mutating func take(_ rows: [UInt32]) {
      (records, numbers, elements) = (records.gathered(rows), numbers?.gathered(rows), elements?.gather(rows))
    }

    func starts(records count: Int) -> [UInt32] {
      var starts: [UInt32] = []
      starts.reserveCapacity(count + 1)
      var next = 0
      for record in 0...count {
        while next < records.count, records[next] < record { next += 1 }
        starts.append(UInt32(next))
      }
      return starts
    }
  }

  private mutating func expand(_ proceeds: (Int) -> Bool) -> Rows {
    guard let list = table.list else { return Rows(records: (0..<count).filter(proceeds).map { UInt32($0) }) }
    let result = list.evaluator.evaluate(inputs, count: count)
    report(result.errors, list, nil, nil)
    guard case .string(let values) = result.column.values else {
      preconditionFailure("\(list.place): elements of \(result.column.type.name)")
    }
    var (records, numbers): ([UInt32], [Int64]) = ([], [])
    var elements = ColumnBuilder(table.element)
    for record in 0..<count where result.column.isValid(record) && proceeds(record) {
      var reader = NestedReader(values[record])
      var number: Int64 = 0
      reader.forEachElement(of: table.element) { element in
        records.append(UInt32(record))
        numbers.append(number)
        elements.append(found: element)
        number += 1
      }
    }
    var column = elements.finish()
    column.owners += result.column.owners
    return Rows(records: records, numbers: numbers, elements: column)
  }

  /// The inputs that the table reads, row by row.
  private func gather(_ rows: Rows) -> [Column?] {
    table.inputsRead.enumerated().map { input, isRead in
      guard isRead else { return nil }
      if input < inputs.count { return inputs[input]?.gather(rows.records) }
      return input == inputs.count ? rows.elements : rows.numbers.map { Column(type: .int64, values: .int64($0)) }
    }
  }

  private mutating func evaluate(
    _ output: CompiledPlan.Output, _ inputs: [Column?], count: Int, records: [UInt32]?, numbers: [Int64]?
  ) -> Column {
    let result = output.evaluator.evaluate(inputs, count: count)
    report(result.errors, output, records, numbers)
    return result.column
  }

  private mutating func report(
    _ all: [(row: Int, reason: String)], _ output: CompiledPlan.Output, _ records: [UInt32]?, _ numbers: [Int64]?
  ) {
    for (row, reason) in all {
      let element = numbers.map { " (\(ExplodeSpec.index) \($0[row]))" } ?? ""
      errors.append((records.map { Int($0[row]) } ?? row, output.failure(reason + element)))
    }
  }
}
