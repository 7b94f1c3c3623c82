import WeirCore

extension StateTableConformance {
  static let tombstoneCases = [
    Case("old tombstones of a lane are collected, and nothing else") { t in
      for table in ["t", "tt"] {
        try await t.table.put([
          t.batch(["a": "1", "b": "1", "d": "1", "e": "1"], table: table, 5), t.batch(["c": "1"], table: table, lane: "s/1", 5),
        ])
        try await t.table.put([t.batch(["b": nil], table: table, 7), t.batch(["c": nil], table: table, lane: "s/1", 7)])
        try await t.table.put([t.batch(["d": nil], table: table, 8), t.batch(["e": nil], table: table, generation: 1, 2)])
      }
      let bound = ["s/0": Fence(generation: 0, position: 7)]
      try expect(try await t.collected(through: bound), is: ["c", "d", "e"], "tombstones that stay")
      try expect(try await t.contents(), is: ["a": "1"], "rows")
      try expect(try await t.row("b", "tt")?.fence.position, is: 7, "a tombstone of another table")
      try expect(try await t.collected(through: bound), is: ["c", "d", "e"], "tombstones after a repetition")
      try await t.table.put([t.batch(["b": "2"], 3)])
      try expect(try await t.contents(), is: ["a": "1", "b": "2"], "rows after a key came back")
      try expect(
        try await t.collected(through: ["s/0": Fence(generation: 1, position: 2), "s/1": Fence(generation: 4, position: 0)]), is: [],
        "tombstones after all are old")
      try expect(try await t.contents(), is: ["a": "1", "b": "2"], "rows after all are old")
      try expect(try await t.contents("tt"), is: ["a": "1"], "rows of another table")
    },
    Case("many tombstones are collected in parts, and the rows between them stay") { t in
      try await t.table.put([t.many("1", 5)])
      let gone = (0..<t.kind.rowsOfParts).filter { $0 % 3 != 0 }.map { (key: Array("key-\(10_000_000 + $0)".utf8), value: [UInt8]?.none) }
      try await t.table.put([t.batch(gone, 6)])
      let kept = t.kind.rowsOfParts - gone.count
      try expect(try await t.collected(through: ["s/0": Fence(generation: 0, position: 6)], of: gone.map(\.key)), is: [], "tombstones")
      try expect(try await t.contents().count, is: kept, "rows")
      // What the store knows of its rows is right: it takes more of them.
      try await t.table.put([t.batch(["z": "1"], 7)])
      try expect(try await t.contents().count, is: kept + 1, "rows after another one")
    },
    Case("a worker that lost its lane collects nothing") { t in
      try await t.claim("owner/s", "a", 1)
      try await t.table.put([t.batch(["b": nil], 7)])
      try await t.claim("owner/s", "b", 2)
      let bound = TombstoneBound(table: "t", through: ["s/0": Fence(generation: 0, position: 7)], owners: t.owners("owner/s", "a"))
      try await t.expectFenced("a collection") { _ = try await t.table.collect(bound, from: nil) }
      try expect(try await t.row("b")?.fence.position, is: 7, "the tombstone")
    },
    Case("there is nothing to collect in a table without rows") { t in
      try expect(try await t.collected(through: ["s/0": Fence(generation: 9, position: 9)]), is: [], "tombstones")
    },
  ]
}

extension StateTableConformance.Subject {
  /// Collects, part by part.
  /// - Returns: keys of `t` that have a tombstone then.
  func collected(through: [String: Fence], of keys: [[UInt8]] = "abcdez".utf8.map { [$0] }) async throws -> [String] {
    var start: StateContinuation?
    let bound = TombstoneBound(table: "t", through: through, owners: [])
    repeat { start = try await table.collect(bound, from: start).next } while start != nil
    var left: [String] = []
    for key in keys {
      if let row = try await table.read(table: "t", key: key), row.value == nil { left.append(String(decoding: key, as: UTF8.self)) }
    }
    return left
  }
}
