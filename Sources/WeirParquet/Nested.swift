import WeirCore

/// A field of a nested schema: what a Delta checkpoint needs of the Dremel model.
package enum ParquetNode: Sendable {
  case leaf(name: String, type: ColumnType, optional: Bool)
  case group(name: String, optional: Bool, children: [ParquetNode])
  /// Three levels: the field, a repeated `list`, the element. The element's own name is not used: it is `element`.
  indirect case list(name: String, optional: Bool, element: ParquetNode)
  /// Three levels: the field, a repeated `key_value`, `key` (required) and `value`. Their own names are not used.
  indirect case map(name: String, optional: Bool, key: ParquetNode, value: ParquetNode)
  /// A 32-bit integer; its values come as an `int64` column.
  case int32leaf(name: String, optional: Bool)
}

/// The values of one leaf of a nested schema, with the levels that place them in their rows.
package struct LeafData: Sendable {
  /// The present values only: as many as there are definition levels equal to the leaf's maximum.
  package var values: Column
  /// One entry for each value, null or empty list: how many of the optional and repeated fields on the way are there.
  package var definitionLevels: [UInt8]
  /// 0 begins a row; as many entries as `definitionLevels`. Empty means all 0 (a leaf in no list or map).
  package var repetitionLevels: [UInt8]

  package init(values: Column, definitionLevels: [UInt8], repetitionLevels: [UInt8] = []) {
    self.values = values
    self.definitionLevels = definitionLevels
    self.repetitionLevels = repetitionLevels
  }
}

/// Writes a nested Parquet file row group by row group, its pages with checksums. It holds one group and the footer.
package struct NestedParquetWriter {
  private let shape: NestedShape
  private let workbench: ParquetWorkbench
  private var groups: [RowGroupMetadata] = []
  /// Bytes of the file that were handed out.
  private var written = 0

  package init(schema: [ParquetNode], codec: Codec) {
    shape = NestedShape(schema)
    workbench = ParquetWorkbench(options: ParquetOptions(codec: codec, checksums: true))
  }

  /// The bytes of the next row group; they follow those that were handed out before.
  ///
  /// - Parameter leaves: in depth-first order of the schema's leaves.
  /// - Throws: `parquet` when the levels do not fit the schema, the rows or the values.
  package mutating func group(rows: Int, leaves: [LeafData]) throws(WeirError) -> [UInt8] {
    guard leaves.count == shape.leaves.count else {
      throw nestedError("the schema has \(shape.leaves.count) leaves, \(leaves.count) were given")
    }
    var out: [UInt8] = written == 0 ? Array(FileMetadata.magic) : []
    var chunks: [ChunkMetadata] = []
    for (leaf, data) in zip(shape.leaves, leaves) {
      try check(data, leaf: leaf, rows: rows)
      let writer = ChunkWriter(leaf: leaf, workbench: workbench)
      append(data, to: writer)
      writer.settle()
      chunks.append(writer.closeChunk(into: &out).moved(by: written))
      if let reason = writer.failure { throw nestedError(reason) }
    }
    written += out.count
    if rows > 0 { groups.append(RowGroupMetadata(rows: rows, chunks: chunks)) }
    return out
  }

  /// The rest of the file.
  package func finish() -> [UInt8] {
    let rows = groups.reduce(0) { $0 + $1.rows }
    return (written == 0 ? Array(FileMetadata.magic) : []) + FileMetadata(schema: shape.elements, rows: rows, groups: groups).encoded()
  }
}

/// A nested Parquet file of one row group; see ``NestedParquetWriter``.
package func encodeNestedParquet(
  schema: [ParquetNode], rows: Int, leaves: [LeafData], codec: Codec
) throws(WeirError) -> [UInt8] {
  var writer = NestedParquetWriter(schema: schema, codec: codec)
  return try writer.group(rows: rows, leaves: leaves) + writer.finish()
}

private func nestedError(_ reason: String) -> WeirError {
  WeirError(.parquet, "cannot write a nested Parquet file: \(reason)")
}

/// A schema flattened: its elements in depth-first order, and the leaves among them.
struct NestedShape {
  private(set) var elements: [SchemaElement]
  private(set) var leaves: [Leaf] = []

  init(_ schema: [ParquetNode]) {
    elements = []
    elements.reserveCapacity(schema.count + 1)
    leaves.reserveCapacity(schema.count)
    elements.append(SchemaElement(name: "schema", repetition: nil, shape: .group(children: schema.count)))
    for node in schema { add(node, Place()) }
  }

  /// Where a field is.
  private struct Place {
    var path: [String] = []
    var definition = 0
    var repetition = 0

    func field(_ name: String, optional: Bool) -> Place {
      Place(path: path.isEmpty ? [name] : path + [name], definition: definition + (optional ? 1 : 0), repetition: repetition)
    }

    func repeated(_ name: String) -> Place {
      Place(path: path + [name], definition: definition + 1, repetition: repetition + 1)
    }
  }

