/// The form of a shard's identity in files: an object whose members are left out where nothing is known.
extension ShardIdentity {
  public var json: JSONValue {
    var members: [JSONValue.Member] = []
    if let last { members.append(.init("last", .string(last.text))) }
    if let anchor { members.append(.init("anchor", .string(anchor.text))) }
    if !older.isEmpty { members.append(.init("older", .array(older.map { .string($0.text) }))) }
    if let incarnation { members.append(.init("incarnation", .string(incarnation))) }
    return .object(members)
  }

  /// Reads ``json``; unknown members are left out.
  public init?(json: JSONValue) {
    self.init()
    guard json.members != nil else { return nil }
    for (name, place) in [("last", \ShardIdentity.last), ("anchor", \ShardIdentity.anchor)] {
      guard let value = json[name] else { continue }
      guard let mark = value.string.flatMap(Fingerprint.init(text:)) else { return nil }
      self[keyPath: place] = mark
    }
    if let value = json["older"] {
      guard let texts = value.array else { return nil }
      older = texts.compactMap { $0.string.flatMap(Fingerprint.init(text:)) }
      guard older.count == texts.count else { return nil }
    }
    if let value = json["incarnation"] {
      guard let name = value.string else { return nil }
      incarnation = name
    }
  }
}
