import Foundation
import Testing
import WeirCore
import WeirParquet
import WeirTesting

@Suite struct WriterTests {
  private func file(_ table: RandomTable, _ options: ParquetOptions = ParquetOptions()) throws -> ParquetFile {
    var writer = ParquetWriter(columns: table.schema, options: options)
    writer.append(table.columns)
    return try writer.finish()
  }

  private static let small = ParquetOptions(pageBytes: 2048, rowGroupRows: 3000)

  @Test func sameRowsGiveSameBytes() throws {
    var random = SplitMix64(seed: 3)
    let table = RandomTable(rows: 5000, nulls: .some, variety: .many, random: &random)
    #expect(try file(table, WriterTests.small).bytes == file(table, WriterTests.small).bytes)
  }

  @Test(arguments: RandomTable.Variety.allCases)
  func bytesDoNotDependOnHowRowsAreCutIntoCalls(variety: RandomTable.Variety) throws {
    var random = SplitMix64(seed: 4)
    let table = RandomTable(rows: 10_000, nulls: .some, variety: variety, random: &random)
    let whole = try file(table, WriterTests.small)
    var writer = ParquetWriter(columns: table.schema, options: WriterTests.small)
    var at = 0
    while at < table.rows {
      let next = min(table.rows, at + 1 + random.below(900))
      writer.append(table.columns(at..<next))
      at = next
      #expect(writer.rowCount == at)
    }
    let cut = try writer.finish()
    #expect(cut.bytes == whole.bytes)
    #expect(cut.statistics == whole.statistics)
  }

  @Test func gatheredRowsAreWrittenInTheirOrder() throws {
    var random = SplitMix64(seed: 5)
    let table = RandomTable(rows: 3000, nulls: .some, variety: .few, random: &random)
    let rows = (0..<5000).map { _ in UInt32(random.below(3000)) }
    var gathered = table
    gathered.values = table.values.map { cells in rows.map { cells[Int($0)] } }
    var writer = ParquetWriter(columns: table.schema, options: WriterTests.small)
    writer.append(table.columns, rows: rows)
    writer.append(table.columns, rows: [])
    #expect(try writer.finish().bytes == file(gathered, WriterTests.small).bytes)
  }

  /// A block's column can tell nulls if some other row of it has one: a replay has other blocks than the live run.
  @Test(arguments: [1, 7, 31, 32, 100])
  func columnsThatCouldTellNullsAndHaveNoneAreWrittenLikeThoseThatCannot(count: Int) throws {
    let schema = [ColumnSchema("n", .int64), ColumnSchema("s", .string)]
    let arena = Arena()
    func bytes(validity: [Bool]?) throws -> [UInt8] {
      let (rows, values) = ((0..<UInt32(count)).map { $0 }, Array(0...Int64(count)))
      var writer = ParquetWriter(columns: schema, options: ParquetOptions())
      writer.append(
        [
          Column(type: .int64, values: .int64(values), validity: validity),
          Column(type: .string, values: .string(values.map { arena.copy("s\($0)") }), validity: validity, owners: [arena]),
        ], rows: rows)
      return try writer.finish().bytes
    }
    let others = [Bool](repeating: true, count: count) + [false]
    #expect(try bytes(validity: others) == bytes(validity: nil))
  }

  @Test func longStringsCloseTheirPagesEarly() throws {
    try Oracle.withFolder { folder in
      var random = SplitMix64(seed: 6)
      var table = RandomTable(rows: 0, nulls: .none, variety: .many, random: &random)
      table.schema = [ColumnSchema("long", .string), ColumnSchema("often", .string), ColumnSchema("n", .int64)]
      let often = (0..<3).map { String(repeating: "é\($0)", count: 20_000) }
      table.values = [[], [], []]
      for i in 0..<600 {
        let long = String(repeating: "\(random.next())", count: random.below(8000))
        table.values[0].append(i % 7 == 0 ? .null : .string(long))
        table.values[1].append(.string(often[i % 3]))
        table.values[2].append(.int64(Int64(i)))
      }
      let file = try file(table)
      try Data(file.bytes).write(to: folder.appendingPathComponent("long.parquet"))
      let sidecar = Sidecar(table, statistics: file.statistics, groups: [600], delta: true)
      try Data(sidecar.text.utf8).write(to: folder.appendingPathComponent("long.json"))
      try Oracle.check(folder)
    }
  }

