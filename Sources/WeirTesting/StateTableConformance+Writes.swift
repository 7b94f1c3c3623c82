import WeirCore

extension StateTableConformance {
  static let fenceCases = [
    Case("a row is written over a smaller or equal fence only") { t in
      try expect(try await t.table.put([t.batch(["a": "1", "b": "1"], 5)]), is: 0, "skipped of new rows")
      try expect(try await t.table.put([t.batch(["a": "2"], 5)]), is: 0, "skipped at an equal fence")
      try expect(try await t.table.put([t.batch(["a": "3", "b": "3", "c": "3"], 4)]), is: 2, "skipped at a smaller fence")
      try expect(try await t.contents(), is: ["a": "2", "b": "1", "c": "3"], "rows")
      try expect(try await t.table.put([t.batch(["a": "4"], 6)]), is: 0, "skipped at a larger fence")
      try expect(try await t.row("a")?.fence, is: Fence(generation: 0, position: 6), "the fence")
    },
    Case("a later generation is the larger fence whatever its position") { t in
      try await t.table.put([t.batch(["a": "old"], generation: 1, 900)])
      try expect(try await t.table.put([t.batch(["a": "new"], generation: 2, 3)]), is: 0, "skipped at a later generation")
      try expect(try await t.table.put([t.batch(["a": "late"], generation: 1, 5000)]), is: 1, "skipped at an older generation")
      try expect(try await t.contents(), is: ["a": "new"], "rows")
    },
    Case("a row keeps its lane, and tables are apart from each other") { t in
      try await t.table.put([
        t.batch(["a": "1"], table: "t", lane: "s/0", 5), t.batch(["a": "2"], table: "tt", lane: "s/1", 9),
        t.batch(["a": "3"], table: "ta", lane: "merge", 7),
      ])
      let row = StateRow(
        table: "tt", key: Array("a".utf8), fence: Fence(generation: 0, position: 9), lane: "s/1", value: Array("2".utf8))
      try expect(try await t.row("a", "tt"), is: row, "the row")
      try expect(try await t.contents("t"), is: ["a": "1"], "rows of t")
      try expect(try await t.table.rows(of: "ta").map(\.lane), is: ["merge"], "lanes of ta")
    },
    Case("a deleted row leaves its fence") { t in
      try await t.table.put([t.batch(["a": "1", "b": "1", "c": "1"], 5)])
      try await t.table.put([t.batch(["b": nil], 7)])
      try expect(try await t.contents(), is: ["a": "1", "c": "1"], "rows")
      try expect(try await t.table.moment(of: ["t"], into: 0) { rows, _ in rows += 1 }.result, is: 2, "rows of a moment")
      let row = try await t.row("b")
      try expect(row?.fence, is: Fence(generation: 0, position: 7), "the tombstone's fence")
      try expect(row.map { $0.value == nil }, is: true, "the tombstone has no value")
      try expect(try await t.table.put([t.batch(["b": "2"], 6)]), is: 1, "skipped at a smaller fence than the tombstone's")
      try await t.table.put([t.batch(["b": "3"], 7)])
      try expect(try await t.contents(), is: ["a": "1", "b": "3", "c": "1"], "rows after a larger fence")
    },
    Case("nothing is written by an empty write") { t in
      try expect(try await t.table.put([]), is: 0, "skipped of no batch")
      try expect(try await t.table.put([t.batch([String: String]() as [String: String?], 5)]), is: 0, "skipped of an empty batch")
      try expect(try await t.contents(), is: [:], "rows")
      try await t.table.put([], meta: [("m", [1])])
      try expect(try await t.table.readMeta("m"), is: [1], "a value without rows")
    },
  ]

