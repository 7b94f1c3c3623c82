import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// `record: {fields}`: `NAME: TYPE` or `NAME: {type: TYPE, path: PATH}`.
extension PipelineLoader {
  func loadFields(_ list: Node, _ format: RecordFormat?) {
    for (name, key, value) in reader.named(list, "record.fields") {
      guard let (text, at, path) = field(name, value, format) else { continue }
      checkName(name, key)
      if var field = FieldType.parse(name, text) {
        field.path = path
        fields.append(field)
      } else {
        reader.report(
          "field \(name): unknown type \(text)", "bad_type", at: at,
          suggestion: nearestName(text.replacing("!", with: ""), in: FieldType.names))
      }
    }
    if fields.isEmpty { reader.report("record.fields names no field", "missing_key", at: list) }
    checkPaths(list)
  }

  /// A field's name is a column's: what a record calls it may be another, by `path`.
  private func checkName(_ name: String, _ key: Node) {
    if let scalar = Printable.invisible(in: name) {
      reader.report(
        "field \(name): the name has the invisible character \(Printable.name(of: scalar)): delete it; for a member with exactly this name: "
          + "NAME: {type: TYPE, path: '\(FieldPath.text([.name(name)]))'}", "bad_name", at: key)
    } else if name.hasPrefix("_") {
      let own = String(name.drop { $0 == "_" })
      let path = FieldPath.text([.name(name)])
      reader.report(
        "field \(name): names that begin with _ are the engine's; give it another name with a path: "
          + "\(own.isEmpty ? "NAME" : own): {type: TYPE, path: '\(path)'}", "bad_name", at: key)
    } else if name.contains(".") || name.contains("[") {
      let own = name.split { ".[]\"".contains($0) }.last.map(String.init) ?? "NAME"
      let literal = FieldPath.text([.name(name)])
      reader.report(
        "field \(name): a name has no dots or brackets; a nested field needs a path: \(own): {type: TYPE, path: '\(name)'}; "
          + "for a member with exactly this name: path: '\(literal)'", "bad_name", at: key)
    }
  }

  /// Each place of a record is one field, and nothing is below one.
  private func checkPaths(_ node: Node) {
    guard fields.contains(where: { $0.path != nil }) else { return }
    let paths = fields.map(\.steps)
    for (number, path) in paths.enumerated() {
      guard let other = paths.prefix(number).firstIndex(where: { $0.starts(with: path) || path.starts(with: $0) }) else { continue }
      let (outer, inner) = path.count <= paths[other].count ? (number, other) : (other, number)
      let place = FieldPath.text(paths[outer])
      let what =
        path == paths[other]
        ? "\(fields[other].name) and \(fields[number].name) both read \(place)"
        : "\(fields[outer].name) reads \(place), and \(fields[inner].name) reads \(FieldPath.text(paths[inner])), which is inside it"
      reader.report("record.fields: \(what): one place of a record can be only one field", "bad_value", at: node)
    }
  }

  private func field(_ name: String, _ node: Node, _ format: RecordFormat?) -> (text: String, at: Node, path: [PathStep]?)? {
    guard node.mapping != nil else { return reader.string(node, "field \(name)").map { ($0, node, nil) } }
    let members = reader.mapping(node, "field \(name)", keys: ["type", "path"])
    guard let at = reader.required(members, "type", of: "field \(name)", at: node), let text = reader.string(at, "field \(name)") else {
      return nil
    }
    guard let place = members["path"], let path = reader.string(place, "field \(name).path") else { return (text, at, nil) }
    do throws(FieldPath.Fault) {
      let steps = try FieldPath.parse(path)
      if format == .avro, steps.contains(where: { if case .index = $0 { true } else { false } }) {
        reader.report("field \(name).path: elements of arrays cannot be read with format avro", "bad_value", at: place)
      }
      return (text, at, steps == [.name(name)] ? nil : steps)
    } catch {
      reader.report(
        "field \(name).path: \(path.shortened(toBytes: 100)) is not a path: \(error.reason); such as address.city, items[0].id or \"a.b\".c",
        "bad_value", at: place, offset: error.offset)
      return (text, at, nil)
    }
  }
}
