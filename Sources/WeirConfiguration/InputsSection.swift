import WeirCore
import WeirPlan
import Yams

/// `inputs: {NAME: {source: …, record: …}, …}`. `source` and `record` of the pipeline itself are the short form of a single one.
extension PipelineLoader {
  /// - Returns: whether there are fields, which all else is about.
  func loadInputs(_ node: Node, _ top: [String: Node]) -> Bool {
    for key in ["source", "record"] where top[key] != nil {
      reader.report("inputs: \(key) belongs to an input: write it below inputs.NAME, or leave inputs out", "bad_value", at: top[key])
    }
    let named = reader.named(node, "inputs")
    guard let first = named.first else {
      if node.mapping?.isEmpty == true { reader.report("inputs must name at least one input", "missing_key", at: node) }
      return false
    }
    var others: [PlanInput] = []
    // The first comes last: the rest of the pipeline is about it.
    for (name, key, value) in named.reversed() {
      guard tableName(key, "inputs"), loadInput(name, value) else { return false }
      if name != first.name { others.insert(builder.input(named: name), at: 0) }
    }
    builder.inputs(first: first.name, others: others, at: node.span)
    return true
  }

  private func tableName(_ node: Node, _ what: String) -> Bool { (tableName(node, what) as String?) != nil }

  private func loadInput(_ name: String, _ node: Node) -> Bool {
    let members = reader.mapping(node, "inputs.\(name)", .input(sections))
    builder.beginInput()
    guard reader.required(members, "record", of: "inputs.\(name)", at: node).map({ loadRecord($0) }) == true else { return false }
    builder.source(reader.required(members, "source", of: "inputs.\(name)", at: node).flatMap(source))
    builder.makeInputs()
    return true
  }
}
