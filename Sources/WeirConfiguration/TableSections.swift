import WeirCore
import WeirPlan
import Yams

/// The sections about what becomes of records: checks, dedup, tables, settings.
extension PipelineLoader {
  /// - Parameter kind: of which the records are; nil: all.
  func loadChecks(_ node: Node, kind: Int? = nil) {
    guard let list = node.sequence else { return reader.report("checks is a list of {name, that}", "bad_value", at: node) }
    guard reader.isBounded(list.count, "checks", at: node) else { return }
    for item in list {
      let members = reader.mapping(item, "check", .check)
      guard let nameNode = reader.required(members, "name", of: "check", at: item), let name = reader.text(nameNode, "check.name"),
        let that = reader.required(members, "that", of: "check \(name.text)", at: item).flatMap({ reader.text($0, "check \(name.text)") })
      else { continue }
      builder.check(name, that: that, otherwise: otherwise(members["else"], "check \(name.text).else"), kind: kind)
    }
  }

  private func otherwise(_ node: Node?, _ what: String) -> Check.Otherwise {
    node.flatMap { reader.choice($0, what, KeyTable.check.choices("else")) }.flatMap(Check.Otherwise.init(rawValue:)) ?? .quarantine
  }

  func quarantine(_ node: Node) -> QuarantineSpec {
    let members = reader.mapping(node, "quarantine", .quarantine)
    return QuarantineSpec(
      haltAbove: members["halt_above"].flatMap { reader.percent($0, "quarantine.halt_above") },
      exitAbove: members["exit_above"].flatMap { reader.percent($0, "quarantine.exit_above") })
  }

  func loadDedup(_ node: Node) {
    let members = reader.mapping(node, "dedup", .dedup)
    guard let list = reader.required(members, "id", of: "dedup", at: node) else { return }
    builder.dedup(ids: reader.texts(list, "dedup.id"), within: members["within"].map { reader.quantity($0, "dedup.within") }, at: node.span)
  }

  // MARK: Tables

  private func partitions(_ members: [String: Node], _ what: String) -> [PlanText] {
    members["partition_by"].map { reader.texts($0, "\(what).partition_by") } ?? []
  }

  func loadBronze(_ node: Node) {
    let members = node.null != nil ? [:] : reader.mapping(node, "bronze", .bronze)
    builder.bronze(partitionBy: partitions(members, "bronze"), at: members["partition_by"]?.span)
  }

  func loadSilver(_ node: Node) {
    let members = node.null != nil ? [:] : reader.mapping(node, "silver", .silver)
    if let tables = members["tables"] {
      if let other = ["columns", "partition_by", "where", "explode"].compactMap({ members[$0] }).first {
        reader.report("silver: with tables, each table has its own columns, partition_by, where and explode", "bad_value", at: other)
      }
      let named = reader.named(tables, "silver.tables")
      if named.isEmpty { reader.report("silver.tables must name at least one table", "missing_key", at: tables) }
      for (name, key, value) in named {
        let what = "silver.\(name)"
        reader.list.within(.table(what)) {
          silver(
            PlanText(name, at: key.span), what,
            value.null != nil ? [:] : reader.mapping(value, what, .silverTable), value)
        }
      }
      return
    }
    guard members["explode"] == nil, members["where"] == nil else {
      return silver(PlanText(builder.plan.source.stream, at: node.span), "silver", members, node)
    }
    builder.silver(
      columns: members["columns"].map { reader.texts($0, "silver.columns") }, partitionBy: partitions(members, "silver"),
      partitionSpan: members["partition_by"]?.span, at: node.span)
  }

  /// A table with a name of its own, or with other rows than one for each record.
  func silver(_ name: PlanText, _ what: String, _ members: [String: Node], _ node: Node, from: PlanText? = nil) {
    var table = PlanSilver(
      name.text, columns: members["columns"].map { self.reader.texts($0, "\(what).columns") }, partitionBy: self.partitions(members, what))
    table.what = what
    table.from = from ?? members["from"].flatMap { reader.text($0, "\(what).from") }
    table.explode = members["explode"].flatMap { reader.text($0, "\(what).explode") }
    table.filter = members["where"].map { node in PlanFilter { self.reader.text(node, "\(what).where") } }
    (table.span, table.partitionSpan) = (name.span ?? node.span, members["partition_by"]?.span)
    builder.silver(table)
  }

  func loadGold(_ node: Node) {
    builder.gold(at: node.span)
    for (name, key, value) in reader.named(node, "gold") where builder.isTableName(PlanText(name, at: key.span), "gold") {
      reader.list.within(.table("gold.\(name)")) { loadGold(name, value) }
    }
  }

  private func loadGold(_ name: String, _ node: Node) {
    let what = "gold.\(name)"
    let members = reader.mapping(node, what, .gold)
    if let emit = members["emit"] { _ = reader.choice(emit, "\(what).emit", KeyTable.gold.choices("emit"), later: ["revisions"]) }
    builder.gold(
      table(name, "gold", members, node),
      window: reader.required(members, "window", of: what, at: node).map { window($0, "\(what).window") })
  }

  func loadState(_ node: Node) {
    for (name, key, value) in reader.named(node, "state") where builder.isTableName(PlanText(name, at: key.span), "state") {
      reader.list.within(.table("state.\(name)")) {
        let members = reader.mapping(value, "state.\(name)", .state)
        var table = table(name, "state", members, value)
        table.ttl = members["ttl"].map { reader.quantity($0, "state.\(name).ttl") }
        builder.state(table)
      }
    }
  }

  private func table(_ name: String, _ section: String, _ members: [String: Node], _ node: Node) -> PlanTable {
    let what = "\(section).\(name)"
    var table = PlanTable(
      name, in: section,
      by: self.reader.required(members, "by", of: what, at: node).map { self.reader.texts($0, "\(what).by") },
      measures: self.reader.required(members, "measure", of: what, at: node).map { list in
        self.reader.named(list, "\(what).measure").map { (name, key, value) in
          PlanMeasure(PlanText(name, at: key.span), self.reader.text(value, "\(what).measure.\(name)"))
        }
      }, partitionBy: self.partitions(members, what))
    table.from = members["from"].flatMap { reader.text($0, "\(what).from") }
    table.filter = members["where"].map { node in PlanFilter { self.reader.text(node, "\(what).where") } }
    (table.bySpan, table.partitionSpan) = (members["by"]?.span, members["partition_by"]?.span)
    return table
  }

  private func window(_ node: Node, _ what: String) -> PlanWindow {
    let members = reader.mapping(node, what, .window)
    var window = PlanWindow()
    window.tumbling = members["tumbling"].map { reader.quantity($0, "\(what).tumbling") }
    window.hopping = members["hopping"].map { reader.quantity($0, "\(what).hopping") }
    window.every = members["every"].map { reader.quantity($0, "\(what).every") }
    window.lateness = members["lateness"].map { reader.quantity($0, "\(what).lateness") }
    (window.isLater, window.span) = (members["session"] != nil, node.span)
    return window
  }
}
