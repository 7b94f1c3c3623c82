import Foundation
import Testing
import WeirCore
import WeirParquet
import WeirTesting

/// A nested value for the tests: turned into levels by the rules of the Dremel paper, and into JSON for the checker.
private indirect enum Tree {
  case null
  case leaf(Literal)
  case group([Tree])
  case list([Tree])
  case map([(key: Tree, value: Tree)])
}

private struct Shredder {
  var definitions: [[UInt8]] = []
  var repetitions: [[UInt8]] = []
  var values: [ColumnBuilder] = []

  init(_ nodes: [ParquetNode]) { for node in nodes { addLeaves(node) } }

  private mutating func addLeaves(_ node: ParquetNode) {
    switch node {
    case .leaf(_, let type, _): addLeaf(type)
    case .int32leaf: addLeaf(.int64)
    case .group(_, _, let children): for child in children { addLeaves(child) }
    case .list(_, _, let element): addLeaves(element)
    case .map(_, _, let key, let value):
      addLeaves(key)
      addLeaves(value)
    }
  }

  private mutating func addLeaf(_ type: ColumnType) {
    definitions.append([])
    repetitions.append([])
    values.append(ColumnBuilder(type))
  }

  mutating func add(_ rows: [[Tree]], _ nodes: [ParquetNode]) {
    for row in rows {
      var next = 0
      for (node, tree) in zip(nodes, row) { add(node, tree, definition: 0, repetition: 0, depth: 0, &next) }
    }
  }

  /// `tree` nil: something around it is missing. `next`: the leaf to fill.
  private mutating func add(
    _ node: ParquetNode, _ tree: Tree?, definition: Int, repetition: Int, depth: Int, _ next: inout Int
  ) {
    var isNull = tree == nil
    if case .null = tree { isNull = true }
    switch node {
    case .leaf(_, _, let optional), .int32leaf(_, let optional):
      let present = isNull ? definition : definition + (optional ? 1 : 0)
      if !isNull, case .leaf(let value) = tree { values[next].append(value) }
      definitions[next].append(UInt8(present))
      repetitions[next].append(UInt8(repetition))
      next += 1
    case .group(_, let optional, let children):
      var fields: [Tree]?
      if case .group(let given) = tree { fields = given }
      let inner = definition + (optional && fields != nil ? 1 : 0)
      for (i, child) in children.enumerated() {
        add(child, fields?[i], definition: inner, repetition: repetition, depth: depth, &next)
      }
    case .list(_, let optional, let element):
      var items: [Tree]?
      if case .list(let given) = tree { items = given }
      let entries = items.map { $0.map { [$0] } }
      addRepeated([element], entries, optional, definition, repetition, depth, &next)
    case .map(_, let optional, let key, let value):
      var items: [[Tree]]?
      if case .map(let given) = tree { items = given.map { [$0.key, $0.value] } }
      addRepeated([key, value], items, optional, definition, repetition, depth, &next)
    }
  }

  private mutating func addRepeated(
    _ nodes: [ParquetNode], _ entries: [[Tree]]?, _ optional: Bool, _ definition: Int, _ repetition: Int, _ depth: Int,
    _ next: inout Int
  ) {
    let start = next
    let here = definition + (optional && entries != nil ? 1 : 0)
    guard let entries, !entries.isEmpty else {
      for node in nodes { add(node, nil, definition: here, repetition: repetition, depth: depth, &next) }
      return
    }
    for (i, entry) in entries.enumerated() {
      next = start
      for (node, tree) in zip(nodes, entry) {
        add(
          node, tree, definition: here + 1, repetition: i == 0 ? repetition : depth + 1, depth: depth + 1, &next)
      }
    }
  }

  mutating func leaves() -> [LeafData] {
    (0..<values.count).map {
      LeafData(values: values[$0].finish(), definitionLevels: definitions[$0], repetitionLevels: repetitions[$0])
    }
  }
}

extension ParquetNode {
  fileprivate var name: String {
    switch self {
    case .leaf(let name, _, _), .group(let name, _, _), .list(let name, _, _), .map(let name, _, _, _),
      .int32leaf(let name, _):
      name
    }
  }

  fileprivate func json(_ tree: Tree) -> Any {
    switch (self, tree) {
    case (_, .leaf(.string(let v))): v
    case (_, .leaf(.int64(let v))): v
    case (_, .leaf(.bool(let v))): v
    case (.group(_, _, let children), .group(let fields)):
      Dictionary(uniqueKeysWithValues: zip(children, fields).map { ($0.name, $0.json($1)) })
    case (.list(_, _, let element), .list(let items)): items.map { element.json($0) }
    case (.map(_, _, let key, let value), .map(let items)): items.map { [key.json($0.key), value.json($0.value)] }
    default: NSNull()
    }
  }

