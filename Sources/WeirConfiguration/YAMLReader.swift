import Foundation
import WeirCore
import WeirOperators
import WeirPlan
import Yams

/// Walks a YAML document and collects everything that is wrong, each with its place.
package final class YAMLReader {
  let list: DiagnosticList
  private(set) var unset: [UnsetVariable] = []

  var file: String { list.file }
  var diagnostics: [Diagnostic] { list.all }

  init(_ list: DiagnosticList) { self.list = list }

  /// - Parameter line: where there is no node yet.
  func report(
    _ message: String, _ code: String, at node: Node?, line: Int = 1, offset: Int = 0, in text: String = "",
    suggestion: @autoclosure () -> String? = nil, severity: Diagnostic.Severity = .error
  ) {
    list.report(
      message, code, at: node?.span ?? SourceSpan(line: line, column: 1), offset: offset, in: text,
      suggestion: suggestion(), severity: severity)
  }

  /// The value of a variable of the environment; one that is not set, or empty, is remembered.
  func variable(_ name: String, _ what: String, at node: Node) -> String? {
    guard !name.isEmpty, !name.utf8.contains(where: { $0 == UInt8(ascii: "=") || $0 == 0 }) else {
      report("\(what): env names an environment variable: a name is not empty and has no =", "bad_value", at: node)
      return nil
    }
    if let value = Paths.environment(name), !value.isEmpty { return value }
    unset.append(UnsetVariable(setting: what, name: name, file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1))
    return nil
  }

  /// Reports tags that are not YAML's own: a value is read by its place, so `!Ref x` or `!!foo x` would be the text `x`.
  func refuseTags(_ node: Node) {
    let tag = node.tag.rawValue
    if !YAMLReader.tags.contains(tag) {
      let shown = tag.replacing("tag:yaml.org,2002:", with: "!!").shortened(toBytes: 100)
      report("the tag \(shown) has no meaning in a pipeline file: leave it out", "bad_value", at: node)
    }
    for item in node.sequence ?? [] { refuseTags(item) }
    for (key, value) in node.mapping ?? [:] {
      refuseTags(key)
      refuseTags(value)
    }
  }

  /// Of YAML's core schema and its types (YAML 1.1), as the parser finds them without tags.
  private static let tags: Set<String> = [
    "", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:null", "tag:yaml.org,2002:int", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:value", "tag:yaml.org,2002:binary", "tag:yaml.org,2002:omap", "tag:yaml.org,2002:pairs", "tag:yaml.org,2002:set",
  ]

  /// A mapping's members, after unknown and repeated keys were reported. `later`: keys of later versions.
  func mapping(_ node: Node, _ what: String, keys: [String], later: [String] = []) -> [String: Node] {
    guard let mapping = node.mapping else {
      report("\(what) needs keys and values: \(keys.joined(separator: ", "))", "bad_value", at: node)
      return [:]
    }
    guard isBounded(mapping.count, what, at: node) else { return [:] }
    var members: [String: Node] = [:]
    for (key, value) in mapping {
      guard let name = key.string else {
        report("\(what): a key must be a word", "bad_value", at: key)
        continue
      }
      if members[name] != nil { report("\(what): duplicate key: \(name)", "duplicate_name", at: key) }
      if later.contains(name) {
        report("\(what): not yet: \(name)", "not_yet", at: key)
      } else if !keys.isEmpty, !keys.contains(name) {
        reportUnknown(key, name, value, in: (what, keys))
      }
      members[name] = value
    }
    return members
  }

  /// A key that the mapping cannot have. One without a value, and with other characters than a key's, is the rest of a text that YAML split
  /// at a comma.
  private func reportUnknown(_ key: Node, _ name: String, _ value: Node, in place: (what: String, keys: [String])) {
    let suggestion = nearestName(name, in: place.keys)
    // Keys are words.
    let isWord = name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }
    if !isWord, value.null != nil {
      report(
        "\(place.what): \(name) is not a key with a value: within { } YAML splits a text at its commas: quote the whole text",
        "quote_it", at: key)
      return
    }
    let known = suggestion == nil ? "; the keys are \(place.keys.joined(separator: ", "))" : ""
    report("\(place.what): unknown key \(name)\(known)", "unknown_key", at: key, suggestion: suggestion)
  }

  /// A mapping of free names.
  func named(_ node: Node, _ what: String) -> [(name: String, key: Node, value: Node)] {
    guard let mapping = node.mapping else {
      if node.null == nil { report("\(what) needs names and values", "bad_value", at: node) }
      return []
    }
    guard isBounded(mapping.count, what, at: node) else { return [] }
    var seen = Set<String>()
    return mapping.compactMap { key, value in
      guard let name = key.string, !name.isEmpty else {
        report("\(what): a name must be a word", "bad_value", at: key)
        return nil
      }
      if !seen.insert(name).inserted { report("\(what): duplicate key: \(name)", "duplicate_name", at: key) }
      return (name, key, value)
    }
  }

  func string(_ node: Node?, _ what: String) -> String? {
    guard let node else { return nil }
    guard let scalar = node.scalar else {
      report("\(what) needs a text", "bad_value", at: node)
      return nil
    }
    return scalar.string
  }

  /// A path of this machine.
  func path(_ node: Node?, _ what: String) -> String? {
    guard let node, let text = text(node, what) else { return nil }
    return list.isPath(text, what) ? text.text : nil
  }

  func required(_ members: [String: Node], _ key: String, of what: String, at node: Node) -> Node? {
    if members[key] == nil { report("\(what) needs \(key)", "missing_key", at: node) }
    return members[key]
  }

  /// A list of texts; one text counts as a list of one.
  func strings(_ node: Node, _ what: String) -> [(text: String, node: Node)] {
    if let sequence = node.sequence {
      guard isBounded(sequence.count, what, at: node) else { return [] }
      return sequence.compactMap { item in string(item, what).map { ($0, item) } }
    }
    return string(node, what).map { [($0, node)] } ?? []
  }

  func choice(_ node: Node, _ what: String, _ choices: [String], later: [String] = []) -> String? {
    guard let text = string(node, what) else { return nil }
    if choices.contains(text) { return text }
    if later.contains(text) {
      report("\(what): not yet: \(text)", "not_yet", at: node)
    } else {
      report(
        "\(what)\(text.isEmpty ? " is empty: it" : ": \(text)") must be one of \(choices.joined(separator: ", "))", "bad_value", at: node,
        suggestion: nearestName(text, in: choices))
    }
    return nil
  }

  // MARK: Quantities

  /// `250ms`, `10s`, `5m`, `2h`, `7d`, as microseconds.
  func duration(_ node: Node, _ what: String) -> Int64? {
    guard let text = string(node, what) else { return nil }
    if let value = QuantityText.microseconds(text) {
      if value <= QuantityText.durationMax { return value }
      report("\(what): \(text) is more than 36500d, the longest duration", "bad_duration", at: node)
      return nil
    }
    report("\(what): \(text) is not a duration: a number with a unit, such as 250ms, 10s, 5m, 2h or 7d", "bad_duration", at: node)
    return nil
  }

  /// `64MiB`, `10MB`, `1000`, as bytes.
  func bytes(_ node: Node, _ what: String) -> Int64? {
    guard let text = string(node, what) else { return nil }
    if let value = QuantityText.bytes(text), value > 0 {
      if value <= QuantityText.bytesMax { return value }
      report("\(what): \(text) is more than 1024TiB, the largest size", "bad_size", at: node)
      return nil
    }
    report("\(what): \(text) is not a size: a number of bytes or with a unit, such as 64MiB or 10MB", "bad_size", at: node)
    return nil
  }

  /// `5%`, as a share of 1.
  func percent(_ node: Node, _ what: String) -> Double? {
    guard let text = string(node, what) else { return nil }
    if text.hasSuffix("%"), let value = Double(text.dropLast()), value > 0, value <= 100 { return value / 100 }
    report(
      "\(what): \(text) is not a percentage: write a number above 0 and up to 100 with a percent sign, such as 5%", "bad_value", at: node)
    return nil
  }
}

