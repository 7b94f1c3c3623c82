import Foundation
import WeirCore
import WeirLocal
import WeirOperators
import WeirPlan
import Yams

/// Compiles the YAML of a pipeline into a ``Plan``, section by section in the order in which they depend on each other.
package final class PipelineLoader {
  let reader: YAMLReader
  let directory: String
  var fields: [Field] = []
  var inputs: [InputColumn] = []
  var lookups: [LookupSpec] = []
  var tables: [LookupTable] = []
  /// The field that is the record's key.
  var key: Int?
  /// Of the files of all lookups so far.
  private var lookupBytes = 0
  /// Of all expressions so far.
  var expressionsSize = 0
  /// Tables by key are told by shard.
  var isByShard = false

  let sections: PlanSections

  init(file: String, sections: PlanSections = .standard) {
    self.sections = sections
    reader = YAMLReader(file: file)
    let parent = (file as NSString).deletingLastPathComponent
    directory = parent.isEmpty ? "." : parent
  }

  func load(_ yaml: String) throws(ConfigurationError) -> LoadedPipeline {
    guard yaml.utf8.count <= PipelineBounds.fileBytesMax else {
      throw ConfigurationError(diagnostics: [PipelineLoader.tooLarge(reader.file, yaml.utf8.count)])
    }
    let plan = self.plan(yaml)
    let errors = reader.diagnostics.filter { $0.severity == .error }
    guard errors.isEmpty, let plan else {
      // What YAML makes of a text that it has split is not worth an error of its own.
      let splits = FlowSplits.diagnostics(yaml, file: reader.file)
      let more = reader.moreCount > 0 ? [reader.more] : []
      throw ConfigurationError(
        diagnostics: splits.isEmpty ? FollowUps.removed(from: reader.diagnostics) + more : Array(splits.prefix(PipelineBounds.problemsMax)))
    }
    return LoadedPipeline(
      plan: plan, file: reader.file, directory: directory, lookups: tables, warnings: reader.diagnostics, unset: reader.unset)
  }

  static func tooLarge(_ file: String, _ bytes: Int) -> Diagnostic {
    Diagnostic(
      severity: .error, code: "too_large",
      message:
        "the pipeline file has \(bytes) bytes, and at most \(PipelineBounds.fileBytesMax) (pipeline_file); put long lists into a lookup",
      suggestion: nil, file: file, line: 1, column: 1)
  }

  private func plan(_ yaml: String) -> Plan? {
    let root: Node
    do {
      // Editors of other systems put a byte order mark before the first key.
      let mark: Unicode.Scalar = "\u{FEFF}"
      let text = yaml.unicodeScalars.first == mark ? String(yaml.unicodeScalars.dropFirst()) : yaml
      if let line = AliasBounds.firstTooLarge(text) {
        reader.report(
          "the anchors (&NAME) and aliases (*NAME) of the pipeline file are too many, too deep or too large (pipeline_aliases): write the values out",
          "too_large", at: nil, line: line)
        return nil
      }
      guard let node = try Yams.compose(yaml: text) else {
        reader.report("the file is empty", "missing_key", at: nil)
        return nil
      }
      root = node
    } catch let error as YamlError {
      report(error)
      return nil
    } catch {
      reader.report("\(error)", "yaml", at: nil)
      return nil
    }
    let keys = [
      "pipeline", "source", "record", "checks", "quarantine", "dedup", "lookups", "bronze", "silver", "gold", "state", "lake", "store",
      "admin", "worker", "sinks",
    ]
    guard root.mapping?.contains(where: { pair in keys.contains(pair.key.string ?? "") }) != false else {
      // Keys of another program's file may be its secrets.
      reader.report("this is not a pipeline file: it has none of the keys \(keys.joined(separator: ", "))", "missing_key", at: root)
      return nil
    }
    let top = reader.mapping(root, "the pipeline", keys: keys)
    guard let record = reader.required(top, "record", of: "the pipeline", at: root).flatMap(self.record) else { return nil }
    key = record.key
    let name = reader.required(top, "pipeline", of: "the pipeline", at: root).flatMap { tableName($0, "pipeline") } ?? ""
    let source = reader.required(top, "source", of: "the pipeline", at: root).flatMap(self.source)
    if let node = top["lookups"] { loadLookups(node) }
    inputs = makeInputs()
    let checks = top["checks"].map(self.checks) ?? []
    let silver = top["silver"].flatMap(self.silver)
    let bronze = top["bronze"].map(bronze)
    var plan = Plan(
      pipeline: name, source: source ?? SourceSpec(stream: "", settings: CaptureSourceSettings()), record: record, checks: checks,
      quarantine: top["quarantine"].map(quarantine) ?? .init(), dedup: top["dedup"].flatMap { dedup($0, record) }, lookups: lookups,
      inputs: inputs, bronze: bronze, silver: silver, gold: top["gold"].map { gold($0, record) } ?? [],
      state: top["state"].map(state) ?? [], lake: lake(top["lake"], keepsRows: bronze != nil || silver != nil),
      store: top["store"].map(store) ?? .init())
    plan.admin = top["admin"].flatMap(admin)
    plan.worker = top["worker"].map(worker)
    plan.sinks = top["sinks"].flatMap { sinks($0, plan) }
    if plan.source.live != nil, plan.dedup != nil, plan.record.key == nil {
      reader.report(
        "dedup without record.key: duplicates are found within a partition only", "partition_only", at: top["dedup"], severity: .warning)
    }
    if let format = plan.record.format, source != nil, plan.source.live == nil {
      reader.report(
        "record.format \(format.rawValue): lines of a plain capture have no schema ids; record the topic with `weir capture` and replay it with source.kafka",
        "bad_value", at: top["record"])
    }
    if plan.source.live != nil, let node = top["record"]?.mapping?["blank_lines"] {
      reader.report(
        "record.blank_lines: only lines of a plain capture can be blank; a record of a topic is always a record", "bad_value", at: node)
    }
    warn(plan, top)
    if ["bronze", "silver", "gold", "state"].allSatisfy({ top[$0] == nil }) {
      reader.report(
        "bronze, silver, gold and state are all missing: only counts and quarantined records will be written", "no_output", at: root,
        severity: .warning)
    }
    return plan
  }

  private func report(_ error: YamlError) {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
      let node = Node.scalar(.init("", .implicit, .any, mark))
      reader.report("not YAML: \(problem)", "yaml", at: node)
    case .duplicatedKeysInMapping(let duplicates, let context):
      let node = Node.scalar(.init("", .implicit, .any, context.mark))
      // The file need not be a pipeline: a key is shown if it looks like one.
      let key = duplicates.first.flatMap {
        $0.utf8.count <= 64 && $0.allSatisfy { $0.isLetter || $0.isNumber || "_-.,()".contains($0) } ? $0 : nil
      }
      reader.report(key.map { "duplicate key: \($0)" } ?? "duplicate key", "duplicate_name", at: node)
    // Yams' own text quotes the line.
    case .reader(let problem, _, _, _): reader.report("not YAML: \(problem)", "yaml", at: nil)
    default: reader.report("not YAML: it cannot be read as text", "yaml", at: nil)
    }
  }

  /// Names of tables are names of directories.
  func tableName(_ node: Node, _ what: String, dots: Bool = false) -> String? {
    guard let name = reader.string(node, what) else { return nil }
    let allowed = name.utf8.allSatisfy { c in
      (c >= 0x30 && c <= 0x39) || (c | 0x20 >= 0x61 && c | 0x20 <= 0x7A) || c == 0x5F || c == 0x2D || (dots && c == 0x2E)
    }
    guard allowed, !name.isEmpty, name.utf8.count <= 200, name.first != ".", name.first != "_" else {
      reader.report("\(what): a name is made of letters, digits, - and _ (\(name))", "bad_name", at: node)
      return nil
    }
    return name
  }

  // MARK: Source and record

  private func source(_ node: Node) -> SourceSpec? {
    let names = sections.sources.map(\.name)
    let later = ["kinesis", "lake"]
    let members = reader.mapping(node, "source", keys: names, later: later)
    let given = sections.sources.filter { members[$0.name] != nil }
    if given.count > 1 { reader.report("source: either \(given.map(\.name).joined(separator: " or "))", "bad_value", at: node) }
    guard let adapter = given.last, let section = members[adapter.name] else {
      if later.allSatisfy({ members[$0] == nil }) {
        reader.report("source needs \(names.joined(separator: " or "))", "missing_key", at: node)
      }
      return nil
    }
    let source = adapter.read(section, with: self)
    isByShard = source?.live?.misplaced == .perShard
    return source
  }

  private func sinks(_ node: Node, _ plan: Plan) -> SinkSpec? {
    let names = sections.sinks.map(\.name)
    let members = reader.mapping(node, "sinks", keys: names)
    guard let adapter = sections.sinks.first(where: { members[$0.name] != nil }), let section = members[adapter.name] else {
      reader.report("sinks needs \(names.joined(separator: " or "))", "missing_key", at: node)
      return nil
    }
    return adapter.read(section, plan, with: self)
  }

  private func record(_ node: Node) -> RecordSpec? {
    let members = reader.mapping(node, "record", keys: ["format", "registry", "key", "time", "fields", "blank_lines"])
    let (format, registry) = self.format(members, node)
    guard let list = reader.required(members, "fields", of: "record", at: node) else { return nil }
    loadFields(list, format)
    let key = members["key"].flatMap { self.field($0, "record.key") }
    if let key, fields[key].type == .double { reader.report("record.key: a double cannot be a key", "type_mismatch", at: members["key"]) }
    var record = RecordSpec(fields: fields, key: key, time: members["time"].flatMap(time), format: format, registry: registry)
    let blank = members["blank_lines"].flatMap { reader.choice($0, "record.blank_lines", RecordSpec.BlankLines.allCases.map(\.rawValue)) }
    // The default is recorded as nothing: ledgers keep their plans.
    if blank == RecordSpec.BlankLines.quarantine.rawValue { record.blankLines = .quarantine }
    return record
  }

  func field(_ node: Node, _ what: String) -> Int? {
    guard let name = reader.string(node, what) else { return nil }
    if let index = fields.firstIndex(where: { $0.name == name }) { return index }
    reader.report("\(what): there is no field \(name)", "unknown_column", at: node, suggestion: nearestName(name, in: fields.map(\.name)))
    return nil
  }

  private func time(_ node: Node) -> TimeSpec? {
    let members = reader.mapping(node, "record.time", keys: ["field", "out_of_order", "max_ahead"])
    guard let at = reader.required(members, "field", of: "record.time", at: node), let index = field(at, "record.time.field") else {
      return nil
    }
    guard fields[index].type == .timestamp else {
      reader.report("record.time.field: \(fields[index].name) is \(fields[index].type.name), not a timestamp", "type_mismatch", at: at)
      return nil
    }
    if !fields[index].required {
      reader.report("record.time.field: \(fields[index].name) must be required: write its type with !", "type_mismatch", at: at)
    }
    return TimeSpec(
      field: index, outOfOrderMicroseconds: members["out_of_order"].flatMap { reader.duration($0, "record.time.out_of_order") } ?? 0,
      maxAheadMicroseconds: members["max_ahead"].flatMap {
        ["off", "false"].contains($0.string) ? Int64.max : reader.duration($0, "record.time.max_ahead")
      })
  }

  private func makeInputs() -> [InputColumn] {
    var all = fields.enumerated().map { InputColumn(name: $1.name, type: $1.type, nullable: !$1.required, origin: .field($0)) }
    for (l, lookup) in lookups.enumerated() {
      for (c, column) in lookup.columns.enumerated() {
        all.append(
          InputColumn(name: "\(lookup.name).\(column.name)", type: column.type, nullable: true, origin: .lookup(lookup: l, column: c)))
      }
    }
    for system in SystemColumn.allCases {
      let type: ColumnType = system == .arrival ? .timestamp : system == .position ? .int64 : .string
      all.append(InputColumn(name: system.rawValue, type: type, nullable: false, origin: .system(system)))
    }
    return all
  }

  // MARK: Lookups

  private func lookupFile(_ path: String, _ what: String, _ node: Node) -> [UInt8]? {
    do {
      let bytes = try InputFile.bytes(of: path, bytesMax: LookupTable.bytesMax - lookupBytes)
      lookupBytes += bytes.count
      return bytes
    } catch {
      switch error {
      case .tooLarge:
        reader.report(
          "\(what): with the file \(path) the lookups have more than \(LookupTable.bytesMax) bytes (lookup_bytes); leave out rows or columns",
          "too_large", at: node)
      case .unreadable(let why): reader.report("\(what): the file \(path) cannot be read: \(why)", "no_file", at: node)
      }
      return nil
    }
  }

  private func loadLookups(_ node: Node) {
    for (name, key, value) in reader.named(node, "lookups") {
      guard tableName(key, "lookups") != nil else { continue }
      let members = reader.mapping(value, "lookups.\(name)", keys: ["file", "key", "columns"])
      guard let fileNode = reader.required(members, "file", of: "lookups.\(name)", at: value),
        let file = reader.path(fileNode, "lookups.\(name).file"),
        let keyNode = reader.required(members, "key", of: "lookups.\(name)", at: value), let field = field(keyNode, "lookups.\(name).key")
      else { continue }
      var types: [String: ColumnType] = [:]
      let typed = members["columns"].map { reader.named($0, "lookups.\(name).columns") } ?? []
      for (column, _, typeNode) in typed {
        guard let text = reader.string(typeNode, "lookups.\(name).columns.\(column)") else { continue }
        if let parsed = FieldType.parse(column, text), parsed.encoding == .natural {
          types[column] = parsed.type
        } else {
          reader.report(
            "lookups.\(name).columns.\(column): unknown type \(text)", "bad_type", at: typeNode,
            suggestion: nearestName(text, in: FieldType.names))
        }
      }
      let path = Paths.resolve(file, in: directory)
      guard let bytes = lookupFile(path, "lookups.\(name)", fileNode) else { continue }
      if let found = FileSignature(bytes.prefix(FileSignature.bytesNeeded)) {
        reader.report("lookups.\(name): the file \(path) is \(found.name), and not CSV in UTF-8", "lookup", at: fileNode)
        continue
      }
      do {
        let table = try LookupTable(
          name: name, bytes: bytes, file: path, key: fields[field].name, keyType: fields[field].type, types: types)
        lookups.append(LookupSpec(name: name, file: file, key: field, columns: table.columns))
        tables.append(table)
      } catch { reader.report("lookups.\(name): \(error.message)", "lookup", at: fileNode) }
    }
  }
}