  fileprivate func random(_ random: inout SplitMix64, optional forced: Bool? = nil) -> Tree {
    func absent(_ optional: Bool) -> Bool { (forced ?? optional) && random.below(4) == 0 }
    switch self {
    case .leaf(_, .string, let optional): return absent(optional) ? .null : .leaf(.string("s\(random.below(500))"))
    case .leaf(_, .bool, let optional): return absent(optional) ? .null : .leaf(.bool(random.below(2) == 0))
    case .leaf(_, _, let optional): return absent(optional) ? .null : .leaf(.int64(Int64(bitPattern: random.next())))
    case .int32leaf(_, let optional):
      let value = [Int64(Int32.min), Int64(Int32.max), Int64(random.below(9))][random.below(3)]
      return absent(optional) ? .null : .leaf(.int64(value))
    case .group(_, let optional, let children):
      return absent(optional) ? .null : .group(children.map { $0.random(&random) })
    case .list(_, let optional, let element):
      return absent(optional) ? .null : .list((0..<random.below(4)).map { _ in element.random(&random) })
    case .map(_, let optional, _, let value):
      if absent(optional) { return .null }
      // Keys of a map differ.
      return .map(
        (0..<random.below(4)).map { i in
          (key: .leaf(.string("k\(i)")), value: value.random(&random))
        })
    }
  }
}

@Suite struct NestedFileTests {
  private static let strings = ParquetNode.leaf(name: "", type: .string, optional: true)
  private static let key = ParquetNode.leaf(name: "", type: .string, optional: false)

  private static let schema: [ParquetNode] = [
    .group(
      name: "add", optional: true,
      children: [
        .leaf(name: "path", type: .string, optional: true),
        .map(name: "partitionValues", optional: true, key: key, value: strings),
        .leaf(name: "size", type: .int64, optional: false),
        .leaf(name: "dataChange", type: .bool, optional: true),
        .group(name: "inner", optional: true, children: [.int32leaf(name: "offset", optional: true)]),
      ]),
    .group(
      name: "protocol", optional: true,
      children: [
        .int32leaf(name: "minReaderVersion", optional: false),
        .list(name: "readerFeatures", optional: true, element: strings),
      ]),
    .list(
      name: "lists", optional: false,
      element: .list(name: "", optional: true, element: .int32leaf(name: "", optional: false))),
    .list(
      name: "groups", optional: true,
      element: .group(
        name: "", optional: true,
        children: [
          .leaf(name: "n", type: .int64, optional: true),
          .list(
            name: "tags", optional: true, element: key),
        ])),
    .map(
      name: "deep", optional: true, key: key,
      value: .map(name: "", optional: true, key: key, value: .leaf(name: "", type: .int64, optional: true))),
  ]

  @Test func otherReadersFindNestedValues() throws {
    try Oracle.withFolder { folder in
      var random = SplitMix64(seed: 12)
      for (rows, codec) in [(0, Codec.none), (1, .zstd), (9, .snappy), (300, .none), (5000, .zstd)] {
        let schema = NestedFileTests.schema
        let trees = (0..<rows).map { _ in schema.map { $0.random(&random) } }
        var shredder = Shredder(schema)
        shredder.add(trees, schema)
        let bytes = try encodeNestedParquet(schema: schema, rows: rows, leaves: shredder.leaves(), codec: codec)
        try Data(bytes).write(to: folder.appendingPathComponent("nested-\(rows).parquet"))
        let json = trees.map { row in
          Dictionary(uniqueKeysWithValues: zip(schema, row).map { ($0.name, $0.json($1)) })
        }
        let sidecar = try JSONSerialization.data(withJSONObject: ["nested": json])
        try sidecar.write(to: folder.appendingPathComponent("nested-\(rows).json"))
      }
      try Oracle.check(folder)
    }
  }

  @Test func levelsThatDoNotFitAreErrors() throws {
    let schema: [ParquetNode] = [.leaf(name: "a", type: .int64, optional: true)]
    func encode(_ values: [Int64], _ levels: [UInt8], rows: Int) throws {
      let leaf = LeafData(values: Column(type: .int64, values: .int64(values)), definitionLevels: levels)
      _ = try encodeNestedParquet(schema: schema, rows: rows, leaves: [leaf], codec: .none)
    }
    try encode([1], [1, 0], rows: 2)
    #expect(throws: WeirError.self) { try encode([1], [1, 1], rows: 2) }
    #expect(throws: WeirError.self) { try encode([1], [1, 2], rows: 2) }
    #expect(throws: WeirError.self) { try encode([1], [1, 0], rows: 3) }
    #expect(throws: WeirError.self) { try encodeNestedParquet(schema: schema, rows: 0, leaves: [], codec: .none) }
  }

  @Test func aValueBeyond32BitsIsAnError() throws {
    let column = Column(type: .int64, values: .int64([Int64(Int32.max) + 1]))
    #expect(throws: WeirError.self) {
      try encodeNestedParquet(
        schema: [.int32leaf(name: "a", optional: false)], rows: 1,
        leaves: [LeafData(values: column, definitionLevels: [0])], codec: .none)
    }
  }
}
