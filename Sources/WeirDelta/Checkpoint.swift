import WeirCore
import WeirParquet

/// Writes a classic checkpoint: every action that is in force, one per row. It holds the actions of one row group.
struct CheckpointEncoder {
  private let groupRows: Int
  /// A row group ends with fewer rows when their texts have this many bytes: values of partitions can be long.
  static let groupBytesMax = 8 << 20
  private var groupBytes = 0
  private var writer = NestedParquetWriter(schema: CheckpointEncoder.schema, codec: .snappy)
  private var shredder = Shredder(CheckpointEncoder.schema)

  /// - Parameter groupRows: rows of a row group: bounds what writers and readers hold.
  init(groupRows: Int) { self.groupRows = groupRows }

  private(set) var rows: Int64 = 0
  private(set) var files: Int64 = 0
  private(set) var bytes: Int64 = 0

  private static let schema: [ParquetNode] = {
    func leaf(_ name: String, _ type: ColumnType = .string) -> ParquetNode { .leaf(name: name, type: type, optional: true) }
    func map(_ name: String) -> ParquetNode {
      .map(name: name, optional: true, key: .leaf(name: "key", type: .string, optional: false), value: leaf("value"))
    }
    return [
      .group(name: "txn", optional: true, children: [leaf("appId"), leaf("version", .int64), leaf("lastUpdated", .int64)]),
      .group(
        name: "add", optional: true,
        children: [
          leaf("path"), map("partitionValues"), leaf("size", .int64), leaf("modificationTime", .int64), leaf("dataChange", .bool),
          leaf("stats"),
        ]),
      .group(name: "remove", optional: true, children: [leaf("path"), leaf("deletionTimestamp", .int64), leaf("dataChange", .bool)]),
      .group(
        name: "metaData", optional: true,
        children: [
          leaf("id"), leaf("name"), leaf("description"),
          .group(name: "format", optional: true, children: [leaf("provider"), map("options")]), leaf("schemaString"),
          .list(name: "partitionColumns", optional: true, element: leaf("element")), map("configuration"), leaf("createdTime", .int64),
        ]),
      .group(
        name: "protocol", optional: true,
        children: [.int32leaf(name: "minReaderVersion", optional: true), .int32leaf(name: "minWriterVersion", optional: true)]),
    ]
  }()

  /// - Returns: bytes that follow those that were returned before; nil while the row group is not full.
  mutating func add(_ action: DeltaAction) throws(WeirError) -> [UInt8]? {
    switch action {
    case .add(let add):
      files += 1
      groupBytes += add.path.utf8.count + (add.stats?.utf8.count ?? 0)
      for (name, value) in add.partitionValues { groupBytes += name.utf8.count + (value?.utf8.count ?? 0) }
    case .remove(var remove):
      // Removals that are in a checkpoint change no data any more.
      remove.dataChange = false
      shredder.add(DeltaAction.remove(remove).json)
      rows += 1
      return try full()
    default: break
    }
    shredder.add(action.json)
    rows += 1
    return try full()
  }

  private mutating func full() throws(WeirError) -> [UInt8]? {
    shredder.rows < groupRows && groupBytes < CheckpointEncoder.groupBytesMax ? nil : try group()
  }

  private mutating func group() throws(WeirError) -> [UInt8] {
    let part = try writer.group(rows: shredder.rows, leaves: shredder.finish())
    shredder = Shredder(CheckpointEncoder.schema)
    groupBytes = 0
    bytes += Int64(part.count)
    return part
  }

  /// The rest of the file.
  mutating func finish() throws(WeirError) -> [UInt8] {
    var rest = shredder.rows > 0 ? try group() : []
    let footer = writer.finish()
    rest += footer
    bytes += Int64(footer.count)
    return rest
  }
}

/// Splits documents into leaves with levels (Dremel: https://research.google/pubs/pub36632).
private struct Shredder {
  private final class Leaf {
    var builder: ColumnBuilder
    var definition: [UInt8] = []
    var repetition: [UInt8] = []
    init(_ type: ColumnType) { builder = ColumnBuilder(type) }
  }

  private let schema: [ParquetNode]
  private var leaves: [Leaf] = []
  private(set) var rows = 0

