import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// The sections about what becomes of records: checks, dedup, tables, settings.
extension PipelineLoader {
  private func condition(_ node: Node, _ what: String) -> Expr? {
    guard let text = reader.string(node, what) else { return nil }
    do throws(ExpressionError) { return try counted(compileCondition(text, inputs: inputs)) } catch {
      reader.report(error, at: node, in: what)
      return nil
    }
  }

  func checks(_ node: Node) -> [Check] {
    guard let list = node.sequence else {
      reader.report("checks is a list of {name, that}", "bad_value", at: node)
      return []
    }
    guard reader.isBounded(list.count, "checks", at: node) else { return [] }
    var names = Set<String>()
    return list.compactMap { item in
      let members = reader.mapping(item, "check", keys: ["name", "that", "else"])
      guard let nameNode = reader.required(members, "name", of: "check", at: item), let name = reader.string(nameNode, "check.name"),
        let that = reader.required(members, "that", of: "check \(name)", at: item).flatMap({ condition($0, "check \(name)") })
      else { return nil }
      if !names.insert(name).inserted { reader.report("duplicate check \(name)", "duplicate_name", at: nameNode) }
      let otherwise = members["else"].flatMap { reader.choice($0, "check \(name).else", ["quarantine", "drop", "fail"]) }
      return Check(name: name, that: that, otherwise: otherwise.flatMap(Check.Otherwise.init(rawValue:)) ?? .quarantine)
    }
  }

  func quarantine(_ node: Node) -> QuarantineSpec {
    let members = reader.mapping(node, "quarantine", keys: ["halt_above", "exit_above"])
    return QuarantineSpec(
      haltAbove: members["halt_above"].flatMap { reader.percent($0, "quarantine.halt_above") },
      exitAbove: members["exit_above"].flatMap { reader.percent($0, "quarantine.exit_above") })
  }

  func dedup(_ node: Node, _ record: RecordSpec) -> DedupSpec? {
    let members = reader.mapping(node, "dedup", keys: ["id", "within"])
    guard let id = reader.required(members, "id", of: "dedup", at: node).flatMap({ field($0, "dedup.id") }) else { return nil }
    let within = members["within"].flatMap { reader.duration($0, "dedup.within") }
    if within != nil, record.time == nil { reader.report("dedup.within needs record.time", "missing_key", at: members["within"]) }
    return DedupSpec(id: id, withinMicroseconds: within)
  }

  // MARK: Partitions

  /// - Parameter columns: of the table.
  func partitions(_ node: Node?, _ what: String, _ columns: [ColumnSchema]) -> [PartitionColumn] {
    guard let node else { return [] }
    var texts: [(text: String, node: Node)] = []
    for (text, item) in reader.strings(node, what) {
      for part in text.split(separator: ",") { texts.append((part.trimmingSpaces, item)) }
    }
    var result: [PartitionColumn] = []
    for (text, item) in texts {
      guard let partition = partition(text, item, what, columns) else { continue }
      if result.contains(where: { $0.name.lowercased() == partition.name.lowercased() }) {
        reader.report("\(what): duplicate \(partition.name)", "duplicate_name", at: item)
      }
      result.append(partition)
    }
    if !columns.isEmpty, result.filter({ $0.transform == .identity }).count == columns.count {
      reader.report("\(what): a table needs a column that is not a partition column", "bad_value", at: node)
    }
    return result
  }

  private func partition(_ text: String, _ node: Node, _ what: String, _ columns: [ColumnSchema]) -> PartitionColumn? {
    var transform = PartitionColumn.Transform.identity
    var name = text
    if let bracket = text.firstIndex(of: "("), text.hasSuffix(")") {
      let word = text[..<bracket].trimmingSpaces
      guard let known = PartitionColumn.Transform(rawValue: word), known != .identity else {
        reader.report(
          "\(what): \(word) must be year, month, day or hour", "bad_value", at: node,
          suggestion: nearestName(word, in: ["year", "month", "day", "hour"]))
        return nil
      }
      transform = known
      name = text[text.index(after: bracket)...].dropLast().trimmingSpaces
    }
    guard let column = columns.first(where: { $0.name == name }) else {
      reader.report(
        "\(what): the table has no column \(name)", "unknown_column", at: node, suggestion: nearestName(name, in: columns.map(\.name)))
      return nil
    }
    if transform != .identity, column.type != .timestamp {
      reader.report("\(what): \(name) is \(column.type.name), \(transform.rawValue) needs a timestamp", "type_mismatch", at: node)
    }
    let own = transform == .identity ? name : "\(name)_\(transform.rawValue)"
    if transform != .identity, let same = columns.first(where: { $0.name.lowercased() == own.lowercased() }) {
      reader.report("\(what): the table already has a column \(same.name)", "duplicate_name", at: node)
    }
    return PartitionColumn(transform: transform, column: name, name: own)
  }

  // MARK: Bronze and silver

