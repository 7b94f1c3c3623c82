import WeirCore
import WeirOperators

/// The record: fields, key, event time, format.
extension PlanBuilder {
  /// - Parameters:
  ///   - type: as ``FieldType`` writes it, such as `string!`.
  ///   - path: where the record has it, if not under its own name.
  ///   - coerce: its values may be texts.
  package func field(_ name: PlanText, type: PlanText, path: PlanText? = nil, coerce: PlanCoercion? = nil) {
    guard let field = made(name, type: type, path: path, coerce: coerce) else { return }
    set { $0.record.fields.append(field) }
  }

  /// - Returns: nil: its type is none, which was reported.
  func made(_ name: PlanText, type: PlanText, path: PlanText?, coerce: PlanCoercion?) -> Field? {
    let steps = path.flatMap { self.steps($0, of: name.text) }
    checkName(name)
    guard isNotOptional(name.text, type), checkNested(name.text, type) else { return nil }
    guard var field = FieldType.parse(name.text, type.text) else {
      diagnostics.report(
        "field \(name.text): unknown type \(type.text)", "bad_type", at: type.span,
        suggestion: FieldType.suggestion(type.text))
      return nil
    }
    field.path = steps
    if field.encoding == .json, !plan.record.recordFormat.holdsJSON {
      let format = Swift.type(of: plan.record.recordFormat).name
      diagnostics.report(
        "field \(name.text): type json is of records that are JSON, and these are of format \(format): write string", "bad_type",
        at: type.span)
    }
    if let coerce { self.coerce(&field, coerce) }
    if let problem = plan.record.recordFormat.problem(with: field) {
      diagnostics.report("field \(name.text)\(path == nil ? "" : ".path"): \(problem)", "bad_value", at: path?.span ?? type.span)
    }
    return field
  }

  /// Other languages mark the types that may be null, Weir those that may not.
  private func isNotOptional(_ field: String, _ text: PlanText) -> Bool {
    guard text.text.hasSuffix("?") else { return true }
    diagnostics.report(
      "field \(field): unknown type \(text.text): write \(text.text.dropLast()); a field may be missing or null unless its type ends with !",
      "bad_type", at: text.span)
    return false
  }

  /// A list, struct or map is one that tables can have.
  private func checkNested(_ field: String, _ text: PlanText) -> Bool {
    guard TypeText.isNested(text.text) else { return true }
    func refuse(_ why: String) -> Bool {
      diagnostics.report("field \(field): \(text.text.shortened(toBytes: 100)) is not a type: \(why)", "bad_type", at: text.span)
      return false
    }
    do throws(TypeText.Fault) {
      let type = try TypeText.parse(text.text.hasSuffix("!") ? text.text.dropLast() : text.text[...])
      return memberProblem(type).map(refuse) ?? true
    } catch { return refuse(error.reason) }
  }

  /// Why a table cannot have a struct's members under their names.
  private func memberProblem(_ type: ColumnType) -> String? {
    switch type {
    case .list(let below), .map(let below): return memberProblem(below)
    case .structure(let members):
      var names = TableNames()
      for member in members { if let problem = names.add(member.name) ?? memberProblem(member.type) { return problem } }
      return nil
    default: return nil
    }
  }

  /// Before the fields.
  /// - Parameters:
  ///   - format: nil: none of those that there are, which was reported.
  ///   - registry: nil: none, or one that cannot be read.
  ///   - registrySpan: nil: no registry was written.
  package func format(
    _ format: (any RecordFormat)?, at span: SourceSpan? = nil, registry: RegistrySpec? = nil, hasRegistry: Bool,
    registrySpan: SourceSpan? = nil
  ) {
    let known = format.map { FormatSpec($0) } ?? RecordFormats.byDefault
    if known.format.carriesSchemaIDs, !hasRegistry {
      diagnostics.report("record.format \(known.name) needs record.registry, where schemas are found", "missing_key", at: span)
    }
    if let format, !format.carriesSchemaIDs, hasRegistry {
      diagnostics.report("record.registry: records of format \(known.name) carry no schema", "bad_value", at: registrySpan)
    }
    // The first format is recorded as nothing, as before there was another: ledgers keep their plans.
    set { ($0.record.format, $0.record.registry) = (known == RecordFormats.byDefault ? nil : known, registry) }
  }

