import WeirCore
import WeirPlan
import Yams

/// `record: {fields}`: `NAME: TYPE` or `NAME: {type: TYPE, path: PATH}`.
extension PipelineLoader {
  func loadFields(_ list: Node) {
    for (name, key, value) in reader.named(list, "record.fields") {
      guard let (type, path) = field(name, value) else { continue }
      builder.field(PlanText(name, at: key.span), type: type, path: path)
    }
    builder.endFields(at: list.span)
  }

  private func field(_ name: String, _ node: Node) -> (type: PlanText, path: PlanText?)? {
    guard node.mapping != nil else { return reader.text(node, "field \(name)").map { ($0, nil) } }
    let members = reader.mapping(node, "field \(name)", keys: ["type", "path"])
    guard let at = reader.required(members, "type", of: "field \(name)", at: node), let type = reader.text(at, "field \(name)") else {
      return nil
    }
    return (type, members["path"].flatMap { reader.text($0, "field \(name).path") })
  }
}
