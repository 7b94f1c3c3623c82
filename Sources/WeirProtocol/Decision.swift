import WeirCore

/// What could not be derived from the records, committed like data. In effect only after its entry (law 3).
public enum Decision: Sendable, Equatable {
  /// The lane's input is complete: its open windows close, its watermark is ``Watermark/maximum``.
  case endOfInput
  /// The capture's end was reached, but it may grow (`--keep-open`): nothing closes.
  case extensible
  /// The lane leaves the minimum of the merged watermark.
  case idle
  /// The lane joins it again; its floor is the merged watermark of the fold that its entry was committed against.
  case wake
  /// A lookup's version from here on: its content hash (SHA-256, hex) and the object that keeps its bytes.
  case lookup(name: String, hash: String, path: String)
  /// Lanes that count from here on, with the generation they begin with.
  case lanesListed([LaneID], generation: Int64)
  /// Records lost at the source: the positions `(from, to]` of the lane's shard.
  case gap(from: Position, to: Position, reason: String)
}

extension Decision {
  var json: JSONValue {
    switch self {
    case .endOfInput: kind("endOfInput")
    case .extensible: kind("extensible")
    case .idle: kind("idle")
    case .wake: kind("wake")
    case .lookup(let name, let hash, let path):
      kind("lookup", ["name": .string(name), "hash": .string(hash), "path": .string(path)])
    case .lanesListed(let lanes, let generation):
      kind("lanesListed", ["lanes": .array(lanes.map { .string($0.text) }), "generation": .int(generation)])
    case .gap(let from, let to, let reason):
      kind("gap", ["from": .string(from.text), "to": .string(to.text), "reason": .string(reason)])
    }
  }

  private func kind(_ name: String, _ members: KeyValuePairs<String, JSONValue> = [:]) -> JSONValue {
    .object([JSONValue.Member("kind", .string(name))] + members.map { JSONValue.Member($0.key, $0.value) })
  }

  init(json: JSONValue) throws(WeirError) {
    let kind = try json.requiredString("kind")
    switch kind {
    case "endOfInput": self = .endOfInput
    case "extensible": self = .extensible
    case "idle": self = .idle
    case "wake": self = .wake
    case "lookup":
      self = .lookup(
        name: try json.requiredString("name"), hash: try json.requiredString("hash"),
        path: try json.requiredString("path"))
    case "lanesListed":
      var lanes: [LaneID] = []
      for item in try json.requiredArray("lanes") { lanes.append(try LaneID(json: item)) }
      self = .lanesListed(lanes, generation: try json.requiredInt("generation"))
    case "gap":
      self = .gap(
        from: try json.requiredPosition("from"), to: try json.requiredPosition("to"),
        reason: try json.requiredString("reason"))
    default:
      throw WeirError(
        "ledger_decision", "the ledger holds a decision of the unknown kind \"\(kind)\"",
        advice: "It was written by a newer Weir: use that version, or a newer one.")
    }
  }
}
