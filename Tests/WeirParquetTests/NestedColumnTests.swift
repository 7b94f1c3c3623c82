import Foundation
import Testing
import WeirCore
import WeirParquet
import WeirTesting

/// Columns of lists, structs and maps, written as tables are.
@Suite struct NestedColumnTests {
  private static let deep: ColumnType = .list(
    element: .structure(members: [
      StructMember("a", .int64), StructMember("m", .map(value: .list(element: .string))),
      StructMember("s", .structure(members: [StructMember("x", .bool), StructMember("y", .list(element: .int64))])),
    ]))

  private static let schema = [
    ColumnSchema("n", .int64), ColumnSchema("ints", .list(element: .int64)), ColumnSchema("deep", deep),
    ColumnSchema("attrs", .map(value: .string)),
    ColumnSchema("s", .structure(members: [StructMember("flag", .bool), StructMember("text", .string)])),
    ColumnSchema("lists", .list(element: .list(element: .list(element: .string)))),
  ]

  private static func random(_ type: ColumnType, _ random: inout SplitMix64) -> NestedTree {
    if random.below(5) == 0 { return .null }
    switch type {
    case .bool: return .scalar(.bool(random.below(2) == 0))
    case .int64: return .scalar(.int64(Int64(random.below(1000)) - 500))
    case .string: return .scalar(.string("s\(random.below(300))" + String(repeating: "é", count: random.below(9))))
    case .list(let element): return .list((0..<random.below(4)).map { _ in self.random(element, &random) })
    case .map(let value):
      return .map((0..<random.below(4)).map { NestedEntry(key: "k\($0)", value: self.random(value, &random)) })
    case .structure(let members): return .structure(members.map { self.random($0.type, &random) })
    default: preconditionFailure("not in this schema")
    }
  }

  private static func build(_ tree: NestedTree, _ out: NestedBuilder) {
    func text(_ text: String, _ body: (StringRef) -> Void) {
      let arena = Arena(chunkBytes: 64)
      withExtendedLifetime(arena) { body(arena.copy(text)) }
    }
    switch tree {
    case .null: out.null()
    case .scalar(.bool(let v)): out.bool(v)
    case .scalar(.int64(let v)): out.int64(v)
    case .scalar(.string(let v)): text(v) { out.string($0) }
    case .scalar: preconditionFailure("not in this schema")
    case .list(let items):
      out.beginList()
      for item in items {
        out.element()
        build(item, out)
      }
      out.endList()
    case .map(let entries):
      out.beginMap()
      for entry in entries {
        text(entry.key) { out.key($0) }
        build(entry.value, out)
      }
      out.endMap()
    case .structure(let members):
      out.beginStruct(members: members.count)
      for (number, member) in members.enumerated() where member != .null {
        out.member(number)
        build(member, out)
      }
      out.endStruct(members: members.count)
    }
  }

  private static func json(_ tree: NestedTree, _ type: ColumnType) -> Any {
    switch (tree, type) {
    case (.scalar(.bool(let v)), _): v
    case (.scalar(.int64(let v)), _): v
    case (.scalar(.string(let v)), _): v
    case (.list(let items), .list(let element)): items.map { json($0, element) }
    case (.map(let entries), .map(let value)): entries.map { [$0.key, json($0.value, value)] }
    case (.structure(let values), .structure(let members)):
      Dictionary(uniqueKeysWithValues: zip(members, values).map { ($0.name, json($1, $0.type)) })
    default: NSNull()
    }
  }

  private static func columns(_ trees: [[NestedTree]]) -> [Column] {
    schema.enumerated().map { i, column in
      guard column.type.isNested else {
        var builder = ColumnBuilder(column.type)
        for row in trees { if case .scalar(let value) = row[i] { builder.append(value) } else { builder.append(.null) } }
        return builder.finish()
      }
      let (out, arena) = (NestedBuilder(), Arena())
      let values = trees.map { row -> StringRef in
        guard row[i] != .null else { return .empty }
        out.begin()
        build(row[i], out)
        return out.finish(into: arena)
      }
      return Column(type: column.type, values: .string(values), validity: trees.map { $0[i] != .null }, owners: [arena])
    }
  }

  private static func trees(_ rows: Int, seed: UInt64) -> [[NestedTree]] {
    var random = SplitMix64(seed: seed)
    return (0..<rows).map { _ in schema.map { self.random($0.type, &random) } }
  }

  @Test func otherReadersFindEveryNesting() throws {
    try Oracle.withFolder { folder in
      for (rows, options) in [
        (1, ParquetOptions()), (40, ParquetOptions(codec: .none, pageBytes: 64)),
        (3000, ParquetOptions(pageBytes: 2000, rowGroupRows: 700)),
        (5000, ParquetOptions(codec: .snappy)),
      ] {
        let trees = NestedColumnTests.trees(rows, seed: UInt64(rows))
        var writer = ParquetWriter(columns: NestedColumnTests.schema, options: options)
        writer.append(NestedColumnTests.columns(trees))
        let file = try writer.finish()
        try Data(file.bytes).write(to: folder.appendingPathComponent("rows-\(rows).parquet"))
        let want = trees.map { row in
          Dictionary(uniqueKeysWithValues: zip(NestedColumnTests.schema, row).map { ($0.name, NestedColumnTests.json($1, $0.type)) })
        }
        try JSONSerialization.data(withJSONObject: ["nested": want]).write(to: folder.appendingPathComponent("rows-\(rows).json"))
        for (i, statistics) in file.statistics.enumerated() where NestedColumnTests.schema[i].type.isNested {
          #expect(statistics == ColumnStatistics(nullCount: Int64(trees.count { $0[i] == .null }), min: nil, max: nil))
        }
      }
      try Oracle.check(folder)
    }
  }

  @Test func theBytesDoNotDependOnHowRowsAreCutIntoCalls() throws {
    let columns = NestedColumnTests.columns(NestedColumnTests.trees(9000, seed: 5))
    let options = ParquetOptions(pageBytes: 3000, rowGroupRows: 5000)
    var whole = ParquetWriter(columns: NestedColumnTests.schema, options: options)
    whole.append(columns)
    let bytes = try whole.finish().bytes
    for step in [1, 7, 1000, 4097] {
      var parts = ParquetWriter(columns: NestedColumnTests.schema, options: options)
      for start in stride(from: 0, to: 9000, by: step) {
        parts.append(columns, rows: (start..<min(9000, start + step)).map { UInt32($0) })
      }
      #expect(try parts.finish().bytes == bytes, "\(step) rows a call")
    }
  }

  @Test func pagesOfLongListsCloseByTheirBytes() throws {
    let schema = [ColumnSchema("ints", .list(element: .int64))]
    let (out, arena) = (NestedBuilder(), Arena())
    let values = (0..<12).map { row in
      out.begin()
      out.beginList()
      for i in 0..<20_000 {
        out.element()
        out.int64(Int64(row * 7919 &+ i &* 104_729))
      }
      out.endList()
      return out.finish(into: arena)
    }
    var writer = ParquetWriter(columns: schema, options: ParquetOptions(codec: .none, pageBytes: 64 << 10))
    writer.append([Column(type: schema[0].type, values: .string(values), owners: [arena])])
    let reader = try ParquetReader(try writer.finish().bytes, name: "long")
    let column = try reader.column(0, group: 0)
    #expect(reader.rows == 12 && reader.leaves.map(\.path) == [["ints", "list", "element"]])
    #expect((0..<12).allSatisfy { column.entries(ofRow: $0).count == 20_000 })
  }
}
