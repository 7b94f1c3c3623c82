import WeirCore

/// What a lookup's file is.
package enum LookupFormat: String, Sendable, Hashable, Codable, CaseIterable {
  /// RFC 4180, with a header row.
  case csv
  /// One JSON object per line.
  case ndjson

  /// By the end of a file's name; nil: it says nothing.
  package init?(name: String) {
    let name = name.lowercased()
    switch true {
    case name.hasSuffix(".ndjson"), name.hasSuffix(".jsonl"): self = .ndjson
    case name.hasSuffix(".csv"): self = .csv
    default: return nil
    }
  }

  package var title: String { self == .csv ? "CSV" : "NDJSON" }
}

/// The rows of a lookup file as columns of cells, and errors with their places.
protocol LookupText {
  /// What the cells are views into.
  var owners: [any AnyObject & Sendable] { get }
  /// The names of the columns, and the place of the key's.
  func header(_ key: String) throws(WeirError) -> (names: [String], key: Int)
  /// All rows, by column.
  func cells(_ names: [String]) throws(WeirError) -> [LookupRows.Cells]
  /// - Parameters:
  ///   - row: from 0.
  ///   - place: of the cell in it that the error shows.
  func fault(inRow row: Int, at place: Int, _ why: (String) -> String) -> WeirError
  func line(ofRow row: Int) -> Int
}

extension LookupText {
  /// Cells as values of a type; the first that is none is an error.
  ///
  /// - Parameters:
  ///   - place: the column's place in the file.
  ///   - why: the error's text, given the cell's.
  func column(_ cells: LookupRows.Cells, _ type: ColumnType, at place: Int, _ why: (String) -> String) throws(WeirError) -> Column {
    let source = Column(type: .string, values: .string(cells.refs), validity: cells.valid, owners: owners)
    if type == .string { return source }
    let count = cells.refs.count
    let column = Cast(count: count).run(Vector(type: .string, .column(source)), to: type, orNull: true).column(count)
    if let valid = column.validity, let row = (0..<count).first(where: { !valid[$0] && source.isValid($0) }) {
      throw fault(inRow: row, at: place, why)
    }
    return column
  }
}

extension LookupSpec {
  package var fileFormat: LookupFormat { format.flatMap { LookupFormat(rawValue: $0) } ?? .csv }
}
