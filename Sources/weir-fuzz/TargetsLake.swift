import WeirCore
import WeirDelta
import WeirParquet
import WeirTesting

extension FuzzTarget {
  private static let schema = [
    ColumnSchema("s", .string), ColumnSchema("i", .int64), ColumnSchema("d", .double), ColumnSchema("b", .bool),
    ColumnSchema("t", .timestamp),
    ColumnSchema("m", .decimal(precision: 38, scale: 2)), ColumnSchema("n", .decimal(precision: 9, scale: 2), nullable: false),
  ]

  private static func parquetFile(_ rows: Int, _ options: ParquetOptions) throws -> [UInt8] {
    var builders = schema.map { ColumnBuilder($0.type) }
    for row in 0..<rows {
      let value = Int64(row)
      let values: [Literal] = [
        row % 3 == 0 ? .null : .string("text \(row % 4)"), .int64(value * 3), row % 5 == 0 ? .null : .double(Double(row) / 3),
        .bool(row % 2 == 0),
        .timestamp(value * 1_000_000), .decimal(Int128(row) << 70, precision: 38, scale: 2), .decimal(Int128(row), precision: 9, scale: 2),
      ]
      for (i, value) in values.enumerated() { builders[i].append(value) }
    }
    var writer = ParquetWriter(columns: schema, options: options)
    writer.append(builders.map { $0.finish() })
    return try writer.finish().bytes
  }

  private static func parquetFiles() throws -> [[UInt8]] {
    [
      try parquetFile(9, ParquetOptions(codec: .none)),
      try parquetFile(40, ParquetOptions(codec: .snappy, pageBytes: 64, rowGroupRows: 20, checksums: true)),
      try parquetFile(30, ParquetOptions(codec: .zstd)), try parquetFile(0, ParquetOptions(codec: .none)),
      try parquetFile(1, ParquetOptions(codec: .none)),
    ]
  }

  /// Reads all that a file says: a reader's error, or rows that fit the file's own numbers.
  private static func readParquet(_ bytes: [UInt8]) throws {
    let reader = try ParquetReader(bytes, name: "hostile")
    var entries = 0
    for group in 0..<reader.groups {
      for leaf in reader.leaves.indices {
        let column: ParquetColumn
        do { column = try reader.column(leaf, group: group) } catch {
          expect(error.code == .corrupt && error.message.contains("hostile"), "\(error)")
          continue
        }
        expect(column.rows == reader.rows(inGroup: group), "a column of \(column.rows) rows in a group of \(reader.rows(inGroup: group))")
        for row in 0..<column.rows {
          for entry in column.entries(ofRow: row) {
            _ = (column.bool(entry), column.int(entry), column.double(entry), column.bytes(entry)?.count)
            entries += 1
          }
        }
      }
    }
  }

  static let parquet = FuzzTarget("parquet", words: ["PAR1"], seeds: { try parquetFiles() }) { try readParquet($0) }

  /// The footer alone (Thrift), behind the pages of a file that is whole.
  static let parquetFooter = FuzzTarget(
    "parquet-footer", words: ["\u{15}\u{0}", "\u{19}\u{1C}", "\u{18}"],
    seeds: { try parquetFiles().enumerated().map { [UInt8($0)] + footer($1) } }
  ) { input in
    let files = try Pages.files.get()
    let pages = files[Int(input.first ?? 0) % files.count]
    let footer = Array(input.dropFirst())
    let length = (0..<4).map { UInt8(truncatingIfNeeded: footer.count >> (8 * $0)) }
    try readParquet(pages + footer + length + Array("PAR1".utf8))
  }

  private enum Pages {
    static let files = Result { try parquetFiles().map { Array($0.dropLast(8 + footer($0).count)) } }
  }

  private static func footer(_ file: [UInt8]) -> [UInt8] {
    let length = file.dropLast(4).suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    return Array(file.dropLast(8).suffix(length))
  }

  // MARK: Delta

  private static let deltaWords =
    jsonWords + [
      "\"add\":{", "\"remove\":{", "\"txn\":{", "\"metaData\":{", "\"protocol\":{", "\"path\":", "\"size\":", "\"version\":", "\"appId\":",
      "\"schemaString\":", "\"minReaderVersion\":", "\"partitionValues\":", "\"deletionVector\":{", "\"readerFeatures\":", "\"stats\":",
      "%41", "%",
    ]

