import WeirCore
import WeirOperators
import Yams

/// `json: {framing: lines | concatenated | array}`.
struct JSONSection: FormatSection {
  let format: any RecordFormat.Type = JSONFormat.self
  let shape: ValueShape? = .table(.json)

  func read(_ node: Node, with loader: PipelineLoader) -> (any RecordFormat)? {
    let what = "record.format.json"
    let members = loader.reader.mapping(node, what, .json)
    guard let framing = loader.reader.required(members, "framing", of: what, at: node) else { return nil }
    loader.builder.spans["record.format.json.framing"] = framing.span
    // The default is recorded as nothing: ledgers keep their plans.
    return loader.reader.choice(framing, "\(what).framing", KeyTable.json.choices("framing")).map { JSONFormat(.init(rawValue: $0)) }
  }
}