  static let ownerCases = [
    Case("of two claims the one with the larger number counts, in any order") { t in
      try await t.claim("owner/s", "a", 4)
      try await t.claim("owner/s", "b", 5)
      try await t.expectFenced("a claim with a smaller number") { try await t.claim("owner/s", "a", 4) }
      try expect(try await t.meta("owner/s"), is: "b", "the owner")
      try await t.claim("owner/s", "c", 5)
      try expect(try await t.meta("owner/s"), is: "c", "the owner after an equal number")
      try await t.claim("owner/s", "d", 1_000_000)
      try await t.expectFenced("a claim with a smaller number of as many digits") { try await t.claim("owner/s", "e", 999_999) }
    },
    Case("of several claims all count or none") { t in
      try await t.claim("owner/s", "b", 5)
      let other = StateClaim(name: "owner/r", owner: [1], number: 9)
      try await t.expectFenced("claims of which one is late") {
        try await t.table.claim([other, StateClaim(name: "owner/s", owner: [2], number: 4)])
      }
      try expect(try await t.meta("owner/r"), is: nil, "the other owner")
      try expect(try await t.meta("owner/s"), is: "b", "the owner")
    },
    Case("a worker that lost its lane writes nothing") { t in
      try await t.claim("owner/s", "a", 1)
      let mine = t.owners("owner/s", "a")
      try await t.table.write(StateWrite([t.batch(["k": "a"], 5)], meta: [("m", [1])], owners: mine))
      try await t.claim("owner/s", "b", 2)
      try await t.expectFenced("rows") {
        try await t.table.write(StateWrite([t.batch(["k": "late", "l": "late"], 9)], meta: [("m", [2])], owners: mine))
      }
      try await t.expectFenced("values alone") { try await t.table.write(StateWrite([], meta: [("m", [2])], owners: mine)) }
      try await t.expectFenced("rows of two owners") {
        try await t.table.write(
          StateWrite([t.batch(["l": "late"], 9)], meta: [], owners: t.owners("owner/s", "b") + t.owners("owner/r", "a")))
      }
      try await t.expectFenced("a retraction") {
        try await t.table.retract(t.batch(["k": "late"], 1), beyond: Fence(generation: 0, position: 1), owners: mine)
      }
      try await t.expectFenced("a replacement") {
        try await t.table.replace(tables: ["t"], with: [], meta: [("m", [2])], owners: mine)
      }
      try expect(try await t.contents(), is: ["k": "a"], "rows")
      try expect(try await t.table.readMeta("m"), is: [1], "the value")
      try await t.table.write(StateWrite([t.batch(["k": "b"], 6)], meta: [("m", [3])], owners: t.owners("owner/s", "b")))
      try expect(try await t.contents(), is: ["k": "b"], "rows of the new owner")
    },
  ]

  static let partCases = [
    Case("rows of several transactions are all there in the end, and each once") { t in
      try await t.table.put([t.many("1", 5)], meta: [("m", [1])])
      try await t.table.put([t.batch(["key-10000001": "own"], 9)])
      let skipped = try await t.table.put([t.many("2", 6)], meta: [("m", [2])])
      try expect(skipped, is: 1, "skipped")
      let rows = try await t.contents()
      try expect(rows.count, is: t.kind.rowsOfParts, "rows")
      try expect(rows.values.filter { $0.hasPrefix("2.") }.count, is: t.kind.rowsOfParts - 1, "rows of the second write")
      try expect(try await t.table.readMeta("m"), is: [2], "the value")
    },
    Case("a write that ends in the middle leaves its intent, and no value of its end") { t in
      try await t.table.put([], meta: [("m", Array("before".utf8))])
      let write = StateWrite(
        [t.many("1", 5)], meta: [("m", Array("done".utf8)), ("end", [1])], owners: [], intent: [("m", Array("begun".utf8))])
      t.onNextPart { throw Interrupted() }
      do {
        try await t.table.write(write)
        throw Failure(description: "the write took one transaction")
      } catch is Interrupted {}
      try expect(try await t.meta("m"), is: "begun", "the value after a part")
      try expect(try await t.table.readMeta("end"), is: nil, "a value of the end after a part")
      let some = try await t.contents().count
      try expect(some > 0 && some < t.kind.rowsOfParts, is: true, "\(some) rows are a part of all")
      try await t.table.write(write)
      try expect(try await t.meta("m"), is: "done", "the value after all")
      try expect(try await t.contents().count, is: t.kind.rowsOfParts, "rows after all")
    },
    Case("the intent is there while rows are missing, and readers see it") { t in
      t.onNextPart {
        try expect(try await t.meta("m"), is: "begun", "the value between two transactions")
        try expect(try await t.contents().isEmpty, is: false, "the first rows are there")
      }
      try await t.table.write(
        StateWrite([t.many("1", 5)], meta: [("m", Array("done".utf8))], owners: [], intent: [("m", Array("begun".utf8))]))
      try expect(try await t.meta("m"), is: "done", "the value after all")
      try await t.table.write(
        StateWrite([t.batch(["a": "1"], 9)], meta: [("n", Array("done".utf8))], owners: [], intent: [("o", Array("begun".utf8))]))
      try expect(try await t.meta("o"), is: nil, "the intent of a write that takes one transaction")
    },
    Case("a worker whose lane is taken in the middle of a write stops there") { t in
      try await t.claim("owner/s", "a", 1)
      t.onNextPart { try await t.claim("owner/s", "b", 2) }
      try await t.expectFenced("the rest of the write") {
        try await t.table.write(
          StateWrite(
            [t.many("a", 9)], meta: [("m", Array("done".utf8))], owners: t.owners("owner/s", "a"), intent: [("m", Array("begun".utf8))]))
      }
      try expect(try await t.meta("m"), is: "begun", "the value")
      let some = try await t.contents().count
      try expect(some > 0 && some < t.kind.rowsOfParts, is: true, "\(some) rows are a part of all")
      // As the new owner does: it takes back what is beyond the ledger, and writes all rows.
      let mine = t.owners("owner/s", "b")
      try await t.table.retract(t.batch(["key-10000000": "b"], 5), beyond: Fence(generation: 0, position: 5), owners: mine)
      try expect(try await t.contents(), is: ["key-10000000": "b"], "rows after the retraction")
      try await t.table.write(StateWrite([t.batch(["x": "b"], 5)], meta: [("m", Array("5".utf8))], owners: mine))
      try expect(try await t.contents(), is: ["key-10000000": "b", "x": "b"], "rows of the new owner")
    },
  ]