  /// The first values repeat, so a dictionary begins; later ones do not, so it outgrows its bound amid the chunk.
  @Test func aDictionaryThatGrowsTooLargeIsGivenUpAmidTheChunk() throws {
    try Oracle.withFolder { folder in
      var random = SplitMix64(seed: 8)
      var table = RandomTable(rows: 0, nulls: .none, variety: .many, random: &random)
      table.schema = [ColumnSchema("s", .string), ColumnSchema("d", .double), ColumnSchema("w", RandomTable.types[11])]
      table.values = [[], [], []]
      for i in 0..<260_000 {
        let key = i < 100_000 ? random.below(50) : random.below(1 << 30)
        table.values[0].append(i % 11 == 0 ? .null : .string("key number \(key)"))
        table.values[1].append(.double(Double(key) / 8))
        table.values[2].append(.decimal(Int128(key) << 64, precision: 38, scale: 10))
      }
      let file = try file(table, ParquetOptions(codec: .snappy, pageBytes: 256 << 10))
      try Data(file.bytes).write(to: folder.appendingPathComponent("mixed.parquet"))
      let sidecar = Sidecar(table, statistics: file.statistics, groups: [260_000], mixed: true, delta: true)
      try Data(sidecar.text.utf8).write(to: folder.appendingPathComponent("mixed.json"))
      try Oracle.check(folder)
    }
  }

  @Test func rowGroupsAreBoundedByBytesAndEstimatesAreClose() throws {
    var random = SplitMix64(seed: 9)
    let table = RandomTable(rows: 20_000, nulls: .none, variety: .many, random: &random)
    var writer = ParquetWriter(
      columns: table.schema, options: ParquetOptions(pageBytes: 16 << 10, rowGroupBytes: 200_000))
    #expect(writer.estimatedBytes < 10_000)
    writer.append(table.columns)
    let estimate = writer.estimatedBytes
    let file = try writer.finish()
    #expect(abs(estimate - file.bytes.count) < file.bytes.count / 5)
    try Oracle.withFolder { folder in
      try Data(file.bytes).write(to: folder.appendingPathComponent("groups.parquet"))
      let sidecar = Sidecar(table, statistics: file.statistics, groups: nil, leastGroups: 4, delta: false)
      try Data(sidecar.text.utf8).write(to: folder.appendingPathComponent("groups.json"))
      try Oracle.check(folder)
    }
  }

  @Test func aNullInARequiredColumnIsAnError() throws {
    var builder = ColumnBuilder(.int64)
    builder.append(.int64(1))
    builder.append(.null)
    var writer = ParquetWriter(columns: [ColumnSchema("n", .int64, nullable: false)])
    writer.append([builder.finish()])
    let error = try #require(throws: WeirError.self) { try writer.finish() }
    #expect(error.message == "cannot write a Parquet file: column n: a null in a column that is not nullable")
  }

  @Test(arguments: [(9, 1_000_000_000), (12, Int128.max), (18, -1_000_000_000_000_000_000), (20, Int128(1) << 100)])
  func aDecimalOfTooManyDigitsIsAnError(precision: Int, value: Int128) throws {
    let type = ColumnType.decimal(precision: precision, scale: 2)
    var writer = ParquetWriter(columns: [ColumnSchema("d", type)])
    writer.append([Column(type: type, values: .decimal([0, value, 1]))])
    let error = try #require(throws: WeirError.self) { try writer.finish() }
    #expect(error.message.contains("more digits"))
  }

  @Test func statisticsOfNoValuesHaveNoBounds() throws {
    var builder = ColumnBuilder(.double)
    builder.append(.double(.nan))
    builder.append(.null)
    var writer = ParquetWriter(columns: [ColumnSchema("d", .double)])
    writer.append([builder.finish()])
    #expect(try writer.finish().statistics == [ColumnStatistics(nullCount: 1, nanCount: 1, min: nil, max: nil)])
  }
}
