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
  /// The same of a lookup that is refreshed while workers run. The version before it is kept too: by it other workers may have prepared what
  /// they commit next (``lookupUsed(name:hash:path:)``).
  case lookupRefreshed(name: String, hash: String, path: String)
  /// The records of the entry that carries this were joined with this version, and not with the newer one that replaced it shortly before.
  case lookupUsed(name: String, hash: String, path: String)
  /// Lanes that count from here on, with the generation they begin with.
  case lanesListed([LaneID], generation: Int64)
  /// Records lost at the source: the positions `(from, to]` of the lane's shard.
  case gap(from: ShardPoint, to: ShardPoint, reason: String)
  /// The shard is another incarnation, accepted by the user: what the old one held from `from` on is lost, and reading continues at `to`,
  /// the start of the new one. `to` may be below `from`.
  case recreated(from: ShardPoint, to: ShardPoint, reason: String)
  /// It could not be verified that the shard is the one whose records were read.
  case unverified(reason: String)
  /// Rules that every keyed record of the stream fits so far, in the order of ``Partitioner/allCases``: the producers' is one of
  /// them. What several entries say is what is left in all of them.
  case partitioner(stream: String, rules: [Partitioner])
  /// A wall clock that is not the producers', UTC microseconds: by it the lane judges event times that are too far ahead.
  case clock(Int64)
  /// The lane's shard ended at the source, and everything of it is committed with this entry: these shards have its keys from here on. `range`:
  /// the hashes of its own.
  case shardClosed(range: HashRange?, children: [ChildShard])
  /// The stream has more shards from here on, and keys move. Carried by the merge lane.
  case partitionsAdded(AddedPartitions)
  /// The plan from here on, in place of the one before: only where no record was accepted by that. The run id is the one from
  /// here on.
  case plan(meaning: JSONValue, hash: String, runID: String)
}

extension Decision {
  /// Where it starts a new generation of its lane, in the positions of the one before (law 6); nil: it starts none.
  ///
  /// What follows at the source is not what the records before it led to. A state row of an older generation beyond this position comes
  /// from records that no entry has.
  public var generationStart: ShardPoint? {
    switch self {
    case .gap(let from, _, _), .recreated(let from, _, _): from
    case .endOfInput, .extensible, .idle, .wake, .lookup, .lookupRefreshed, .lookupUsed, .lanesListed, .unverified, .partitioner, .clock,
      .plan, .shardClosed, .partitionsAdded:
      nil
    }
  }

  var json: JSONValue {
    switch self {
    case .endOfInput: kind("endOfInput")
    case .extensible: kind("extensible")
    case .idle: kind("idle")
    case .wake: kind("wake")
    case .lookup(let name, let hash, let path): version("lookup", name, hash, at: path)
    case .lookupRefreshed(let name, let hash, let path): version("lookupRefreshed", name, hash, at: path)
    case .lookupUsed(let name, let hash, let path): version("lookupUsed", name, hash, at: path)
    case .lanesListed(let lanes, let generation):
      kind("lanesListed", ["lanes": .array(lanes.map { .string($0.text) }), "generation": .int(generation)])
    case .gap(let from, let to, let reason):
      kind("gap", ["from": .string(from.text), "to": .string(to.text), "reason": .string(reason)])
    case .recreated(let from, let to, let reason):
      kind("recreated", ["from": .string(from.text), "to": .string(to.text), "reason": .string(reason)])
    case .unverified(let reason): kind("unverified", ["reason": .string(reason)])
    case .partitioner(let stream, let rules):
      kind("partitioner", ["stream": .string(stream), "rules": rules.json])
    case .clock(let microseconds): kind("clock", ["at": .int(microseconds)])
    case .shardClosed(let range, let children):
      kind(
        "shardClosed",
        range.map { ["range": .string($0.text), "children": .array(children.map(\.json))] } ?? ["children": .array(children.map(\.json))])
    case .partitionsAdded(let added): .object([JSONValue.Member("kind", .string("partitionsAdded"))] + added.members)
    case .plan(let meaning, let hash, let runID):
      kind("plan", ["plan": meaning, "planHash": .string(hash), "runID": .string(runID)])
    }
  }

  private func version(_ name: String, _ lookup: String, _ hash: String, at path: String) -> JSONValue {
    kind(name, ["name": .string(lookup), "hash": .string(hash), "path": .string(path)])
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
    case "lookup", "lookupRefreshed", "lookupUsed":
      let (name, hash, path) = (try json.requiredString("name"), try json.requiredString("hash"), try json.requiredString("path"))
      self =
        switch kind {
        case "lookup": .lookup(name: name, hash: hash, path: path)
        case "lookupRefreshed": .lookupRefreshed(name: name, hash: hash, path: path)
        default: .lookupUsed(name: name, hash: hash, path: path)
        }
    case "lanesListed":
      var lanes: [LaneID] = []
      for item in try json.requiredArray("lanes") { lanes.append(try LaneID(json: item)) }
      self = .lanesListed(lanes, generation: try json.requiredCount("generation"))
    case "gap":
      self = .gap(
        from: try json.requiredPosition("from"), to: try json.requiredPosition("to"),
        reason: try json.requiredString("reason"))
    case "recreated":
      self = .recreated(
        from: try json.requiredPosition("from"), to: try json.requiredPosition("to"),
        reason: try json.requiredString("reason"))
    case "unverified": self = .unverified(reason: try json.requiredString("reason"))
    case "partitioner":
      self = .partitioner(stream: try json.requiredString("stream"), rules: try [Partitioner](json: json.required("rules")))
    case "clock": self = .clock(try json.requiredTime("at"))
    case "shardClosed":
      var children: [ChildShard] = []
      for item in try json.requiredArray("children") { children.append(try ChildShard(json: item)) }
      self = .shardClosed(range: try json.optionalRange(), children: children)
    case "partitionsAdded": self = .partitionsAdded(try AddedPartitions(json: json))
    case "plan":
      self = .plan(
        meaning: try json.required("plan"), hash: try json.requiredString("planHash"), runID: try json.requiredString("runID"))
    default:
      throw WeirError(
        .ledgerDecision, "the ledger holds a decision of the unknown kind \"\(kind)\"",
        advice: "It was written by a newer Weir: use that version, or a newer one.")
    }
  }
}

extension Decision {
  /// The version of a lookup that the decision brings; nil: it is another decision.
  public var broughtLookup: (name: String, hash: String, path: String)? {
    switch self {
    case .lookup(let name, let hash, let path), .lookupRefreshed(let name, let hash, let path): (name, hash, path)
    default: nil
    }
  }

  /// The version of a lookup that the decision names, whatever it says of it.
  public var namedLookup: (name: String, hash: String, path: String)? {
    if case .lookupUsed(let name, let hash, let path) = self { (name, hash, path) } else { broughtLookup }
  }
}

extension [Partitioner] {
  var json: JSONValue { .array(map { .string($0.rawValue) }) }

  init(json: JSONValue) throws(WeirError) {
    guard case .array(let items) = json else { throw WeirError.corruptLedger("the rules of a stream are not a list") }
    self = []
    for item in items {
      guard case .string(let name) = item, let rule = Partitioner(rawValue: name) else {
        throw WeirError(
          .ledgerDecision, "the ledger has a partitioner that this version does not support",
          advice: "It was written by a newer Weir: use that version, or a newer one.")
      }
      append(rule)
    }
  }
}