  static let retractCases = [
    Case("rows beyond the fence become what the batch has, or go, and others stay") { t in
      try await t.table.put([
        t.batch(["kept": "5", "equal": "5"], 5), t.batch(["back": "9", "gone": "9"], 9),
        t.batch(["other lane": "9"], lane: "s/1", 9), t.batch(["back": "9"], table: "u", 9),
      ])
      try await t.table.retract(
        t.batch(["back": "5", "kept": "other", "new": "5", "other lane": "5"], 5), beyond: Fence(generation: 0, position: 5), owners: [])
      try expect(try await t.contents(), is: ["kept": "5", "equal": "5", "back": "5", "other lane": "9"], "rows")
      try expect(try await t.contents("u"), is: ["back": "9"], "rows of another table")
      try expect(try await t.row("back")?.fence, is: Fence(generation: 0, position: 5), "the fence of the row that was taken back")
      try expect(try await t.row("gone") == nil, is: true, "the row that the batch does not have is gone")
    },
    Case("rows of an older generation beyond its end are taken back") { t in
      try await t.table.put([
        t.batch(["kept": "7"], generation: 0, 7), t.batch(["back": "9", "gone": "9"], generation: 0, 9),
        t.batch(["new": "1"], generation: 1, 2),
      ])
      try await t.table.retract(
        t.batch(["back": "12", "new": "12"], generation: 1, 12), beyond: Fence(generation: 0, position: 7), owners: [])
      try expect(try await t.contents(), is: ["kept": "7", "back": "12", "new": "12"], "rows")
    },
    Case("a row that was deleted beyond the fence comes back, and one that the batch does not have leaves nothing") { t in
      try await t.table.put([t.batch(["back": "5", "gone": "5", "kept": nil], 5)])
      try await t.table.put([t.batch(["back": nil, "gone": nil], 9)])
      try expect(try await t.contents(), is: [:], "rows before")
      try await t.table.retract(t.batch(["back": "6"], 6), beyond: Fence(generation: 0, position: 6), owners: [])
      try expect(try await t.contents(), is: ["back": "6"], "rows")
      try expect(try await t.row("back")?.fence, is: Fence(generation: 0, position: 6), "the fence of the row that came back")
      try expect(try await t.row("gone")?.value, is: nil, "the row that is not in the batch")
      try expect(try await t.row("kept")?.fence, is: Fence(generation: 0, position: 5), "a tombstone that is not beyond the fence")
      try await t.table.put([t.batch(["back": nil, "gone": "7"], 7)])
      try expect(try await t.contents(), is: ["gone": "7"], "rows after that")
    },
    Case("a retraction of very many rows is complete") { t in
      try await t.table.put([t.many("9", 9), t.batch(["kept": "1"], 3)])
      try await t.table.retract(t.batch(["key-10000001": "5"], 5), beyond: Fence(generation: 0, position: 5), owners: [])
      try expect(try await t.contents(), is: ["kept": "1", "key-10000001": "5"], "rows")
    },
  ]

  static let replaceCases = [
    Case("a replacement has all rows of its tables and the values, and nothing else changes") { t in
      try await t.table.put(
        [t.batch(["a": "9", "b": "9"], 9), t.batch(["a": "9"], table: "tt", 9), t.batch(["a": "9"], table: "u", 9)], meta: [("m", [9])])
      // Smaller fences than those of the rows before.
      try await t.table.replace(
        tables: ["t", "u"], with: [t.batch(["b": "1", "c": "1"], 1)], meta: [("n", [1])], owners: [])
      try expect(try await t.contents(), is: ["b": "1", "c": "1"], "rows")
      try expect(try await t.contents("u"), is: [:], "rows of a table without new ones")
      try expect(try await t.contents("tt"), is: ["a": "9"], "rows of another table")
      try expect(try await t.table.listMeta(prefix: "").map(\.name), is: ["m", "n"], "values")
    },
    Case("a replacement of very many rows is seen as a whole") { t in
      try await t.table.put([t.many("1", 5)], meta: [("m", [1])])
      let (before, after) = (t.many("1", 5).count, 3)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          try await t.table.replace(tables: ["t"], with: [t.batch(["a": "2", "b": "2", "c": "2"], 1)], meta: [("m", [2])], owners: [])
        }
        for _ in 0..<5 {
          let (meta, rows) = try await t.table.moment(of: ["t"], into: 0) { rows, _ in rows += 1 }
          try expect(rows, is: meta["m"] == [1] ? before : after, "rows of one moment, where the value is \(meta["m"] ?? [])")
        }
        try await group.waitForAll()
      }
      try expect(try await t.contents().count, is: after, "rows")
    },
  ]
}
