import WeirCore

/// Writes the chunks of one column of a table: of a nested type one for each leaf.
final class ColumnWriter {
  let chunks: [ChunkWriter]
  /// nil: the column is its only leaf.
  private let shredder: NestedShredder?

  init(_ column: ColumnSchema, leaves: ArraySlice<Leaf>, workbench: ParquetWorkbench) {
    let chunks = leaves.map { ChunkWriter(leaf: $0, workbench: workbench) }
    self.chunks = chunks
    shredder =
      column.type.isNested ? NestedShredder(column, chunks: chunks, pageBytes: workbench.options.pageBytes) : nil
  }

  func append(_ column: Column, _ rows: Picks) {
    if let shredder { shredder.append(column, rows) } else { chunks[0].append(column, rows) }
  }

  func endSlice() { for chunk in chunks { chunk.endSlice() } }
  func settle() { for chunk in chunks { chunk.settle() } }

  var estimatedBytes: Int { chunks.reduce(0) { $0 + $1.estimatedBytes } }
  var settledBytes: Int { chunks.reduce(0) { $0 + $1.settledBytes } }
  var failure: String? { shredder?.failure ?? chunks.compactMap(\.failure).first }

  /// Of a nested column the nulls alone: what is in it has no order.
  var statistics: ColumnStatistics {
    shredder.map { ColumnStatistics(nullCount: Int64($0.nulls), min: nil, max: nil) } ?? chunks[0].statistics
  }
}

extension ParquetNode {
  /// A column of a table.
  init(_ column: ColumnSchema) { self.init(column.name, column.type, optional: column.nullable) }

  private init(_ name: String, _ type: ColumnType, optional: Bool) {
    switch type {
    case .list(let element): self = .list(name: name, optional: optional, element: ParquetNode("element", element, optional: true))
    case .map(let value):
      self = .map(
        name: name, optional: optional, key: .leaf(name: "key", type: .string, optional: false),
        value: ParquetNode("value", value, optional: true))
    case .structure(let members):
      self = .group(name: name, optional: optional, children: members.map { ParquetNode($0.name, $0.type, optional: true) })
    default: self = .leaf(name: name, type: type, optional: optional)
    }
  }
}

extension ColumnType {
  /// Columns of a file that a column of the type takes.
  var leafCount: Int {
    switch self {
    case .list(let element): element.leafCount
    case .map(let value): 1 + value.leafCount
    case .structure(let members): members.reduce(0) { $0 + $1.type.leafCount }
    default: 1
    }
  }
}
