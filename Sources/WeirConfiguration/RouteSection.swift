import WeirCore
import WeirPlan
import Yams

/// `route: {by: FIELD, kinds: {NAME: {is, fields, checks, silver}}, else: quarantine}`: several kinds of records in one stream.
extension PipelineLoader {
  /// After the fields of all kinds.
  /// - Parameter all: how all fields are read from text; nil: as each says.
  func loadRoute(_ node: Node, _ all: PlanCoercion?) {
    let members = reader.mapping(node, "route", .route)
    let otherwise = members["else"].flatMap { reader.choice($0, "route.else", KeyTable.route.choices("else")) }
    guard let by = reader.required(members, "by", of: "route", at: node).flatMap({ reader.place($0, "route.by") }) else { return }
    builder.route(by: by, otherwise: otherwise.flatMap(RouteSpec.Otherwise.init(rawValue:)) ?? .quarantine, at: node.span)
    guard let list = reader.required(members, "kinds", of: "route", at: node) else { return }
    let named = reader.named(list, "route.kinds")
    if named.isEmpty, list.mapping != nil { reader.report("route.kinds must name at least one kind", "missing_key", at: list) }
    for (name, key, value) in named {
      let what = "route.kinds.\(name)"
      let members = value.null != nil ? [:] : reader.mapping(value, what, .recordKind)
      let fields = members["fields"].map { reader.named($0, "\(what).fields") } ?? []
      builder.kind(
        PlanKind(PlanText(name, at: key.span), values: members["is"].map { reader.texts($0, "\(what).is") }, at: value.span),
        fields: fields.compactMap { field(PlanText($0.name, at: $0.key.span), $0.value, all) })
      kinds.append((name, members))
    }
  }

  /// Checks and tables of the kinds, once it is known what expressions may refer to.
  func loadKinds() {
    for (name, members) in kinds {
      guard let number = builder.plan.record.route?.kinds.firstIndex(where: { $0.name == name }) else { continue }
      members["checks"].map { loadChecks($0, kind: number) }
      guard let node = members["silver"] else { continue }
      let what = "silver.\(name)"
      silver(
        PlanText(name, at: node.span), what, node.null != nil ? [:] : reader.mapping(node, "route.kinds.\(name).silver", .kindSilver), node,
        from: PlanText(name, at: node.span))
    }
  }
}
