import WeirCore
import WeirParquet

/// One file of a checkpoint, read one row group at a time: a checkpoint of a large table does not fit in memory.
struct CheckpointFile {
  /// Read at once from the end of the file; a longer footer takes one more request.
  private static let endBytes = 64 << 10

  private let store: any ObjectStore
  private let path: String
  private let parquet: ParquetGroups

  /// Reads the footer.
  /// - Throws: `corrupt` when the file is not a Parquet file or not there; what the store throws.
  init(_ object: ObjectInfo, _ store: any ObjectStore) async throws {
    let path = object.path
    let size = Int(clamping: object.bytes)
    func read(_ range: Range<Int>) async throws -> [UInt8] {
      guard let bytes = try await store.get(path, offset: Int64(range.lowerBound), count: range.count) else {
        throw WeirError(.corrupt, "the checkpoint \(path) was deleted while it was read", advice: "Run again.")
      }
      return bytes
    }
    let first = min(size, ParquetGroups.beginning)
    let beginning = try await read(0..<first)
    var end = try await read(max(first, size - CheckpointFile.endBytes)..<size)
    if let footer = ParquetGroups.footerBytes(end: end), footer > end.count, footer <= size - first {
      end = try await read(size - footer..<size)
    }
    parquet = try ParquetGroups(beginning: beginning, end: end, size: size, name: path)
    (self.store, self.path) = (store, path)
  }

  var groups: Int { parquet.count }
  var rows: Int { parquet.rows }

  /// The actions of one row group.
  /// - Throws: `corrupt` when they cannot be read, `foreign_table` for a checkpoint of version 2; what the store throws.
  func actions(ofGroup group: Int) async throws -> [DeltaAction] {
    let range = parquet.bytes(ofGroup: group)
    let bytes = try await store.get(path, offset: Int64(range.lowerBound), count: range.count) ?? []
    return try CheckpointReader(parquet.reader(ofGroup: group, bytes), path: path).actions(0)
  }
}

/// Reads the row groups of a classic checkpoint, by whatever program wrote it: columns are found by name, and maps and lists by
/// their place, since writers name the groups inside them differently.
///
/// Source: PROTOCOL.md of Delta, "Checkpoint Schema".
struct CheckpointReader {
  private let path: String
  private let parquet: ParquetReader

  init(_ parquet: ParquetReader, path: String) {
    self.path = path
    self.parquet = parquet
  }

  func actions(_ group: Int) throws(WeirError) -> [DeltaAction] {
    try refuseVersion2(group)
    let rows = parquet.rows(inGroup: group)
    return try protocols(group, rows) + metadata(group, rows) + transactions(group, rows) + adds(group, rows) + removes(group, rows)
  }

  private func broken(_ reason: String) -> WeirError {
    WeirError(.corrupt, "the checkpoint \(path) \(reason)", advice: "Restore the file from a copy.")
  }

  private func refuseVersion2(_ group: Int) throws(WeirError) {
    let rows = parquet.rows(inGroup: group)
    let sidecars = try texts(["sidecar", "path"], group)
    let kinds = try column(["checkpointMetadata", "version"], .int, group)
    for row in 0..<rows where sidecars?.bytes(row) != nil || kinds?.int(row) != nil { throw DeltaTable.version2(path) }
  }

  // MARK: Columns

  /// Nil when the file has no such column: all of its values are null then.
  private func column(_ name: [String], _ kind: ParquetLeaf.Kind, _ group: Int) throws(WeirError) -> ParquetColumn? {
    guard let leaf = parquet.leaves.firstIndex(where: { $0.path == name }) else { return nil }
    return try column(leaf, kind, repetition: 0, group)
  }

  private func column(_ leaf: Int, _ kind: ParquetLeaf.Kind, repetition: Int, _ group: Int) throws(WeirError) -> ParquetColumn {
    let found = parquet.leaves[leaf]
    guard found.kind == kind, found.maxRepetition == repetition else { throw broken("has a column \(found.name) of another type") }
    return try parquet.column(leaf, group: group)
  }

  private func texts(_ name: [String], _ group: Int) throws(WeirError) -> ParquetColumn? { try column(name, .bytes, group) }

  private func ints(_ name: [String], _ group: Int) throws(WeirError) -> ParquetColumn? { try column(name, .int, group) }

  /// The columns inside a list (one) or map (two), or none when the file has no such field.
  private func inside(_ name: [String], count: Int, _ group: Int) throws(WeirError) -> [ParquetColumn] {
    let leaves = parquet.leaves(below: name)
    guard leaves.isEmpty || leaves.count == count else { throw broken("has a column \(name.joined(separator: ".")) of another shape") }
    var columns: [ParquetColumn] = []
    for leaf in leaves { columns.append(try column(leaf, .bytes, repetition: 1, group)) }
    return columns
  }