  func bronze(_ node: Node) -> BronzeSpec {
    if node.null != nil { return BronzeSpec() }
    let members = reader.mapping(node, "bronze", keys: ["partition_by"])
    let columns = [
      ColumnSchema("key", .binary), ColumnSchema("value", .binary), ColumnSchema("headers", .string), ColumnSchema("_shard", .string),
      ColumnSchema("_position", .int64), ColumnSchema("_arrival", .timestamp), ColumnSchema("_ingest_ts", .timestamp),
      ColumnSchema("_source", .string), ColumnSchema("_run_id", .string),
    ]
    return BronzeSpec(partitionBy: partitions(members["partition_by"], "bronze.partition_by", columns))
  }

  func silver(_ node: Node) -> SilverSpec? {
    let members = node.null != nil ? [:] : reader.mapping(node, "silver", keys: ["partition_by", "columns"])
    let star = Array(fields.indices)
    var columns: [OutputColumn] = []
    var isWhole = true
    if let list = members["columns"] {
      for (text, item) in reader.strings(list, "silver.columns") {
        do throws(ExpressionError) {
          columns += try counted(compileSelectList(text, inputs: inputs, star: star, taken: columns.map(\.name)))
        } catch {
          reader.report(error, at: item, in: "silver.columns")
          isWhole = false
        }
      }
      if list.sequence != nil, columns.isEmpty { return nil }
    } else {
      do throws(ExpressionError) {
        columns = try counted(compileSelectList("*", inputs: inputs, star: star))
      } catch {
        reader.report(error, at: node, in: "silver (all fields)")
        isWhole = false
      }
    }
    guard isWhole else { return SilverSpec(columns: columns) }
    let schema = columns.map { ColumnSchema($0.name, $0.expr.type) }
    return SilverSpec(columns: columns, partitionBy: partitions(members["partition_by"], "silver.partition_by", schema))
  }

  // MARK: Gold and state

  func gold(_ node: Node, _ record: RecordSpec) -> [GoldSpec] {
    if record.time == nil { reader.report("gold needs record.time: windows are in event time", "missing_key", at: node) }
    return reader.named(node, "gold").compactMap { (name, key, value) -> GoldSpec? in
      guard tableName(key, "gold") != nil else { return nil }
      let what = "gold.\(name)"
      let members = reader.mapping(value, what, keys: ["where", "by", "window", "measure", "partition_by", "emit"])
      if let emit = members["emit"] { _ = reader.choice(emit, "\(what).emit", ["final"], later: ["revisions"]) }
      let reserved = GoldSpec.ownColumns
      let by = self.by(members, what, value, reserved)
      let measures = self.measures(members, what, value, reserved + by.map(\.name))
      guard let windowNode = reader.required(members, "window", of: what, at: value), let window = window(windowNode, what) else {
        return nil
      }
      let schema =
        by.map { ColumnSchema($0.name, $0.expr.type) } + [ColumnSchema("window_start", .timestamp), ColumnSchema("window_end", .timestamp)]
        + measures.map { ColumnSchema($0.name, $0.type) } + [ColumnSchema("revision", .int64)]
      return GoldSpec(
        name: name, filter: members["where"].flatMap { condition($0, "\(what).where") }, by: by, window: window, measures: measures,
        partitionBy: partitions(members["partition_by"], "\(what).partition_by", schema))
    }
  }

  func state(_ node: Node) -> [StateSpec] {
    reader.named(node, "state").compactMap { (name, key, value) -> StateSpec? in
      guard tableName(key, "state") != nil else { return nil }
      let what = "state.\(name)"
      let members = reader.mapping(value, what, keys: ["where", "by", "measure"], later: ["ttl"])
      let by = self.by(members, what, value, StateSpec.ownColumns)
      if by.isEmpty, members["by"] != nil { reader.report("\(what).by names no column", "bad_value", at: members["by"]) }
      let measures = self.measures(members, what, value, StateSpec.ownColumns + by.map(\.name))
      return StateSpec(name: name, filter: members["where"].flatMap { condition($0, "\(what).where") }, by: by, measures: measures)
    }
  }

  private func by(_ members: [String: Node], _ what: String, _ node: Node, _ reserved: [String]) -> [OutputColumn] {
    guard let list = reader.required(members, "by", of: what, at: node) else { return [] }
    var columns: [OutputColumn] = []
    for (text, item) in reader.strings(list, "\(what).by") {
      do throws(ExpressionError) {
        columns += try counted(compileSelectList(text, inputs: inputs, star: [], taken: reserved + columns.map(\.name)))
      } catch { reader.report(error, at: item, in: "\(what).by") }
    }
    let origins = columns.compactMap { column in column.expr.plainColumn.map { inputs[$0].origin } }
    if isByShard, let key, origins.contains(.field(key)), !origins.contains(.system(.shard)) {
      let shard = SystemColumn.shard.rawValue
      do throws(ExpressionError) {
        columns += try compileSelectList(shard, inputs: inputs, star: [], taken: reserved + columns.map(\.name))
      } catch { reader.report(error, at: list, in: "\(what).by (misplaced: per_shard adds \(shard))") }
    }
    return columns
  }

