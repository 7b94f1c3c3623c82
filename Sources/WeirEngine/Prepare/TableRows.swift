import WeirCore
import WeirOperators

/// The rows that a block's records make in one silver table.
struct TableRows: Sendable {
  enum Source: Sendable {
    case columns([Column])
    /// Of rows whose columns would be large: how they are made, some at a time.
    case exploded(ExplodedRows)
  }
  var source: Source
  /// Of each record where its rows begin, and at the end where those of the last one end; nil: a record has one row.
  var starts: [UInt32]?
  var count: Int
  /// Bytes of the values of nested types.
  var nestedBytes: Int

  init(columns: [Column], starts: [UInt32]?, count: Int) {
    (source, self.starts, self.count) = (.columns(columns), starts, count)
    nestedBytes = TableRows.nestedBytes(columns)
  }

  init(_ rows: ExplodedRows, starts: [UInt32], nestedBytes: Int) {
    (source, self.starts, count, self.nestedBytes) = (.exploded(rows), starts, rows.count, nestedBytes)
  }

  static func nestedBytes(_ columns: [Column]) -> Int {
    columns.reduce(0) { bytes, column in
      guard column.type.isNested, case .string(let values) = column.values else { return bytes }
      return bytes + values.reduce(0) { $0 + $1.count }
    }
  }

  /// Calls `body` with the columns of all rows, some at a time.
  /// - Parameter isNeeded: by column; others may be empty.
  func forEachColumns(_ isNeeded: (Int) -> Bool, _ body: ([Column], Int) -> Void) {
    switch source {
    case .columns(let columns): body(columns, count)
    case .exploded(let rows): rows.forEachColumns(nil, isNeeded, body)
    }
  }

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
    /// See ``SilverTable/kind``.
    let kind: Int?
    let list: Output?
    let element: ColumnType
    let filter: Output?
    let outputs: [Output]
    /// By ``SilverTable/inputs(of:)``: the filter or a column reads it.
    let inputsRead: [Bool]
    let bytes: RowBytes

    init(_ table: SilverTable, _ plan: Plan) {
      place = "silver.\(table.name)"
      kind = table.kind
      list = table.explode.map { Output("silver.\(table.name).explode", $0.list) }
      if case .list(let type)? = table.explode?.list.type { element = type } else { element = .bool }
      filter = table.filter.map { Output("silver.\(table.name).where", $0) }
      outputs = table.columns.map { Output("silver.\(table.name).\($0.name)", $0.expr) }
      let inputs = table.inputs(of: plan)
      var isRead = [Bool](repeating: false, count: inputs.count)
      let exprs = table.columns.map(\.expr) + [table.filter].compactMap(\.self)
      for expr in exprs { for input in expr.inputColumns { isRead[input] = true } }
      inputsRead = isRead
      bytes = RowBytes(exprs, inputs: inputs)
    }
  }
}