  private mutating func add(_ node: ParquetNode, _ outer: Place, name other: String? = nil) {
    switch node {
    case .leaf(let name, let type, let optional):
      add(.value(type), other ?? name, optional, outer)
    case .int32leaf(let name, let optional):
      add(.int32, other ?? name, optional, outer)
    case .group(let name, let optional, let children):
      let inner = open(other ?? name, optional, .group(children: children.count), outer)
      for child in children { add(child, inner) }
    case .list(let name, let optional, let element):
      let list = open(other ?? name, optional, .list, outer).repeated("list")
      elements.append(SchemaElement(name: "list", repetition: .repeated, shape: .group(children: 1)))
      add(element, list, name: "element")
    case .map(let name, let optional, let key, let value):
      let entry = open(other ?? name, optional, .map, outer).repeated("key_value")
      elements.append(SchemaElement(name: "key_value", repetition: .repeated, shape: .group(children: 2)))
      add(key.required, entry, name: "key")
      add(value, entry, name: "value")
    }
  }

  private mutating func open(_ name: String, _ optional: Bool, _ shape: SchemaElement.Shape, _ outer: Place) -> Place {
    elements.append(SchemaElement(name: name, repetition: optional ? .optional : .required, shape: shape))
    return outer.field(name, optional: optional)
  }

  private mutating func add(_ kind: Leaf.Kind, _ name: String, _ optional: Bool, _ outer: Place) {
    let place = outer.field(name, optional: optional)
    let leaf = Leaf(
      path: place.path, kind: kind, maxDefinition: place.definition, maxRepetition: place.repetition)
    leaves.append(leaf)
    elements.append(SchemaElement(name: name, repetition: optional ? .optional : .required, shape: .leaf(leaf)))
  }
}

extension ParquetNode {
  /// The same field, not optional: keys of maps always are.
  fileprivate var required: ParquetNode {
    switch self {
    case .leaf(let name, let type, _): .leaf(name: name, type: type, optional: false)
    case .int32leaf(let name, _): .int32leaf(name: name, optional: false)
    case .group(let name, _, let children): .group(name: name, optional: false, children: children)
    case .list(let name, _, let element): .list(name: name, optional: false, element: element)
    case .map(let name, _, let key, let value): .map(name: name, optional: false, key: key, value: value)
    }
  }
}

/// Levels and values that fit each other, the leaf and the rows.
private func check(_ data: LeafData, leaf: Leaf, rows: Int) throws(WeirError) {
  let name = leaf.path.joined(separator: ".")
  func expect(_ holds: Bool, _ reason: String) throws(WeirError) {
    if !holds { throw nestedError("leaf \(name): \(reason)") }
  }
  let definitions = data.definitionLevels
  let repetitions = data.repetitionLevels
  try expect(data.values.type == leaf.type, "values of type \(data.values.type.name) for \(leaf.type.name)")
  try expect(data.values.validity?.allSatisfy(\.self) ?? true, "a null among the present values")
  try expect(definitions.allSatisfy { $0 <= leaf.maxDefinition }, "a definition level above \(leaf.maxDefinition)")
  try expect(repetitions.allSatisfy { $0 <= leaf.maxRepetition }, "a repetition level above \(leaf.maxRepetition)")
  let present = definitions.count { $0 == leaf.maxDefinition }
  try expect(present == data.values.count, "\(present) present levels for \(data.values.count) values")
  if repetitions.isEmpty {
    try expect(definitions.count == rows, "\(definitions.count) levels for \(rows) rows")
  } else {
    try expect(repetitions.count == definitions.count, "as many repetition levels as definition levels")
    try expect(repetitions.first == 0, "the first repetition level is not 0")
    let starts = repetitions.count { $0 == 0 }
    try expect(starts == rows, "\(starts) rows in the levels of \(rows)")
  }
}

/// Hands whole rows to the writer, some at a time, so that pages end at rows.
private func append(_ data: LeafData, to writer: ChunkWriter) {
  let sliceRows = 256
  let maxDefinition = UInt8(writer.leaf.maxDefinition)
  // One more, so that there is an address to count from.
  let picks = (0...UInt32(data.values.count)).map(\.self)
  let levels = data.definitionLevels.count
  let repetitions =
    data.repetitionLevels.isEmpty && writer.leaf.maxRepetition > 0
    ? [UInt8](repeating: 0, count: levels) : data.repetitionLevels
  var at = 0
  var value = 0
  while at < levels {
    let end = endOfRows(sliceRows, from: at, levels: levels, repetitions: repetitions)
    let present = data.definitionLevels[at..<end].count { $0 == maxDefinition }
    picks.withUnsafeBufferPointer { picks in
      data.definitionLevels.withUnsafeBufferPointer { definitions in
        repetitions.withUnsafeBufferPointer { repetitions in
          guard let first = picks.baseAddress else { return }
          writer.append(
            definitions: UnsafeBufferPointer(rebasing: definitions[at..<end]),
            repetitions: UnsafeBufferPointer(rebasing: repetitions[repetitions.isEmpty ? 0..<0 : at..<end]),
            data.values.values, Picks(start: first + value, count: present))
        }
      }
    }
    writer.endSlice()
    at = end
    value += present
  }
}

/// The end of the `rows` rows that begin at level `at`.
private func endOfRows(_ rows: Int, from at: Int, levels: Int, repetitions: [UInt8]) -> Int {
  guard !repetitions.isEmpty else { return min(at + rows, levels) }
  var starts = 0
  var i = at
  while i < levels {
    if repetitions[i] == 0 {
      if starts == rows { break }
      starts += 1
    }
    i += 1
  }
  return i
}