extension Node {
  /// Where it is, and where its text is if that is on one line as it was written: texts of block scalars are not.
  var span: SourceSpan? {
    guard let mark else { return nil }
    return switch scalar?.style {
    case .singleQuoted, .doubleQuoted: SourceSpan(line: mark.line, column: mark.column, textColumn: mark.column + 1)
    case .plain, .any: SourceSpan(line: mark.line, column: mark.column, textColumn: mark.column)
    default: SourceSpan(line: mark.line, column: mark.column)
    }
  }
}

extension YAMLReader {
  func text(_ node: Node, _ what: String) -> PlanText? { string(node, what).map { PlanText($0, at: node.span) } }

  /// A path in a record. YAML's null is not one, though it has a text.
  func place(_ node: Node, _ what: String) -> PlanText? {
    guard node.null == nil || node.string?.isEmpty == true else {
      report(
        "\(what) is null: write a path, or \"\(node.string ?? "")\" in quotes for a member of that name; without a path leave it out",
        "bad_value",
        at: node)
      return nil
    }
    return text(node, what)
  }

  /// A list of texts; one text counts as a list of one.
  func texts(_ node: Node, _ what: String) -> [PlanText] { strings(node, what).map { PlanText($0.text, at: $0.node.span) } }

  func quantity(_ node: Node, _ what: String) -> PlanDuration {
    PlanDuration(node.string ?? "", at: node.span) { self.duration(node, what) }
  }
}
