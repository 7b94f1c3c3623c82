import WeirCore
import WeirOperators

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
    guard table.list != nil || table.filter != nil || table.kind != nil else {
      let columns = table.outputs.map { output in
        let result = output.evaluator.evaluate(inputs, count: count)
        for (row, reason) in result.errors { errors.append((row, output.failure(reason))) }
        return result.column
      }
      return TableRows(columns: columns, starts: nil, count: count)
    }
    var rows = expand(proceeds)
    let isLarge = table.list != nil && rows.madeBytes > RowBytes.blockMax
    if let filter = table.filter { rows = filtered(rows, filter, isLarge: isLarge) }
    return isLarge ? checked(rows) : evaluated(rows)
  }

  private mutating func expand(_ proceeds: (Int) -> Bool) -> ExplodedRows {
    guard let list = table.list else {
      return ExplodedRows(table, inputs, records: (0..<count).filter(proceeds).map { UInt32($0) })
    }
    let result = list.evaluator.evaluate(inputs, count: count)
    for (row, reason) in result.errors { errors.append((row, list.failure(reason))) }
    guard case .string(let values) = result.column.values else {
      preconditionFailure("\(list.place): elements of \(result.column.type.name)")
    }
    let lengths = table.bytes.lengths(inputs)
    var (records, numbers): ([UInt32], [Int64]) = ([], [])
    var elements = ColumnBuilder(table.element)
    for record in 0..<count where result.column.isValid(record) && proceeds(record) {
      guard fits(record, values[record], lengths) else { continue }
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
    return ExplodedRows(table, inputs, records: records, numbers: numbers, elements: column)
  }

  /// Whether the record's rows are within ``RowBytes/recordMax``. It depends on the record and the plan alone.
  private mutating func fits(_ record: Int, _ list: StringRef, _ lengths: RowBytes.Lengths) -> Bool {
    let rows = NestedReader.count(list)
    let bytes = rows * lengths.written(record: record) + lengths.written(element: list.count)
    guard bytes > RowBytes.recordMax else { return true }
    errors.append(
      (
        record,
        "\(table.place).explode: the record's \(rows) rows would take more than \(RowBytes.recordMax >> 20) MiB (\(RowBytes.recordBound)): a row has all texts of its record that the table's columns read"
      ))
    return false
  }

  private mutating func filtered(_ rows: ExplodedRows, _ filter: CompiledPlan.Output, isLarge: Bool) -> ExplodedRows {
    var chosen: [UInt32] = []
    forEachPiece(rows, isLarge: isLarge) { maker, first, piece in
      let result = filter.evaluator.rows(thatAre: true, piece.gathered, count: piece.count)
      maker.report(result.errors, filter, piece)
      for row in result.rows.indices where result.rows[row] { chosen.append(UInt32(first + row)) }
    }
    return chosen.count < rows.count ? rows.taking(chosen) : rows
  }

  /// Rows with all of their columns.
  private mutating func evaluated(_ rows: ExplodedRows) -> TableRows {
    let gathered = rows.gathered
    let columns = table.outputs.map { output in
      let result = output.evaluator.evaluate(gathered, count: rows.count)
      report(result.errors, output, rows)
      return result.column
    }
    return TableRows(columns: columns, starts: rows.starts(records: count), count: rows.count)
  }

  /// Rows whose columns are computed a second time when they are written. Errors are in the order that those of small rows have.
  private mutating func checked(_ rows: ExplodedRows) -> TableRows {
    var nestedBytes = 0
    var found = [[(record: Int, reason: String)]](repeating: [], count: table.outputs.count)
    let before = errors
    forEachPiece(rows, isLarge: true) { maker, _, piece in
      let gathered = piece.gathered
      for (number, output) in maker.table.outputs.enumerated() {
        let result = output.evaluator.evaluate(gathered, count: piece.count)
        maker.errors = []
        maker.report(result.errors, output, piece)
        found[number] += maker.errors
        nestedBytes += TableRows.nestedBytes([result.column])
      }
    }
    errors = before + found.flatMap(\.self)
    return TableRows(rows, starts: rows.starts(records: count), nestedBytes: nestedBytes)
  }

  private mutating func forEachPiece(_ rows: ExplodedRows, isLarge: Bool, _ body: (inout TableRowMaker, Int, ExplodedRows) -> Void) {
    guard isLarge else { return body(&self, 0, rows) }
    let all = (0..<UInt32(rows.count)).map { $0 }
    for piece in rows.pieces(of: all) { body(&self, piece.lowerBound, rows.taking(Array(all[piece]))) }
  }

  private mutating func report(_ all: [(row: Int, reason: String)], _ output: CompiledPlan.Output, _ rows: ExplodedRows) {
    for (row, reason) in all {
      let element = rows.numbers.map { " (\(ExplodeSpec.index) \($0[row]))" } ?? ""
      errors.append((Int(rows.records[row]), output.failure(reason + element)))
    }
  }
}