  init(_ schema: [ParquetNode]) {
    self.schema = schema
    for node in schema { collect(node) }
  }

  private mutating func collect(_ node: ParquetNode) {
    switch node {
    case .leaf(_, let type, _): leaves.append(Leaf(type))
    case .int32leaf: leaves.append(Leaf(.int64))
    case .group(_, _, let children): for child in children { collect(child) }
    case .list(_, _, let element): collect(element)
    case .map(_, _, let key, let value):
      collect(key)
      collect(value)
    }
  }

  mutating func add(_ row: JSONValue) {
    var at = 0
    for node in schema { write(node, row[Shredder.name(node)], definition: 0, repetition: 0, depth: 0, &at) }
    rows += 1
  }

  private static func name(_ node: ParquetNode) -> String {
    switch node {
    case .leaf(let name, _, _), .int32leaf(let name, _), .group(let name, _, _), .list(let name, _, _), .map(let name, _, _, _): name
    }
  }

  /// - Parameters:
  ///   - definition: optional and repeated fields on the way that are there.
  ///   - repetition: the level that is repeated with this value.
  ///   - depth: repeated fields on the way.
  private func write(_ node: ParquetNode, _ value: JSONValue?, definition: UInt8, repetition: UInt8, depth: UInt8, _ at: inout Int) {
    let isThere = value.map { !$0.isNull } ?? false
    switch node {
    case .leaf(_, _, let optional), .int32leaf(_, let optional):
      let leaf = leaves[at]
      at += 1
      leaf.definition.append(isThere && optional ? definition + 1 : definition)
      leaf.repetition.append(repetition)
      if isThere, let value { leaf.builder.append(Shredder.literal(value)) }
    case .group(_, let optional, let children):
      let level = isThere && optional ? definition + 1 : definition
      for child in children {
        write(child, isThere ? value?[Shredder.name(child)] : nil, definition: level, repetition: repetition, depth: depth, &at)
      }
    case .list(_, let optional, let element):
      let items = (value?.array ?? []).map { [$0] }
      repeated([element], isThere ? items : nil, optional, definition, repetition, depth, &at)
    case .map(_, let optional, let key, let entry):
      let items = (value?.members ?? []).map { [JSONValue.string($0.name), $0.value] }
      repeated([key, entry], isThere ? items : nil, optional, definition, repetition, depth, &at)
    }
  }

  private func repeated(
    _ nodes: [ParquetNode], _ items: [[JSONValue]]?, _ optional: Bool, _ definition: UInt8, _ repetition: UInt8, _ depth: UInt8,
    _ at: inout Int
  ) {
    let start = at
    let present = items != nil && optional ? definition + 1 : definition
    guard let items, !items.isEmpty else {
      // A null or empty list still leaves one entry a leaf.
      for node in nodes { absent(node, definition: present, repetition: repetition, &at) }
      return
    }
    for (i, item) in items.enumerated() {
      at = start
      for (node, value) in zip(nodes, item) {
        write(node, value, definition: present + 1, repetition: i == 0 ? repetition : depth + 1, depth: depth + 1, &at)
      }
    }
  }

  private func absent(_ node: ParquetNode, definition: UInt8, repetition: UInt8, _ at: inout Int) {
    switch node {
    case .leaf, .int32leaf:
      leaves[at].definition.append(definition)
      leaves[at].repetition.append(repetition)
      at += 1
    case .group(_, _, let children): for child in children { absent(child, definition: definition, repetition: repetition, &at) }
    case .list(_, _, let element): absent(element, definition: definition, repetition: repetition, &at)
    case .map(_, _, let key, let value):
      absent(key, definition: definition, repetition: repetition, &at)
      absent(value, definition: definition, repetition: repetition, &at)
    }
  }

  private static func literal(_ value: JSONValue) -> Literal {
    switch value {
    case .bool(let b): .bool(b)
    case .int(let i): .int64(i)
    case .string(let s): .string(s)
    default: .null
    }
  }

  func finish() -> [LeafData] {
    leaves.map { LeafData(values: $0.builder.finish(), definitionLevels: $0.definition, repetitionLevels: $0.repetition) }
  }
}