  /// After the format: each element of an array in what the source stores as one record is a record.
  /// - Parameter path: `$`: that is the array itself.
  package func framing(each path: PlanText) {
    let format = plan.record.recordFormat
    guard format.holdsJSON, !format.carriesSchemaIDs else {
      diagnostics.report(
        "record.framing: records of format \(type(of: format).name) have no arrays of records: format json has", "bad_value", at: path.span)
      return
    }
    guard path.text != "$" else { return set { $0.record.each = [] } }
    // How other tools write it.
    let isMarked = path.text.hasSuffix("[]") || path.text.hasSuffix("[*]")
    do throws(FieldPath.Fault) {
      let steps = try FieldPath.parse(isMarked ? String(path.text[..<path.text.lastIndex(of: "[")!]) : path.text)
      set { $0.record.each = steps }
    } catch {
      diagnostics.report(
        "record.framing.each: \(path.text.shortened(toBytes: 100)) is not a path: \(error.reason); such as Records, detail.items, or $ for a record that is an array",
        "bad_value", at: path.span, offset: error.offset)
    }
  }

  /// After all fields.
  package func endFields(at span: SourceSpan? = nil) {
    if let problem = plan.record.recordFormat.problem(with: plan.record.fields) {
      diagnostics.report("record.fields: \(problem)", "bad_value", at: span)
    }
    if plan.record.fields.isEmpty { diagnostics.report("record.fields must name at least one field", "missing_key", at: span) }
    checkPaths(plan.record.fields, "record.fields", span)
  }

  /// A field's name is a column's: what a record calls it may be another, by `path`.
  private func checkName(_ field: PlanText) {
    let name = field.text
    func refuse(_ why: String) { diagnostics.report("field \(name): \(why)", "bad_name", at: field.span) }
    if let scalar = Printable.invisible(in: name) {
      refuse(
        "the name has the invisible character \(Printable.name(of: scalar)): delete it; for a member with exactly this name: "
          + "NAME: {type: TYPE, path: '\(FieldPath.text([.name(name)]))'}")
    } else if name.hasPrefix("_") {
      let own = String(name.drop { $0 == "_" })
      let path = FieldPath.text([.name(name)])
      refuse(
        "names that begin with _ are the engine's; give it another name with a path: "
          + "\(own.isEmpty ? "NAME" : own): {type: TYPE, path: '\(path)'}")
    } else if name.contains(".") || name.contains("[") {
      let own = name.split { ".[]\"".contains($0) }.last.map(String.init) ?? "NAME"
      let literal = FieldPath.text([.name(name)])
      refuse(
        "a name has no dots or brackets; a nested field needs a path: \(own): {type: TYPE, path: '\(name)'}; "
          + "for a member with exactly this name: path: '\(literal)'")
    }
  }

  /// - Returns: nil: the field's own name.
  private func steps(_ path: PlanText, of name: String) -> [PathStep]? {
    do throws(FieldPath.Fault) {
      let steps = try FieldPath.parse(path.text)
      return steps == [.name(name)] ? nil : steps
    } catch {
      diagnostics.report(
        "field \(name).path: \(path.text.shortened(toBytes: 100)) is not a path: \(error.reason); such as address.city, items[0].id or \"a.b\".c",
        "bad_value", at: path.span, offset: error.offset, in: path.text)
      return nil
    }
  }

  /// Each place of a record is one field, and nothing is below one.
  func checkPaths(_ fields: [Field], _ place: String, _ span: SourceSpan?) {
    guard fields.contains(where: { $0.path != nil }) else { return }
    let paths = fields.map(\.steps)
    for (number, path) in paths.enumerated() {
      guard let other = paths.prefix(number).firstIndex(where: { $0.starts(with: path) || path.starts(with: $0) }) else { continue }
      let (outer, inner) = path.count <= paths[other].count ? (number, other) : (other, number)
      let path = FieldPath.text(paths[outer])
      let what =
        paths[number] == paths[other]
        ? "\(fields[other].name) and \(fields[number].name) both read \(path)"
        : "\(fields[outer].name) reads \(path), and \(fields[inner].name) reads \(FieldPath.text(paths[inner])), which is inside it"
      diagnostics.report("\(place): \(what): one place of a record can be only one field", "bad_value", at: span)
    }
  }

  /// The index of a field that is named where a scalar is needed.
  package func index(of field: PlanText, _ what: String) -> Int? {
    let fields = plan.record.fields
    if let index = fields.firstIndex(where: { $0.name == field.text }) {
      guard fields[index].type.isNested else { return index }
      diagnostics.report(
        "\(what): \(field.text) is \(fields[index].type.name), and a list, struct or map cannot be used there", "type_mismatch",
        at: field.span)
      return nil
    }
    let isPath = field.text.contains { $0 == "." || $0 == "[" }
    diagnostics.report(
      "\(what): there is no field \(field.text)"
        + (isPath ? ": a path needs a field of its own, such as fields: {id: {type: string, path: \(field.text)}}" : ""), "unknown_column",
      at: field.span,
      suggestion: nearestName(field.text, in: fields.map(\.name)), fault: .unknownColumn(field.text))
    return nil
  }

  package func key(_ field: PlanText) {
    guard let index = keyIndex(field) else { return }
    set { $0.record.key = index }
  }