  private func measures(_ members: [String: Node], _ what: String, _ node: Node, _ taken: [String]) -> [Measure] {
    guard let list = reader.required(members, "measure", of: what, at: node) else { return [] }
    var names = TableNames(taken)
    return reader.named(list, "\(what).measure").compactMap { (name, key, value) -> Measure? in
      if let reason = names.add(name) {
        reader.report("\(what).measure: \(reason)", TableNames.code(name), at: key)
      }
      guard let text = reader.string(value, "\(what).measure.\(name)") else { return nil }
      do throws(ExpressionError) {
        let call = try compileMeasure(text, inputs: inputs)
        if let argument = call.argument { _ = try counted(argument) }
        return Measure(name: name, function: call.function, argument: call.argument, type: call.type)
      } catch {
        reader.report(error, at: value, in: "\(what).measure.\(name)")
        return nil
      }
    }
  }

  private func window(_ node: Node, _ what: String) -> WindowSpec? {
    let members = reader.mapping(
      node, "\(what).window", keys: ["tumbling", "hopping", "every", "lateness"], later: ["session", "sliding", "cumulative"])
    let lateness = members["lateness"].flatMap { reader.duration($0, "\(what).window.lateness") } ?? 0
    func impossible(_ why: String, _ at: Node) -> WindowSpec? {
      reader.report("\(what).window: \(why)", "impossible_window", at: at)
      return nil
    }
    if let tumbling = members["tumbling"] {
      if members["hopping"] != nil || members["every"] != nil { return impossible("either tumbling, or hopping with every", node) }
      guard let size = reader.duration(tumbling, "\(what).window.tumbling") else { return nil }
      return size > 0 ? WindowSpec(size: size, slide: size, lateness: lateness) : impossible("a window needs a length", tumbling)
    }
    guard let hopping = members["hopping"] else {
      if members["session"] == nil { return impossible("needs tumbling: 10s, or hopping: 60s with every: 1s", node) }
      return nil
    }
    guard let every = members["every"] else { return impossible("hopping needs every: how far windows are apart", node) }
    guard let size = reader.duration(hopping, "\(what).window.hopping"), let slide = reader.duration(every, "\(what).window.every") else {
      return nil
    }
    guard slide > 0, size > 0 else { return impossible("a window needs a length", node) }
    guard size % slide == 0 else { return impossible("the length must be a multiple of every", node) }
    guard size / slide <= 10_000 else { return impossible("a record would be in \(size / slide) windows; the maximum is 10000", node) }
    return WindowSpec(size: size, slide: slide, lateness: lateness)
  }

  // MARK: Settings

  /// - Parameter keepsRows: the plan has tables whose rows are held until a cut.
  func lake(_ node: Node?, keepsRows: Bool) -> LakeSpec {
    var spec = LakeSpec(flushBytes: keepsRows ? LakeSpec.flushBytesWithRows : LakeSpec.flushBytesWithoutRows)
    guard let node else { return spec }
    let members = reader.mapping(node, "lake", keys: ["path", "flush", "file_size", "codec", "ledger_keep"])
    if let path = reader.path(members["path"], "lake.path") { spec.path = path }
    if let keep = members["ledger_keep"].flatMap({ reader.duration($0, "lake.ledger_keep") }) { spec.ledgerKeepMicroseconds = keep }
    if let flush = members["flush"] {
      let inner = reader.mapping(flush, "lake.flush", keys: ["every", "bytes"])
      if let every = inner["every"].flatMap({ reader.duration($0, "lake.flush.every") }) { spec.flushEveryMicroseconds = every }
      if let bytes = inner["bytes"].flatMap({ reader.bytes($0, "lake.flush.bytes") }) { spec.flushBytes = bytes }
    }
    if let size = members["file_size"].flatMap({ reader.bytes($0, "lake.file_size") }) { spec.fileSizeBytes = size }
    if let codec = members["codec"].flatMap({ reader.choice($0, "lake.codec", ["zstd", "snappy", "none"]) }) {
      spec.codec = Codec(rawValue: codec) ?? .zstd
    }
    return spec
  }

  func store(_ node: Node) -> StoreSpec {
    var spec = StoreSpec()
    let members = reader.mapping(node, "store", keys: ["lmdb", "flush", "share"], later: ["dynamodb", "redis"])
    if let path = reader.path(members["lmdb"], "store.lmdb") { spec.path = path }
    if let flush = members["flush"].flatMap({ reader.duration($0, "store.flush") }) { spec.flushMicroseconds = max(1000, flush) }
    if let share = members["share"].flatMap({ reader.percent($0, "store.share") }) { spec.share = share }
    return spec
  }
}
