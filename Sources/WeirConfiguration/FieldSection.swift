import WeirCore
import WeirPlan
import Yams

/// `record: {fields}`: `NAME: TYPE` or `NAME: {type: TYPE, path: PATH, coerce: true, zone: ZONE, formats: […]}`.
extension PipelineLoader {
  /// - Parameters:
  ///   - coerces: texts are values of all fields.
  ///   - coerceSpan: of that setting.
  func loadFields(_ list: Node, coerces: Bool, coerceSpan: SourceSpan? = nil) {
    let all = coercionOfAll(coerces, coerceSpan)
    for (name, key, value) in reader.named(list, "record.fields") {
      reader.list.within(.declaration(name)) { loadField(PlanText(name, at: key.span), value, all) }
    }
    builder.endFields(at: list.span)
  }

  /// - Returns: nil: texts are values only of fields that say so.
  func coercionOfAll(_ coerces: Bool, _ span: SourceSpan?) -> PlanCoercion? {
    guard coerces else { return nil }
    var all = PlanCoercion()
    all.span = span
    return all
  }

  private func loadField(_ name: PlanText, _ node: Node, _ all: PlanCoercion?) {
    guard let field = field(name, node, all) else { return }
    builder.field(field.name, type: field.type, path: field.path, coerce: field.coerce)
  }

  /// - Returns: nil: it has no type, which was reported.
  func field(_ name: PlanText, _ node: Node, _ all: PlanCoercion?) -> PlanKindField? {
    let what = "field \(name.text)"
    guard node.mapping != nil else { return reader.text(node, what).map { PlanKindField(name, type: $0, coerce: all) } }
    let members = reader.mapping(node, what, .field)
    guard let type = reader.required(members, "type", of: what, at: node).flatMap({ reader.text($0, what) }) else { return nil }
    return PlanKindField(
      name, type: type, path: members["path"].flatMap { reader.place($0, "\(what).path") }, coerce: coercion(members, what) ?? all)
  }

  /// - Returns: nil: the field says nothing about it.
  private func coercion(_ members: [String: Node], _ what: String) -> PlanCoercion? {
    guard members["coerce"] != nil || members["zone"] != nil || members["formats"] != nil else { return nil }
    var coercion = PlanCoercion()
    coercion.zone = members["zone"].flatMap { reader.text($0, "\(what).zone") }
    coercion.formats = members["formats"].map { reader.texts($0, "\(what).formats") }
    coercion.span = (members["coerce"] ?? members["zone"] ?? members["formats"])?.span
    coercion.isOwn = true
    if let node = members["coerce"], !truth(node, "\(what).coerce") {
      if coercion.zone != nil || coercion.formats != nil {
        reader.report("\(what): zone and formats are of times as text: leave coerce out", "bad_value", at: node)
      }
      coercion.isOff = true
    }
    return coercion
  }

  /// `true` or `false`.
  func truth(_ node: Node, _ what: String) -> Bool { reader.choice(node, what, ["true", "false"]) == "true" }
}