  /// The key is the first of some fields that is not null.
  package func key(firstOf fields: [PlanText], at span: SourceSpan? = nil) {
    let keys = fields.compactMap(keyIndex)
    guard keys.count == fields.count else { return }
    guard Set(keys).count == keys.count, let first = keys.first else {
      diagnostics.report("record.key.first_of must name different fields, at least one", "bad_value", at: span)
      return
    }
    // One field is recorded as it always was: ledgers keep their plans.
    set { ($0.record.key, $0.record.otherKeys) = (first, keys.count > 1 ? Array(keys.dropFirst()) : nil) }
  }

  private func keyIndex(_ field: PlanText) -> Int? {
    guard let index = index(of: field, "record.key") else { return nil }
    if plan.record.fields[index].type == .double {
      diagnostics.report("record.key: a double cannot be a key", "type_mismatch", at: field.span)
    }
    return index
  }

  /// After the format and the framing.
  /// After the fields of all records, and before those of kinds: what no field reads is kept as ``Field/rescued``.
  package func rescue(at span: SourceSpan? = nil) {
    let format = plan.record.recordFormat
    guard format.holdsJSON else {
      return diagnostics.report(
        "record.unknown_fields: rescue is of records that are JSON, and these are of format \(type(of: format).name): name all columns in record.fields",
        "bad_value", at: span)
    }
    spans["record.unknown_fields"] = span
    set { $0.record.fields.append(.rescued) }
  }

  package func envelope(_ envelope: RecordSpec.Envelope?, at span: SourceSpan? = nil) {
    let format = plan.record.recordFormat
    guard format.holdsJSON, !format.carriesSchemaIDs else {
      diagnostics.report(
        "record.envelope: records of format \(type(of: format).name) have no schema and payload: format json has", "bad_value", at: span)
      return
    }
    guard plan.record.each == nil else {
      diagnostics.report("record.envelope: records within records have no envelope: leave envelope or framing out", "bad_value", at: span)
      return
    }
    set { $0.record.envelope = envelope }
  }

  /// - Parameters:
  ///   - outOfOrder: microseconds.
  ///   - maxAhead: microseconds; the largest number: no bound.
  package func time(_ field: PlanText, outOfOrder: () -> Int64 = { 0 }, maxAhead: () -> Int64? = { nil }) {
    guard let index = index(of: field, "record.time.field") else { return }
    let found = plan.record.fields[index]
    guard found.type == .timestamp else {
      diagnostics.report("record.time.field: \(found.name) is \(found.type.name), not a timestamp", "type_mismatch", at: field.span)
      return
    }
    if !found.required {
      diagnostics.report("record.time.field: \(found.name) must be required: write its type with !", "type_mismatch", at: field.span)
    }
    let spec = TimeSpec(field: index, outOfOrderMicroseconds: outOfOrder(), maxAheadMicroseconds: maxAhead())
    set { $0.record.time = spec }
  }

  // MARK: What becomes of records

  /// - Parameter kind: of which the records are; nil: all.
  package func check(
    _ name: PlanText, that: PlanText, otherwise: @autoclosure () -> Check.Otherwise = .quarantine, kind: Int? = nil
  ) {
    guard let that = condition(that, "check \(name.text)", inputs: scope(kind)) else { return }
    if plan.checks.contains(where: { $0.name == name.text }) {
      diagnostics.report("duplicate check \(name.text)", "duplicate_name", at: name.span)
    }
    let check = Check(name: name.text, that: that, otherwise: otherwise(), kind: kind)
    set { $0.checks.append(check) }
  }

  /// - Parameter within: nil: every id is kept for ever.
  package func dedup(id: PlanText, within: PlanDuration? = nil, at span: SourceSpan? = nil) { dedup(ids: [id], within: within, at: span) }

  /// - Parameter ids: fields that make the id together.
  package func dedup(ids: [PlanText], within: PlanDuration? = nil, at span: SourceSpan? = nil) {
    let indexes = ids.compactMap { index(of: $0, "dedup.id") }
    guard indexes.count == ids.count else { return }
    guard Set(indexes).count == indexes.count, let index = indexes.first else {
      diagnostics.report("dedup.id must name different fields, at least one", "bad_value", at: span)
      return
    }
    for (index, id) in zip(indexes, ids) { needsAllKinds(index, "dedup.id", id) }
    let microseconds = within.flatMap { $0.microseconds() }
    if microseconds != nil, plan.record.time == nil {
      diagnostics.report("dedup.within needs record.time", "missing_key", at: within?.span)
    }
    spans["dedup"] = span
    var spec = DedupSpec(id: index, withinMicroseconds: microseconds)
    if indexes.count > 1 { spec.otherIDs = Array(indexes.dropFirst()) }
    set { $0.dedup = spec }
  }
}
