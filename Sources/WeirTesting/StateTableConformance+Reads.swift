import WeirCore

extension StateTableConformance {
  static let readCases = [
    Case("an empty table has no rows and no values") { t in
      try expect(try await t.row("a") == nil, is: true, "a row")
      try expect(try await t.meta("m"), is: nil, "a value")
      try expect(try await t.table.listMeta(prefix: "").count, is: 0, "values")
      let page = try await t.table.page(of: "t", prefix: [], from: nil, rowsMax: 10)
      try expect(page.rows.isEmpty && page.next == nil, is: true, "the first page is empty and the last")
      try await t.table.retract(t.batch(["a": "1"], 5), beyond: Fence(generation: 0, position: 0), owners: [])
      try expect(try await t.contents(), is: [:], "rows after a retraction")
    },
    Case("values are listed by the prefix of their names, in order") { t in
      try await t.table.writeMeta([("b/2", [2]), ("a", [0]), ("b/10", [10]), ("b", [1]), ("c", [3]), ("b/2", [22])])
      let listed = try await t.table.listMeta(prefix: "b/")
      try expect(listed.map(\.name), is: ["b/10", "b/2"], "names")
      try expect(listed.map(\.value), is: [[10], [22]], "values")
      try expect(try await t.table.listMeta(prefix: "").map(\.name), is: ["a", "b", "b/10", "b/2", "c"], "all names")
      try expect(try await t.table.listMeta(prefix: "d").count, is: 0, "values of a prefix that no name has")
    },
    Case("a moment has the rows table by table in the order of their keys, and all values") { t in
      try await t.table.put(
        [t.batch(["b": "1", "a": "1"], table: "u", 5), t.batch(["d": "1", "c": "1"], 5), t.batch(["e": "1"], table: "v", 5)],
        meta: [("m", [1]), ("n", [2])])
      let (meta, found) = try await t.table.moment(of: ["u", "t"], into: []) { (rows: inout [String], row) in
        rows.append("\(row.table)/\(String(decoding: row.key, as: UTF8.self))")
      }
      try expect(found, is: ["u/a", "u/b", "t/c", "t/d"], "rows")
      try expect(meta, is: ["m": [1], "n": [2]], "values")
    },
    Case("rows, fences, values and claims are there after the table was opened again") { t in
      try await t.claim("owner/s", "a", 7)
      let mine = t.owners("owner/s", "a")
      try await t.table.write(
        StateWrite([t.batch(["a": "1", "b": nil], 5), t.many("1", 5)], meta: [("m", [1])], owners: mine))
      try await t.table.sync()
      try await t.table.finish()
      let table = try await t.kind.reopen(t.table)
      try expect(try await t.contents(of: table).count, is: t.kind.rowsOfParts + 1, "rows")
      try expect(try await table.readMeta("m"), is: [1], "the value")
      try expect(try await table.put([t.batch(["a": "2", "b": "2"], 4)]), is: 2, "skipped by the fences")
      try await t.expectFenced("a claim with a smaller number") {
        try await table.claim([StateClaim(name: "owner/s", owner: [2], number: 6)])
      }
      try await table.write(StateWrite([t.batch(["a": "3"], 6)], meta: [], owners: mine))
      try expect(try await table.read(table: "t", key: Array("a".utf8))?.value, is: Array("3".utf8), "the row")
      try await table.check()
      try await table.close()
    },
  ]

  /// Keys with bytes that need care, in their order.
  private static let keys: [[UInt8]] = [
    [], [0], [0, 0], [0, 1], [0, 255], [1], Array("a".utf8), Array("a".utf8) + [0], Array("a".utf8) + [0, 1], Array("aa".utf8),
    Array("ab".utf8),
    [127], [128], [254, 255], [255], [255, 255],
  ]

  private static func keys(
    of table: any StateTableReader, prefix: [UInt8] = [], rowsMax: Int, between: (Int) async throws -> Void = { _ in }
  ) async throws -> [[UInt8]] {
    var keys: [[UInt8]] = []
    var start: StateContinuation?
    var pages = 0
    repeat {
      let page = try await table.page(of: "t", prefix: prefix, from: start, rowsMax: rowsMax)
      try expect(page.rows.count <= rowsMax, is: true, "a page has \(page.rows.count) rows, at most \(rowsMax) were asked for")
      keys += page.rows.map(\.key)
      // As it is passed on in a request.
      start = page.next.map { StateContinuation(Array($0.bytes)) }
      pages += 1
      if start != nil { try await between(pages) }
    } while start != nil
    return keys
  }