  private static let removal = #"{"remove":{"path":"day=%C3%A9/part-1.parquet","deletionTimestamp":2,"dataChange":true}}"#

  private static func actions(_ version: Int64) -> [DeltaAction] {
    let columns = [ColumnSchema("day", .string), ColumnSchema("n", .int64)]
    var actions =
      version == 0
      ? DeltaTable.creation(
        id: "id", columns: columns, partitionColumns: ["day"], configuration: ["weir.ledger": "l"], milliseconds: 1) : []
    actions += [
      .transaction(appID: "l/t", version: version),
      .add(
        DeltaAdd(
          path: "day=%C3%A9/part-\(version).parquet", partitionValues: [("day", version == 1 ? nil : "é")], bytes: 100 + version,
          modificationMilliseconds: 17, stats: #"{"numRecords":1}"#)),
    ]
    if version == 2, let remove = try? JSONValue(parsing: removal.utf8), let action = DeltaAction(remove) { actions.append(action) }
    return actions
  }

  static let deltaCommit = FuzzTarget(
    "delta-commit", words: deltaWords,
    seeds: { (0..<3).map { DeltaCommit.encode(info: [.init("operation", .string("WRITE"))], actions: actions($0)) } }
  ) { input in
    _ = DeltaCommit.isIntact(input)
    let all = try DeltaCommit.decode(input, path: "hostile")
    for action in all {
      expect(DeltaAction(action.json) == action, "written and read it is another action: \(action.json.text)")
      if case .add(let add) = action { _ = uriDecode(add.path) }
    }
    let bytes = DeltaCommit.encode(info: [], actions: all)
    expect(DeltaCommit.isIntact(bytes) == true, "its own hash is wrong")
    expect(Array(try DeltaCommit.decode(bytes, path: "again").dropFirst()) == all, "written and read it is another commit")
    let text = String(decoding: input.prefix(100), as: UTF8.self)
    expect(uriDecode(uriEncode(text)) == text, "encoded and decoded it is another path")
  }

  /// A table whose hint, newest commit and checkpoint are hostile.
  static let deltaTable = FuzzTarget(
    "delta-table", words: deltaWords,
    seeds: {
      let store = MemoryStore()
      let table = DeltaTable(store: store, path: "t")
      return try wait {
        for version in Int64(0)..<3 {
          _ = await table.tryCommit(version: version, bytes: DeltaCommit.encode(info: [], actions: actions(version)))
        }
        try await table.writeCheckpoint(of: try await table.tip()!)
        let hint = try await store.get("t/_delta_log/_last_checkpoint") ?? []
        let checkpoint = try await store.get("t/_delta_log/00000000000000000002.checkpoint.parquet") ?? []
        let commit = DeltaCommit.encode(info: [], actions: actions(3))
        return [Parts.join(hint, commit, checkpoint), Parts.join([], commit, checkpoint), Parts.join(hint, [], checkpoint)]
      }
    }
  ) { input in
    let parts = Parts.split(input, 3)
    var objects = ["t/_delta_log/00000000000000000002.checkpoint.parquet": parts[2], "t/_delta_log/00000000000000000003.json": parts[1]]
    if !parts[0].isEmpty { objects["t/_delta_log/_last_checkpoint"] = parts[0] }
    let store = MemoryStore(objects)
    try wait {
      let table = DeltaTable(store: store, path: "t")
      guard let snapshot = try await table.snapshot() else { return }
      expect(snapshot.version == 3, "version \(snapshot.version) of a table with 3")
      guard let tip = try await table.tip(), tip.version == 3 else { fail("no tip of a table that has a snapshot") }
      // What was read can be written, and is the same then.
      try await table.writeCheckpoint(of: tip)
      let checkpoint = "t/_delta_log/00000000000000000003.checkpoint.parquet"
      let copy = MemoryStore([checkpoint: try await store.get(checkpoint) ?? []])
      guard let again = try await DeltaTable(store: copy, path: "t").snapshot() else { fail("a checkpoint that is not there") }
      expect(
        again.files == snapshot.files && again.transactions == snapshot.transactions && again.metadata == snapshot.metadata,
        "another snapshot")
    }
  }
}
