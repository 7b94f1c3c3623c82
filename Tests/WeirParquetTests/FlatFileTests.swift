import Foundation
import Testing
import WeirCore
import WeirParquet
import WeirTesting

@Suite struct FlatFileTests {
  private func write(
    _ table: RandomTable, _ options: ParquetOptions, name: String, to folder: URL, groups: [Int]? = nil,
    delta: Bool = false
  ) throws {
    var writer = ParquetWriter(columns: table.schema, options: options)
    writer.append(table.columns)
    let file = try writer.finish()
    #expect(file.rows == table.rows)
    let sidecar = Sidecar(table, statistics: file.statistics, groups: groups, delta: delta)
    try Data(file.bytes).write(to: folder.appendingPathComponent("\(name).parquet"))
    try Data(sidecar.text.utf8).write(to: folder.appendingPathComponent("\(name).json"))
  }

  @Test func otherReadersFindTheValuesOfSmallFiles() throws {
    try Oracle.withFolder { folder in
      var random = SplitMix64(seed: 7)
      for rows in [0, 1, 7, 8, 9, 1000] {
        for nulls in RandomTable.Nulls.allCases {
          for (i, variety) in RandomTable.Variety.allCases.enumerated() {
            let codec = [Codec.none, .snappy, .zstd][(rows + i) % 3]
            let table = RandomTable(rows: rows, nulls: nulls, variety: variety, random: &random)
            let options = ParquetOptions(codec: codec, pageBytes: rows == 1000 && i % 2 == 0 ? 1024 : 1 << 20)
            let name = "\(rows)-\(nulls)-\(variety)-\(codec)"
            try write(table, options, name: name, to: folder, delta: variety == .many && rows > 0)
          }
        }
      }
      try Oracle.check(folder)
    }
  }

  @Test(arguments: RandomTable.Variety.allCases)
  func otherReadersFindTheValuesOfManyPagesAndRowGroups(variety: RandomTable.Variety) throws {
    try Oracle.withFolder { folder in
      var random = SplitMix64(seed: 11)
      let parts = Cases.step(debug: 5)
      let table = RandomTable(rows: 70_000 / parts, nulls: .some, variety: variety, random: &random)
      let options = ParquetOptions(codec: .zstd, pageBytes: (64 << 10) / parts, rowGroupRows: 30_000 / parts)
      try write(table, options, name: "large", to: folder, groups: [30_000, 30_000, 10_000].map { $0 / parts }, delta: true)
      try Oracle.check(folder)
    }
  }
}
