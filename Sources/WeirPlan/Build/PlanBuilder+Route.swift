import WeirCore
import WeirOperators

/// A kind of records, as a front door has parsed it. Its fields are given one by one.
package struct PlanKind {
  package var name: PlanText
  /// What the field of the route says of it; nil: the name.
  package var values: [PlanText]?
  package var span: SourceSpan?

  package init(_ name: PlanText, values: [PlanText]? = nil, at span: SourceSpan? = nil) {
    (self.name, self.values, self.span) = (name, values, span)
  }
}

/// A field of a kind, as a front door has parsed it; see ``PlanBuilder/field(_:type:path:coerce:)``.
package struct PlanKindField {
  package var name: PlanText
  package var type: PlanText
  package var path: PlanText?
  package var coerce: PlanCoercion?

  package init(_ name: PlanText, type: PlanText, path: PlanText? = nil, coerce: PlanCoercion? = nil) {
    (self.name, self.type, self.path, self.coerce) = (name, type, path, coerce)
  }
}

/// Several kinds of records. After the record's own fields, which all kinds have, and before key and time.
extension PlanBuilder {
  /// - Parameters:
  ///   - by: a field of all kinds, or the path of one.
  ///   - span: of the section.
  package func route(by: PlanText, otherwise: RouteSpec.Otherwise, at span: SourceSpan? = nil) {
    let format = plan.record.recordFormat
    if let problem = format.problemWithKinds {
      diagnostics.report("route: records of format \(type(of: format).name) cannot be of several kinds: \(problem)", "bad_value", at: span)
    }
    guard let index = routeField(by) else { return }
    let route = RouteSpec(by: index, common: plan.record.fields.count, otherwise: otherwise)
    set { $0.record.route = route }
  }

  private func routeField(_ by: PlanText) -> Int? {
    let fields = plan.record.fields
    let steps = try? FieldPath.parse(by.text)
    let place = fields.contains { $0.name == by.text } ? nil : fields.firstIndex { $0.steps == steps }
    guard let index = place ?? index(of: by, "route.by") else { return nil }
    switch fields[index].type {
    case .string, .int64, .bool: return index
    default:
      diagnostics.report(
        "route.by: \(fields[index].name) is \(fields[index].type.name): a kind is said by a string, an int64 or a bool", "type_mismatch",
        at: by.span)
      return nil
    }
  }

  /// The next kind, with its fields.
  package func kind(_ kind: PlanKind, fields written: [PlanKindField]) {
    guard let route = plan.record.route, isTableName(kind.name, "route.kinds") else { return }
    let name = kind.name.text
    if route.kinds.contains(where: { $0.name.lowercased() == name.lowercased() }) {
      diagnostics.report(
        "route.kinds: the name \(name) is taken: names of tables differ in more than case", "duplicate_name", at: kind.name.span)
    }
    guard route.kinds.count < RouteSpec.kindsMax else {
      if route.kinds.count == RouteSpec.kindsMax {
        diagnostics.report("route.kinds: at most \(RouteSpec.kindsMax) kinds are possible (route_kinds)", "too_large", at: kind.name.span)
      }
      return
    }
    var made = RecordKind(name: name, values: values(of: kind, route))
    var names = Set<String>()
    for field in written where names.insert(field.name.text).inserted {
      if let field = kindField(field, of: name) { made.fields.append(field) }
    }
    let all = plan.record.fields.prefix(route.common) + made.fields.map(\.field)
    if let problem = plan.record.recordFormat.problem(with: Array(all)) {
      diagnostics.report("route.kinds.\(name): \(problem)", "bad_value", at: kind.span)
    }
    checkPaths(Array(all), "route.kinds.\(name)", kind.span)
    set { $0.record.route?.kinds.append(made) }
  }

  private func values(of kind: PlanKind, _ route: RouteSpec) -> [String] {
    let what = "route.kinds.\(kind.name.text).is"
    let written = kind.values ?? [kind.name]
    if written.isEmpty { diagnostics.report("\(what) must name at least one value", "bad_value", at: kind.span) }
    var taken = Dictionary(route.kinds.flatMap { kind in kind.values.map { ($0, kind.name) } }) { first, _ in first }
    if taken.count + written.count > RouteSpec.valuesMax {
      diagnostics.report(
        "\(what): all kinds together have at most \(RouteSpec.valuesMax) values (route_values)", "too_large", at: kind.span)
    }
    for value in written {
      if let problem = problem(withValue: value.text, plan.record.fields[route.by]) {
        diagnostics.report("\(what): \(problem)", "type_mismatch", at: value.span)
      }
      if let other = taken[value.text] {
        diagnostics.report(
          "\(what): \(value.text.shortened(toBytes: 100)) is said of \(other) already: a record is of one kind", "duplicate_name",
          at: value.span)
      }
      taken[value.text] = kind.name.text
    }
    return written.map(\.text)
  }

