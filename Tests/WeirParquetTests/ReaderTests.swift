import Foundation
import Testing
import WeirCore
import WeirParquet
import WeirTesting

@Suite struct ReaderTests {
  /// An entry as Tests/EndToEnd/oracle/parquet_make.py and ``Sidecar`` write one.
  private func text(_ column: ParquetColumn, _ entry: Int) -> String? {
    switch column.leaf.kind {
    case .bool: column.bool(entry).map { $0 ? "true" : "false" }
    case .int: column.int(entry).map(String.init)
    case .double: column.double(entry).map { String($0.bitPattern) }
    case .bytes: column.bytes(entry).map { Sidecar.hex(Array($0)) }
    }
  }

  /// The entries of each row of a column, over all row groups.
  private func rows(_ reader: ParquetReader, _ leaf: Int) throws -> [[String?]] {
    var rows: [[String?]] = []
    for group in 0..<reader.groups {
      let column = try reader.column(leaf, group: group)
      for row in 0..<column.rows { rows.append(column.entries(ofRow: row).map { text(column, $0) }) }
    }
    return rows
  }

  @Test func filesOfOtherWritersAreRead() throws {
    try Oracle.withFolder { folder in
      try Oracle.run("parquet_make.py", folder)
      let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".parquet") }
      #expect(files.count > 30)
      for file in files.sorted() {
        let path = folder.appendingPathComponent(file)
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: path.deletingPathExtension().appendingPathExtension("json")))
        let wanted = try #require((json as? [String: Any])?["leaves"] as? [String: [[Any]]])
        let reader = try ParquetReader(Array(Data(contentsOf: path)), name: file)
        #expect(Set(reader.leaves.map(\.name)) == Set(wanted.keys), "\(file)")
        for (i, leaf) in reader.leaves.enumerated() {
          let expected = wanted[leaf.name]?.map {
            $0.map { $0 is NSNull ? nil : leaf.kind == .bool ? "\($0 as? Bool ?? false)" : $0 as? String }
          }
          #expect(try rows(reader, i) == expected, "\(file): \(leaf.name)")
        }
      }
    }
  }

  @Test(arguments: RandomTable.Variety.allCases)
  func filesOfOurWriterAreRead(variety: RandomTable.Variety) throws {
    var random = SplitMix64(seed: 5)
    for (rows, codec) in [(0, Codec.none), (1, .snappy), (9, .zstd), (5000, .snappy), (5000, .none)] {
      let table = RandomTable(rows: rows, nulls: .some, variety: variety, random: &random)
      let options = ParquetOptions(codec: codec, pageBytes: 4096, rowGroupRows: 2000, checksums: rows % 2 == 1)
      var writer = ParquetWriter(columns: table.schema, options: options)
      writer.append(table.columns)
      let reader = try ParquetReader(try writer.finish().bytes, name: "ours")
      #expect(reader.rows == rows && reader.leaves.map(\.name) == table.schema.map(\.name))
      for (i, values) in table.values.enumerated() {
        if case .decimal = table.schema[i].type, reader.leaves[i].kind == .bytes { continue }
        let expected = values.map { $0 == .null ? nil : Sidecar.text($0).filter { $0 != "\"" } }
        #expect(try self.rows(reader, i).map { $0.first ?? "none" } == expected, "\(table.schema[i])")
      }
    }
  }

  /// All that a file says; nil when it is refused, which must be with an error of the reader.
  private func contents(_ bytes: [UInt8]) throws -> [[[String?]]]? {
    do {
      let reader = try ParquetReader(bytes, name: "hostile")
      return try reader.leaves.indices.map { try rows(reader, $0) }
    } catch let error as WeirError {
      #expect(error.code == .corrupt && error.message.contains("hostile"), "\(error)")
      return nil
    }
  }

  @Test(arguments: ["arrow-33-rows", "arrow-1.0-delta-some", "arrow-2.0-gzip", "duckdb-V2-zstd", "polars-snappy"])
  func brokenFilesOfOtherWritersDoNoHarm(name: String) throws {
    try Oracle.withFolder { folder in
      try Oracle.run("parquet_make.py", folder)
      let bytes = try Array(Data(contentsOf: folder.appendingPathComponent(name + ".parquet")))
      var random = SplitMix64(seed: 3)
      for round in Cases.seeds(0..<400, debugStep: 5) {
        var broken = bytes
        for _ in 0...random.below(3) {
          // Half of the flips go to the footer, which says where everything is.
          let at = round % 2 == 0 ? random.below(bytes.count) : bytes.count - 1 - random.below(min(bytes.count, 3000))
          broken[at] ^= UInt8(1 + random.below(255))
        }
        if round % 8 == 0 { broken.removeLast(random.below(broken.count)) }
        _ = try contents(broken)
      }
    }
  }

  @Test func everyCutIsRefused() throws {
    var random = SplitMix64(seed: 9)
    let table = RandomTable(rows: 20, nulls: .some, variety: .few, random: &random)
    var writer = ParquetWriter(columns: table.schema, options: ParquetOptions(codec: .snappy))
    writer.append(table.columns)
    let bytes = try writer.finish().bytes
    for count in 0..<bytes.count { #expect(try contents(Array(bytes[..<count])) == nil) }
  }
}