  static let pageCases = [
    Case("pages of any size have the rows in the order of their keys, each once") { t in
      try await t.table.put([
        t.batch(keys.reversed().map { ($0, [1]) }, 5), t.batch(["a": "1"], table: "s", 5), t.batch(["a": "1"], table: "tt", 5),
      ])
      for rowsMax in [1, 2, 5, 16, 100, Int.max] { try expect(try await keys(of: t.table, rowsMax: rowsMax), is: keys, "keys") }
      for key in keys { try expect(try await t.table.read(table: "t", key: key)?.key, is: key, "the row of a key") }
    },
    Case("pages of a prefix have the rows whose keys begin with it") { t in
      try await t.table.put([t.batch(keys.map { ($0, [1]) }, 5)])
      for prefix in keys + [Array("b".utf8), [255, 255, 255]] {
        let expected = keys.filter { $0.starts(with: prefix) }
        for rowsMax in [1, 3, 100] { try expect(try await keys(of: t.table, prefix: prefix, rowsMax: rowsMax), is: expected, "keys") }
      }
    },
    Case("a page is bounded, whatever is asked for") { t in
      let rows = StatePage.rowsMax + 100
      try await t.table.put([t.batch((0..<rows).map { (Array("key-\(100_000 + $0)".utf8), [1]) }, 5)])
      let page = try await t.table.page(of: "t", prefix: [], from: nil, rowsMax: .max)
      try expect(page.rows.count <= StatePage.rowsMax && page.next != nil, is: true, "a page of \(page.rows.count) rows is not the last")
      try expect(try await keys(of: t.table, rowsMax: .max).count, is: rows, "keys")
      let large = [UInt8](repeating: 7, count: min(StatePage.bytesMax / 2 + 1, t.kind.valueBytesMax))
      try await t.table.put([t.batch((0..<5).map { (Array("large-\($0)".utf8), large) }, 5)])
      let some = try await t.table.page(of: "t", prefix: Array("large".utf8), from: nil, rowsMax: 5)
      try expect(some.rows.count, is: StatePage.bytesMax / large.count + 1, "rows of a page of large ones")
      try expect(try await keys(of: t.table, prefix: Array("large".utf8), rowsMax: 5).count, is: 5, "large rows")
    },
    Case("deleted rows end no page too early") { t in
      let rows = StatePage.rowsMax * 2 + 10
      func key(_ number: Int) -> [UInt8] { Array("key-\(100_000 + number)".utf8) }
      try await t.table.put([t.batch((0..<rows).map { (key($0), $0 % 1000 == 0 ? [1] : nil) }, 5)])
      for rowsMax in [1, 2, 100] {
        try expect(try await keys(of: t.table, rowsMax: rowsMax), is: [key(0), key(1000), key(2000)], "keys that are left")
      }
    },
    Case("rows that stay are in exactly one page while others come, change and go") { t in
      func key(_ number: Int) -> [UInt8] { Array("key-\(1000 + number)".utf8) }
      try await t.table.put([
        t.batch((0..<100).map { (key($0 * 2), [1]) }, 5), t.batch((0..<100).map { (key($0 * 2 + 1), [1]) }, lane: "s/1", 50),
      ])
      let found = try await keys(of: t.table, rowsMax: 7) { pages in
        // Rows before and after the page, also the last one of the page; then all rows of the other lane go.
        try await t.table.put([t.batch((0..<200).filter { $0 % 2 == 0 }.map { (key($0), [UInt8(pages)]) }, 5 + Int64(pages))])
        try await t.table.put([t.batch([(Array("key-0\(pages)".utf8), [2]), (Array("key-2\(pages)".utf8), [2])], 60)])
        if pages == 3 {
          try await t.table.retract(t.batch([], lane: "s/1", 0), beyond: Fence(generation: 0, position: 1), owners: [])
        }
      }
      try expect(
        found.filter { $0.starts(with: Array("key-1".utf8)) && $0.last! % 2 == 0 }, is: (0..<100).map { key($0 * 2) }, "keys that stayed")
      try expect(Set(found).count, is: found.count, "no key is there twice")
    },
    Case("keys that are longer than an index are found, listed once, and read by a prefix") { t in
      // Equal in their first 700 bytes.
      let common = Array(String(repeating: "long", count: 175).utf8)
      let long = (0..<20).map { common + Array("-\($0)".utf8) }
      // Of the length at which an index may begin to cut.
      let near = (Array(stride(from: 400, to: 490, by: 10)) + Array(490..<515)).map { [UInt8](repeating: UInt8(ascii: "n"), count: $0) }
      try await t.table.put([t.batch((long + near).shuffledForTests().map { ($0, Array($0.suffix(3))) }, 5)])
      for key in long + near {
        try expect(try await t.table.read(table: "t", key: key)?.value, is: Array(key.suffix(3)), "the row of a long key")
      }
      try expect(try await t.table.read(table: "t", key: common + Array("-20".utf8)) == nil, is: true, "a long key that has no row")
      for rowsMax in [1, 1000] {
        let found = try await keys(of: t.table, rowsMax: rowsMax)
        try expect(found.count, is: long.count + near.count, "rows")
        try expect(Set(found), is: Set(long + near), "keys")
        let indexed = found.map { Array($0.prefix(StateKey.indexedBytes)) }
        try expect(zip(indexed, indexed.dropFirst()).contains { $1.lexicographicallyPrecedes($0) }, is: false, "keys are out of order")
        try expect(
          Set(try await keys(of: t.table, prefix: common + Array("-1".utf8), rowsMax: rowsMax)).count, is: 11, "keys of a long prefix")
      }
      try expect(try await t.table.put([t.batch([(long[3], [9])], 4)]), is: 1, "skipped by the fence of a long key")
    },
  ]
}

extension Array {
  /// In another order, always the same.
  fileprivate func shuffledForTests() -> [Element] {
    var random = SplitMix64(seed: 7)
    var all = self
    for i in all.indices.dropFirst() { all.swapAt(i, random.below(i + 1)) }
    return all
  }
}
