import WeirCore
import WeirGlueSettings

/// A Delta table as the Data Catalog describes it, for engines that read the table's own log.
///
/// Sources: Athena User Guide, "Synchronize Delta Lake metadata" (the example of `create-table`) and "Get started with Delta Lake tables";
/// Glue Developer Guide, "Table structure"; what Glue's crawler writes for a native Delta table. Partition columns are ordinary columns here:
/// readers take partitions from the log, and the catalogue has none to keep.
struct GlueTable: Sendable {
  /// Whose table it is: the pipeline's name.
  static let owner = "weir.pipeline"

  let name: String
  let table: CatalogTable
  let pipeline: String

  /// With a slash at its end, as Athena wants it.
  var location: String { table.location.hasSuffix("/") ? table.location : table.location + "/" }

  private var parameters: [(String, String)] {
    [
      ("EXTERNAL", "TRUE"), ("classification", "delta"), ("spark.sql.sources.provider", "delta"), ("table_type", "delta"),
      (GlueTable.owner, pipeline),
    ]
  }

  /// - Parameter old: what the catalogue has, of which all is kept that others wrote; nil: nothing.
  func input(over old: JSONValue? = nil) -> JSONValue {
    var members: [JSONValue.Member] = [.init("Name", .string(name))]
    // Of GetTable's answer, what UpdateTable takes.
    for kept in ["Description", "Owner", "Retention"] {
      if let value = old?[kept], !value.isNull { members.append(.init(kept, value)) }
    }
    if old == nil { members.append(.init("Description", .string("\(table.path) of the pipeline \(pipeline)"))) }
    members += [
      .init("TableType", .string("EXTERNAL_TABLE")), .init("PartitionKeys", .array([])),
      .init("Parameters", GlueTable.merged(parameters, over: old?["Parameters"])),
      .init("StorageDescriptor", storage(over: old?["StorageDescriptor"])),
    ]
    return .object(members)
  }

  private func storage(over old: JSONValue?) -> JSONValue {
    .members([
      "Columns": .array(columns(over: old?["Columns"]?.array ?? [])), "Location": .string(location),
      "InputFormat": .string("org.apache.hadoop.mapred.SequenceFileInputFormat"),
      "OutputFormat": .string("org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat"),
      "Compressed": .bool(false),
      "SerdeInfo": .members([
        "SerializationLibrary": .string("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
        "Parameters": GlueTable.merged(
          [("path", location), ("serialization.format", "1")], over: old?["SerdeInfo"]?["Parameters"]),
      ]),
      "StoredAsSubDirectories": .bool(false),
    ])
  }

  /// Ours in their order, with the comments that they have; then those that only a newer plan has: another worker may know more columns.
  private func columns(over old: [JSONValue]) -> [JSONValue] {
    let own = table.columns.map { (name: $0.name.lowercased(), type: GlueTable.type($0.type)) }
    let described = own.map { column in
      let comment = old.first { $0["Name"]?.string == column.name }?["Comment"]
      return JSONValue.object(
        [.init("Name", .string(column.name)), .init("Type", .string(column.type))]
          + (comment.map { $0.isNull ? [] : [.init("Comment", $0)] } ?? []))
    }
    let names = Set(own.map(\.name))
    return described + old.filter { other in other["Name"]?.string.map { !names.contains($0) } ?? false }
  }

  private static func merged(_ own: [(String, String)], over old: JSONValue?) -> JSONValue {
    let kept = (old?.members ?? []).filter { member in !own.contains { $0.0 == member.name } }
    return .object((kept + own.map { .init($0.0, .string($0.1)) }).sorted { $0.name < $1.name })
  }

  // MARK: What is there

  /// Why a table of the catalogue is left alone; nil: it is ours.
  func refusal(of old: JSONValue) -> String? {
    guard let owner = old["Parameters"]?[GlueTable.owner]?.string else { return "another program made it" }
    guard owner == pipeline else { return "it is of the pipeline \(owner.shortened(toBytes: 100))" }
    let there = old["StorageDescriptor"]?["Location"]?.string ?? ""
    let plain = there.hasSuffix("/") ? there : there + "/"
    return plain == location ? nil : "it is of another lake, at \(there.shortened(toBytes: 300))"
  }

  /// Whether the catalogue has all that ``input(over:)`` would write.
  func isUpToDate(_ old: JSONValue) -> Bool {
    let wanted = input(over: old)
    func same(_ a: JSONValue?, _ b: JSONValue?) -> Bool { Set(GlueTable.pairs(a)) == Set(GlueTable.pairs(b)) }
    let (storage, stored) = (wanted["StorageDescriptor"], old["StorageDescriptor"])
    // Columns that only a newer plan has may be anywhere between ours: two workers do not change their order in turn.
    let own = Set(table.columns.map { $0.name.lowercased() })
    let columns = { (value: JSONValue?) in
      (value?["Columns"]?.array ?? []).filter { own.contains($0["Name"]?.string ?? "") }
        .map { "\($0["Name"]?.string ?? ""):\($0["Type"]?.string ?? "")" }
    }
    return columns(storage) == columns(stored) && same(wanted["Parameters"], old["Parameters"])
      && same(storage?["SerdeInfo"]?["Parameters"], stored?["SerdeInfo"]?["Parameters"])
      && storage?["InputFormat"] == stored?["InputFormat"] && old["TableType"]?.string == "EXTERNAL_TABLE"
  }

  private static func pairs(_ value: JSONValue?) -> [String] { (value?.members ?? []).map { "\($0.name)=\($0.value.text)" } }

  /// The type's name in Hive's words, which Glue and Athena use.
  static func type(_ type: ColumnType) -> String {
    switch type {
    case .bool: "boolean"
    case .int64: "bigint"
    case .double: "double"
    case .string: "string"
    case .binary: "binary"
    case .timestamp: "timestamp"
    case .decimal(let precision, let scale): "decimal(\(precision),\(scale))"
    case .list(let element): "array<\(self.type(element))>"
    case .map(let value): "map<string,\(self.type(value))>"
    case .structure(let members): "struct<\(members.map { "\($0.name.lowercased()):\(self.type($0.type))" }.joined(separator: ","))>"
    }
  }
}
