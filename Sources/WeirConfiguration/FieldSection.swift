import WeirCore
import WeirPlan
import Yams

/// `record: {fields}`: `NAME: TYPE` or `NAME: {type: TYPE, path: PATH, coerce: true, zone: ZONE, formats: […]}`.
extension PipelineLoader {
  /// - Parameters:
  ///   - coerces: texts are values of all fields.
  ///   - coerceSpan: of that setting.
  func loadFields(_ list: Node, coerces: Bool, coerceSpan: SourceSpan? = nil) {
    var all: PlanCoercion?
    if coerces {
      all = PlanCoercion()
      all?.span = coerceSpan
    }
    for (name, key, value) in reader.named(list, "record.fields") { loadField(PlanText(name, at: key.span), value, all) }
    builder.endFields(at: list.span)
  }

  private func loadField(_ name: PlanText, _ node: Node, _ all: PlanCoercion?) {
    let what = "field \(name.text)"
    guard node.mapping != nil else {
      if let type = reader.text(node, what) { builder.field(name, type: type, coerce: all) }
      return
    }
    let members = reader.mapping(node, what, .field)
    guard let type = reader.required(members, "type", of: what, at: node).flatMap({ reader.text($0, what) }) else { return }
    builder.field(
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