  private func text(_ column: ParquetColumn?, _ entry: Int) throws(WeirError) -> String? {
    guard let column, let bytes = column.bytes(entry) else { return nil }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw broken("has bytes in \(column.leaf.name) that are not UTF-8") }
    return text
  }

  private func list(_ columns: [ParquetColumn], _ row: Int) throws(WeirError) -> [String] {
    guard let elements = columns.first else { return [] }
    var values: [String] = []
    for entry in elements.entries(ofRow: row) { if let value = try text(elements, entry) { values.append(value) } }
    return values
  }

  private func map(_ columns: [ParquetColumn], _ row: Int) throws(WeirError) -> [(name: String, value: String?)] {
    guard columns.count == 2 else { return [] }
    let entries = columns[0].entries(ofRow: row)
    guard entries == columns[1].entries(ofRow: row) else { throw broken("has a map with more keys than values") }
    var pairs: [(name: String, value: String?)] = []
    for entry in entries {
      guard let name = try text(columns[0], entry) else { throw broken("has a map without a key") }
      pairs.append((name, try text(columns[1], entry)))
    }
    return pairs
  }

  // MARK: Actions

  private func protocols(_ group: Int, _ rows: Int) throws(WeirError) -> [DeltaAction] {
    guard let readers = try ints(["protocol", "minReaderVersion"], group) else { return [] }
    let writers = try ints(["protocol", "minWriterVersion"], group)
    let needed = [
      try inside(["protocol", "readerFeatures"], count: 1, group), try inside(["protocol", "writerFeatures"], count: 1, group),
    ]
    var actions: [DeltaAction] = []
    for row in 0..<rows {
      guard let reader = readers.int(row) else { continue }
      guard let writer = writers?.int(row) else { throw broken("has a protocol without a writer's version") }
      actions.append(.protocolVersion(reader: reader, writer: writer, features: try list(needed[0], row) + list(needed[1], row)))
    }
    return actions
  }

  private func metadata(_ group: Int, _ rows: Int) throws(WeirError) -> [DeltaAction] {
    guard let ids = try texts(["metaData", "id"], group) else { return [] }
    let names = try texts(["metaData", "name"], group)
    let schemas = try texts(["metaData", "schemaString"], group)
    let partitions = try inside(["metaData", "partitionColumns"], count: 1, group)
    let configurations = try inside(["metaData", "configuration"], count: 2, group)
    let created = try ints(["metaData", "createdTime"], group)
    var actions: [DeltaAction] = []
    for row in 0..<rows {
      guard let id = try text(ids, row) else { continue }
      guard let schema = try text(schemas, row) else { throw broken("has metadata without a schema") }
      var configuration: [String: String] = [:]
      for (name, value) in try map(configurations, row) { configuration[name] = value }
      actions.append(
        .metadata(
          DeltaMetadata(
            id: id, name: try text(names, row), schema: schema, partitionColumns: try list(partitions, row),
            configuration: configuration, createdMilliseconds: created?.int(row))))
    }
    return actions
  }

  private func transactions(_ group: Int, _ rows: Int) throws(WeirError) -> [DeltaAction] {
    guard let apps = try texts(["txn", "appId"], group) else { return [] }
    let versions = try ints(["txn", "version"], group)
    var actions: [DeltaAction] = []
    for row in 0..<rows {
      guard let app = try text(apps, row) else { continue }
      guard let version = versions?.int(row) else { throw broken("has a transaction without a version") }
      actions.append(.transaction(appID: app, version: version))
    }
    return actions
  }

  private func adds(_ group: Int, _ rows: Int) throws(WeirError) -> [DeltaAction] {
    guard let paths = try texts(["add", "path"], group) else { return [] }
    let partitions = try inside(["add", "partitionValues"], count: 2, group)
    let sizes = try ints(["add", "size"], group)
    let modified = try ints(["add", "modificationTime"], group)
    let stats = try texts(["add", "stats"], group)
    var actions: [DeltaAction] = []
    for row in 0..<rows {
      guard let path = try text(paths, row) else { continue }
      guard let size = sizes?.int(row) else { throw broken("has a file without a size") }
      actions.append(
        .add(
          DeltaAdd(
            path: path, partitionValues: try map(partitions, row), bytes: size, modificationMilliseconds: modified?.int(row) ?? 0,
            stats: try text(stats, row))))
    }
    return actions
  }

  private func removes(_ group: Int, _ rows: Int) throws(WeirError) -> [DeltaAction] {
    guard let paths = try texts(["remove", "path"], group) else { return [] }
    let deleted = try ints(["remove", "deletionTimestamp"], group)
    let changes = try column(["remove", "dataChange"], .bool, group)
    var actions: [DeltaAction] = []
    for row in 0..<rows {
      guard let path = try text(paths, row) else { continue }
      actions.append(.remove(DeltaRemove(path: path, deletionMilliseconds: deleted?.int(row), dataChange: changes?.bool(row) ?? false)))
    }
    return actions
  }
}
