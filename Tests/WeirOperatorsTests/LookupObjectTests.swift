import Testing
import WeirCore

@testable import WeirOperators

/// Lookups in NDJSON.
@Suite struct LookupObjectTests {
  private func table(_ text: String, key: String = "k", types: [String: ColumnType] = [:]) throws(WeirError) -> LookupTable {
    try LookupTable(name: "l", bytes: Array(text.utf8), file: "l.ndjson", format: .ndjson, key: key, types: types)
  }

  private func values(_ table: LookupTable, _ column: Int, _ keys: [String]) -> [String?] {
    var refs: [StringRef] = []
    let bytes = keys.map { Array($0.utf8) }
    let text = TextBuffer(bytes: bytes.reduce(0) { $0 + $1.count })
    var at = 0
    for key in bytes {
      text.base.advanced(by: at).update(from: key, count: key.count)
      refs.append(StringRef(start: UnsafePointer(text.base) + at, count: key.count))
      at += key.count
    }
    let probed = table.probe(Column(type: .string, values: .string(refs), owners: [text]), count: keys.count)
    let found = table.gather(column: column, rows: probed)
    guard case .string(let texts) = found.values else { return [] }
    return keys.indices.map { found.isValid($0) ? texts[$0].description : nil }
  }

  @Test func membersAreColumnsInTheOrderInWhichTheyAppear() throws {
    let table = try table(
      "\u{FEFF}{\"k\":\"a\",\"n\":1.50,\"b\":true}\r\n\n  {\"late\":\"x\\u00e9\\n\\\"\",\"n\":null,\"k\":\"b\"}\n{\"k\":\"ü\\/東\",\"b\":\"\"}"
    )
    #expect(table.columns.map(\.name) == ["n", "b", "late"])
    #expect(values(table, 0, ["a", "b", "ü/東", "c"]) == ["1.50", nil, nil, nil])
    #expect(values(table, 1, ["a", "b", "ü/東", "c"]) == ["true", nil, "", nil])
    #expect(values(table, 2, ["a", "b", "ü/東", "c"]) == [nil, "xé\n\"", nil, nil])
  }

  @Test func theRowsEqualThoseOfTheSameTableInCSV() throws {
    let csv = try LookupTable(
      name: "l", bytes: Array("k,n,t\na,1,x\nb,,\"\"\nc,-7,\"q\"\"\"\n".utf8), file: "l.csv", key: "k", types: ["n": .int64])
    let objects = try table(
      #"{"k":"a","n":1,"t":"x"}"# + "\n" + #"{"k":"b","n":null,"t":""}"# + "\n" + #"{"k":"c","n":-7,"t":"q\""}"#, types: ["n": .int64])
    #expect(csv.columns == objects.columns)
    #expect(values(csv, 1, ["a", "b", "c", "d"]) == values(objects, 1, ["a", "b", "c", "d"]))
  }

  @Test(
    arguments: [
      ("{\"k\":1}\n[1]", "l.ndjson:2:1: it is not a JSON object"),
      ("{\"k\":1}\n{\"k\":2,\"n\":{}}", "l.ndjson:2:12: an object or an array"),
      ("{\"k\":1}\n\n{\"k\":2,\"ü\":tru}", "l.ndjson:3:12: not a JSON value"),
      ("{\"k\":1,\"k\":2}", "l.ndjson:1:8: the object has a member twice"),
      ("{\"k\":1}\n{\"k\":1}", "l.ndjson:2:2: the key '1' is on line 1 too"),
      ("{\"k\":1} {}", "l.ndjson:1:9: unexpected text after the object"),
      ("{\"k\":1", "l.ndjson:1:7: the object does not end"),
      ("{\"a\":1}", "l.ndjson:1:1: no object has a member k"),
      (" \n", "l.ndjson:1:1: the file is empty"),
      ("{\"k\":\"x\",\"n\":\"y\"}", "l.ndjson:1:10: column n: 'y' is not int64"),
      ("{\"k\":1,}", "l.ndjson:1:8: the name of a member is missing"),
    ])
  func errorsHaveLineAndColumn(text: String, message: String) {
    let error = #expect(throws: WeirError.self) { try table(text, types: ["n": .int64]) }
    #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "none")")
  }

  @Test func `a declared column that no object has is null everywhere, after the columns that are there`() throws {
    let objects = try table("{\"k\":\"a\",\"n\":1}", types: ["z": .string, "b": .int64, "n": .int64])
    #expect(objects.columns == [ColumnSchema("n", .int64), ColumnSchema("b", .int64), ColumnSchema("z", .string)])
    #expect(objects.absentColumns == 2 && values(objects, 2, ["a", "x"]) == [nil, nil])
    // A header row says which columns there are.
    let csv = try LookupTable(name: "l", bytes: Array("k,n\na,1\n".utf8), file: "l.csv", key: "k", types: ["b": .int64])
    #expect(csv.columns.map(\.name) == ["n"] && csv.absentColumns == 0)
  }

  @Test func theNameOfAFileSaysItsFormat() {
    #expect(LookupFormat(name: "s3://b/x.JSONL") == .ndjson && LookupFormat(name: "x.ndjson") == .ndjson)
    #expect(LookupFormat(name: "a.csv") == .csv && LookupFormat(name: "a.txt") == nil)
  }
}
