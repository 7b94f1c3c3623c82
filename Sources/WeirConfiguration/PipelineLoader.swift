import Foundation
import WeirCore
import WeirLocal
import WeirOperators
import WeirPlan
import Yams

/// Compiles the YAML of a pipeline into a ``Plan``, section by section in the order in which they depend on each other.
package final class PipelineLoader {
  let reader: YAMLReader
  /// Owns what the plan means; the loader only parses.
  let builder: PlanBuilder
  var directory: String { builder.directory }
  let sections: PlanSections
  /// The sections of the kinds of records, once they are read, in the plan's order.
  var kinds: [(name: String, members: [String: Node])] = []

  init(file: String, sections: PlanSections = .standard) {
    self.sections = sections
    builder = PlanBuilder(file: file)
    builder.lookupFiles = sections.lookupFiles
    reader = YAMLReader(builder.diagnostics)
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
      let more = reader.list.moreCount > 0 ? [reader.list.more] : []
      throw ConfigurationError(
        diagnostics: splits.isEmpty ? FollowUps.removed(from: reader.diagnostics) + more : Array(splits.prefix(PipelineBounds.problemsMax)))
    }
    return LoadedPipeline(
      plan: plan, file: reader.file, directory: directory, lookups: builder.tables, warnings: reader.diagnostics, unset: reader.unset,
      namesState: builder.namesState)
  }

  static func tooLarge(_ file: String, _ bytes: Int) -> Diagnostic {
    Diagnostic(
      severity: .error, code: "too_large",
      message:
        "the pipeline file has \(bytes) bytes; the maximum is \(PipelineBounds.fileBytesMax) (pipeline_file); put long lists into a lookup",
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
      guard let (node, escapes) = try SurrogateEscapes.compose(text) else {
        reader.report("the file is empty", "missing_key", at: nil)
        return nil
      }
      root = node
      reader.list.originalColumn = escapes.original
      reader.refuseTags(root)
    } catch let error as YamlError {
      report(error)
      return nil
    } catch let fault as SurrogateFault {
      reader.list.report("not YAML: \(fault.reason)", "yaml", at: SourceSpan(line: fault.line, column: fault.column))
      return nil
    } catch {
      reader.report("\(error)", "yaml", at: nil)
      return nil
    }
    let table = KeyTable.pipeline(sections)
    let keys = table.names
    guard root.mapping?.contains(where: { pair in keys.contains(pair.key.string ?? "") }) != false else {
      // Keys of another program's file may be its secrets.
      reader.report("this is not a pipeline file: it has none of the keys \(keys.joined(separator: ", "))", "missing_key", at: root)
      return nil
    }
    let top = reader.mapping(root, "the pipeline", table)
    if let inputs = top["inputs"] {
      loadName(top, root)
      if let route = top["route"] {
        reader.report("route: not yet: with inputs; a pipeline with several kinds of records has one source", "not_yet", at: route)
      }
      guard loadInputs(inputs, top) else { return nil }
    } else {
      guard reader.required(top, "record", of: "the pipeline", at: root).map({ loadRecord($0, route: top["route"]) }) == true else {
        return nil
      }
      loadName(top, root)
      builder.source(reader.required(top, "source", of: "the pipeline", at: root).flatMap(source))
    }
    if let node = top["lookups"] { loadLookups(node) }
    builder.makeInputs()
    loadTables(top)
    loadSettings(top)
    return try? builder.build(at: root.span)
  }

  private func loadName(_ top: [String: Node], _ root: Node) {
    let name = reader.required(top, "pipeline", of: "the pipeline", at: root).flatMap { tableName($0, "pipeline") } ?? ""
    builder.set { $0.pipeline = name }
  }

  private func loadTables(_ top: [String: Node]) {
    builder.namesTables = ["bronze", "silver", "gold", "state"].contains { top[$0] != nil }
    builder.namesState = top["state"] != nil
    top["checks"].map { loadChecks($0) }
    loadKinds()
    top["silver"].map { node in reader.list.within(.table("silver")) { loadSilver(node) } }
    top["bronze"].map { node in reader.list.within(.table("bronze")) { loadBronze(node) } }
    if let quarantine = top["quarantine"].map(quarantine) { builder.set { $0.quarantine = quarantine } }
    top["dedup"].map(loadDedup)
    top["gold"].map(loadGold)
    top["state"].map(loadState)
  }

  private func loadSettings(_ top: [String: Node]) {
    lake(top["lake"], keepsRows: top["bronze"] != nil || builder.plan.hasSilver)
    let store = store(top["store"])
    builder.set { $0.store = store }
    top["admin"].map(admin)
    top["worker"].map(worker)
    top["sinks"].map(sinks)
    top["catalog"].map(catalog)
  }

  private func report(_ error: YamlError) {
    switch error {
    case .scanner(_, let problem, let mark, let yaml), .parser(_, let problem, let mark, let yaml),
      .composer(_, let problem, let mark, let yaml):
      let node = Node.scalar(.init("", .implicit, .any, mark))
      let hint = YAMLHint.of(problem, in: yaml, line: mark.line, column: mark.column).map { ": \($0)" } ?? ""
      reader.report("not YAML: \(YAMLHint.plain(problem))\(hint)", "yaml", at: node)
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
    reader.text(node, what).flatMap { builder.isTableName($0, what, dots: dots) ? $0.text : nil }
  }

  // MARK: Source and record

  func source(_ node: Node) -> SourceSpec? {
    let names = sections.sources.map(\.name)
    let table = KeyTable.source(sections)
    let members = reader.mapping(node, "source", table)
    let given = sections.sources.filter { members[$0.name] != nil }
    if given.count > 1 { reader.report("source: either \(given.map(\.name).joined(separator: " or "))", "bad_value", at: node) }
    guard let adapter = given.last, let section = members[adapter.name] else {
      if table.later.allSatisfy({ members[$0] == nil }) {
        reader.report("source needs \(names.joined(separator: " or "))", "missing_key", at: node)
      }
      return nil
    }
    return adapter.read(section, with: self)
  }

  private func sinks(_ node: Node) {
    let names = sections.sinks.map(\.name)
    let members = reader.mapping(node, "sinks", .sinks(sections))
    guard let adapter = sections.sinks.first(where: { members[$0.name] != nil }), let section = members[adapter.name] else {
      return reader.report("sinks needs \(names.joined(separator: " or "))", "missing_key", at: node)
    }
    if let sinks = adapter.read(section, with: self) { builder.sinks(sinks) }
  }

  /// - Returns: whether there are fields, which all else is about.
  /// - Parameter route: the section about its kinds; nil: all records are of one.
  func loadRecord(_ node: Node, route: Node? = nil) -> Bool {
    let members = reader.mapping(node, "record", .record(sections))
    builder.spans["record"] = node.span
    loadFormat(members)
    if let framing = members["framing"] {
      let each = reader.mapping(framing, "record.framing", .framing)
      if let path = reader.required(each, "each", of: "record.framing", at: framing).flatMap({ reader.place($0, "record.framing.each") }) {
        builder.framing(each: path)
      }
    }
    guard let list = reader.required(members, "fields", of: "record", at: node) else { return false }
    let coerces = members["coerce"].map { truth($0, "record.coerce") }
    if let coerces { builder.coerces(coerces, at: members["coerce"]?.span) }
    loadFields(list, coerces: coerces ?? false, coerceSpan: members["coerce"]?.span)
    loadUnknownFields(members)
    if let route { loadRoute(route, coercionOfAll(coerces ?? false, members["coerce"]?.span)) }
    let keys = members["key"].map(loadKey) ?? []
    let time = members["time"].flatMap(loadTime)
    if let route { builder.endRoute(keys: keys, time: time, at: route.span) }
    let blank = members["blank_lines"].flatMap { reader.choice($0, "record.blank_lines", RecordSpec.BlankLines.allCases.map(\.rawValue)) }
    builder.spans["record.blank_lines"] = members["blank_lines"]?.span
    // The default is recorded as nothing: ledgers keep their plans.
    if blank == RecordSpec.BlankLines.quarantine.rawValue { builder.set { $0.record.blankLines = .quarantine } }
    loadSurroundings(members)
    return true
  }

  /// - Returns: the fields.
  private func loadKey(_ node: Node) -> [PlanText] {
    guard node.mapping != nil else {
      guard let key = reader.text(node, "record.key") else { return [] }
      builder.key(key)
      return [key]
    }
    let members = reader.mapping(node, "record.key", .key)
    guard let list = reader.required(members, "first_of", of: "record.key", at: node) else { return [] }
    let fields = reader.texts(list, "record.key.first_of")
    builder.key(firstOf: fields, at: list.span)
    return fields
  }

  private func loadUnknownFields(_ members: [String: Node]) {
    guard let node = members["unknown_fields"] else { return }
    let choice = reader.choice(node, "record.unknown_fields", RecordSpec.UnknownFields.allCases.map(\.rawValue))
    if choice == RecordSpec.UnknownFields.rescue.rawValue { builder.rescue(at: node.span) }
  }

  /// Envelopes, and records that have no value.
  private func loadSurroundings(_ members: [String: Node]) {
    if let node = members["envelope"],
      let envelope = reader.choice(node, "record.envelope", RecordSpec.Envelope.allCases.map(\.rawValue))
    {
      builder.envelope(RecordSpec.Envelope(rawValue: envelope), at: node.span)
    }
    guard let node = members["tombstones"] else { return }
    let tombstones = reader.choice(node, "record.tombstones", RecordSpec.Tombstones.allCases.map(\.rawValue))
    if tombstones == RecordSpec.Tombstones.drop.rawValue { builder.set { $0.record.tombstones = .drop } }
  }

  /// - Returns: the field.
  private func loadTime(_ node: Node) -> PlanText? {
    let members = reader.mapping(node, "record.time", .time)
    guard let field = reader.required(members, "field", of: "record.time", at: node).flatMap({ reader.text($0, "record.time.field") })
    else { return nil }
    builder.time(
      field, outOfOrder: { members["out_of_order"].flatMap { reader.duration($0, "record.time.out_of_order") } ?? 0 },
      maxAhead: {
        members["max_ahead"].flatMap {
          ["off", "false"].contains($0.string) ? Int64.max : reader.duration($0, "record.time.max_ahead")
        }
      })
    return field
  }

  // MARK: Lookups

  private func loadLookups(_ node: Node) {
    for (name, key, value) in reader.named(node, "lookups") {
      reader.list.within(.declaration(name)) { loadLookup(PlanText(name, at: key.span), value) }
    }
  }

  private func loadLookup(_ name: PlanText, _ value: Node) {
    let what = "lookups.\(name.text)"
    let members = reader.mapping(value, what, .lookup)
    // Two words for one thing: a lake has a path.
    let place = members["path"] != nil && members["file"] == nil ? "path" : "file"
    if place == "file", let path = members["path"] {
      reader.report("\(what): file and path say the same; keep one", "bad_value", at: path)
    }
    guard let file = reader.required(members, place, of: what, at: value).flatMap({ reader.text($0, "\(what).\(place)") }),
      let field = reader.required(members, "key", of: what, at: value).flatMap({ reader.text($0, "\(what).key") })
    else { return }
    let columns = members["columns"].map { reader.named($0, "\(what).columns") } ?? []
    let typed = columns.compactMap { column in
      reader.text(column.value, "\(what).columns.\(column.name)").map { (name: column.name, type: $0) }
    }
    let format = members["format"].flatMap { reader.text($0, "\(what).format") }
    builder.lookup(
      PlanLookup(
        name, file: file, format: format, key: field, columns: typed,
        refresh: members["refresh"].map { reader.quantity($0, "\(what).refresh") }, at: value.span))
  }
}
