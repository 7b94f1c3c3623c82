import WeirCore

/// How rows of text are written. Members are only added, as optional ones: ledgers keep plans.
package struct CSVDialect: Hashable, Sendable, Codable {
  /// Between fields: one byte of ASCII.
  package var delimiter: String
  /// Around fields that have a delimiter or quote; empty: no field is quoted.
  package var quote: String
  /// Before a quote within a quoted field: the quote itself, or a backslash, say.
  package var escape: String
  /// Lines that are exactly the names of the columns are no records.
  package var header: Bool
  /// The names of the columns, in their order; nil: the fields' own, in the order of their declaration.
  package var columns: [String]?
  /// What a field that is null has, without quotes.
  package var nulls: [String]
  /// A quoted field that is as `nulls` says is null, too.
  package var quotedNulls: Bool
  /// How lines begin that are no records; nil: none do.
  package var comment: String?
  /// White space around fields is left out.
  package var trim: Bool
  /// Between whole and fraction of numbers: `.` or `,`.
  package var decimal: String

  package init(delimiter: String = ",") {
    self.delimiter = delimiter
    quote = "\""
    escape = "\""
    header = false
    columns = nil
    nulls = [""]
    quotedNulls = false
    comment = nil
    trim = false
    decimal = "."
  }

  /// `csv_columns`: columns of a row.
  package static let columnsMax = 2000
  /// Texts that mean null.
  package static let nullsMax = 20

  /// What cannot be; nil: all can.
  package var problem: String? {
    for (name, text) in [("delimiter", delimiter), ("quote", quote), ("escape", escape), ("comment", comment ?? "#"), ("decimal", decimal)]
    {
      if name == "quote" && text.isEmpty || name == "escape" && quote.isEmpty { continue }
      guard text.utf8.count == 1, let byte = text.utf8.first, byte < 0x80, byte != 0x0A, byte != 0x0D, byte != 0 else {
        return "\(name) must be one ASCII character, and no line end"
      }
    }
    if delimiter == quote { return "delimiter and quote must differ" }
    if !quote.isEmpty, escape == delimiter { return "delimiter and escape must differ" }
    if comment == delimiter || comment == quote { return "comment must be another character than delimiter and quote" }
    if decimal != ".", decimal != "," { return "decimal must be . or ," }
    if trim, delimiter == " " { return "trim cannot be used with spaces between fields" }
    if let columns {
      if columns.isEmpty || columns.count > CSVDialect.columnsMax {
        return "columns must have 1 to \(CSVDialect.columnsMax) names (csv_columns)"
      }
      var seen = Set<String>()
      if let name = columns.first(where: { !$0.isEmpty && !seen.insert($0).inserted }) {
        return "columns: duplicate name: \(name.shortened(toBytes: 100))"
      }
    }
    if nulls.count > CSVDialect.nullsMax { return "null must have at most \(CSVDialect.nullsMax) texts" }
    return nil
  }

  func columnNames(_ fields: [Field]) -> [String] { columns ?? fields.map { $0.cellName ?? $0.name } }

  func problem(with field: Field) -> String? {
    if let problem = field.cellProblem { return problem }
    guard let columns, let name = field.cellName, !columns.contains(name) else { return nil }
    let near = nearestName(name, in: columns).map { "; did you mean \($0)?" } ?? ""
    return "columns has no \(name)\(near)"
  }

  var problemWithKinds: String? {
    columns == nil ? "the fields of several kinds have no order: name all columns of a row by columns, in the settings of the format" : nil
  }

  func decoder(_ request: DecoderRequest) -> any BlockDecoder {
    let names = columnNames(request.fields)
    let point = decimal.utf8.first ?? 0x2E
    return CellDecoder(
      CSVParser(self, columns: names), request, places: request.fields.map { names.firstIndex(of: $0.cellName ?? $0.name) ?? 0 },
      values: request.fields.map { TextValue($0, point: point) })
  }
}