  private func problem(withValue text: String, _ field: Field) -> String? {
    let isOne =
      switch field.type {
      case .int64: Int64(text).map { String($0) == text } ?? false
      case .bool: text == "true" || text == "false"
      default: true
      }
    return isOne ? nil : "\(text.shortened(toBytes: 100)) cannot be a value of \(field.name), which is \(field.type.name)"
  }

  /// - Returns: nil: it is wrong, which was reported.
  private func kindField(_ written: PlanKindField, of kind: String) -> KindField? {
    guard let route = plan.record.route,
      let field = made(written.name, type: written.type, path: written.path, coerce: written.coerce)
    else { return nil }
    func refuse(_ why: String, _ code: String) -> KindField? {
      diagnostics.report("field \(field.name): \(why)", code, at: written.name.span)
      return nil
    }
    let fields = plan.record.fields
    guard let index = fields.firstIndex(where: { $0.name == field.name }) else {
      // The column of all kinds: null where a record's kind has no such field.
      var column = Field(name: field.name, type: field.type)
      column.path = field.path
      set { $0.record.fields.append(column) }
      return KindField(index: fields.count, field: field)
    }
    if index < route.common {
      return refuse("it is one of record.fields, which all kinds have: leave it out of kind \(kind)", "duplicate_name")
    }
    guard fields[index].type == field.type else {
      let other = route.kinds.first { $0.fields.contains { $0.index == index } }?.name ?? "another"
      return refuse(
        "kind \(kind) has it as \(field.type.name), and kind \(other) as \(fields[index].type.name): it is one column, so give one of them another name, with a path",
        "type_mismatch")
    }
    return KindField(index: index, field: field)
  }

  /// After key and time.
  package func endRoute(keys: [PlanText], time: PlanText?, at span: SourceSpan? = nil) {
    guard let route = plan.record.route else { return }
    if route.kinds.isEmpty, !diagnostics.hasErrors {
      diagnostics.report("route.kinds must name at least one kind", "missing_key", at: span)
    }
    if plan.record.fields.count > PipelineBounds.entriesMax {
      diagnostics.report(
        "route: all kinds together have \(plan.record.fields.count) fields of different names, and \(PipelineBounds.entriesMax) are possible (route_fields)",
        "too_large", at: span)
    }
    for (index, key) in zip(plan.record.keys, keys) { needsAllKinds(index, "record.key", key) }
    if let index = plan.record.time?.field, let time, index >= route.common {
      diagnostics.report(
        "record.time.field: \(time.text) is a field of some kinds: the event time is one of record.fields, so that one watermark goes over all kinds",
        "bad_value", at: time.span)
    }
    // A record has the same columns whichever kind it is of; those that all kinds require are in each.
    for index in plan.record.fields.indices.dropFirst(route.common) {
      let own = route.kinds.compactMap { kind in kind.fields.first { $0.index == index } }
      if own.count == route.kinds.count, own.allSatisfy(\.field.required) { set { $0.record.fields[index].required = true } }
    }
  }

  /// A field that is needed of every record.
  func needsAllKinds(_ index: Int, _ what: String, _ field: PlanText) {
    guard let route = plan.record.route, index >= route.common else { return }
    let without = route.kinds.filter { kind in !kind.fields.contains { $0.index == index } }.map(\.name)
    guard !without.isEmpty else { return }
    diagnostics.report(
      "\(what): kind \(without.joined(separator: ", ").shortened(toBytes: 200)) has no field \(field.text): declare it in each kind, with a path where its name is another there",
      "unknown_column", at: field.span)
  }

  /// The number of a kind that a table names.
  package func kind(_ name: PlanText?, _ what: String) -> Int? {
    guard let name else { return nil }
    guard let route = plan.record.route else {
      diagnostics.report("\(what).from: the pipeline has no kinds (route), and so no \(name.text)", "unknown_column", at: name.span)
      return nil
    }
    let names = route.kinds.map(\.name)
    if let number = names.firstIndex(of: name.text) { return number }
    diagnostics.report(
      "\(what).from: there is no kind \(name.text) in route.kinds", "unknown_column", at: name.span,
      suggestion: nearestName(name.text, in: names))
    return nil
  }

  /// What expressions about one kind may refer to: no field of another, and no column of a lookup by one. Places are those of all inputs.
  /// - Parameter kind: nil: all kinds.
  func scope(_ kind: Int?) -> [InputColumn] {
    guard plan.record.route != nil, let kind else { return plan.inputs }
    let own = Set(plan.record.fieldNumbers(ofKind: kind))
    return plan.inputs.map { input in
      let isOwn =
        switch input.origin {
        case .field(let field): own.contains(field)
        case .lookup(let lookup, _): own.contains(plan.lookups[lookup].key)
        case .system, .exploded, .hidden: true
        }
      guard !isOwn else { return input }
      return InputColumn(name: input.name, type: input.type, nullable: input.nullable, origin: .hidden)
    }
  }
}
