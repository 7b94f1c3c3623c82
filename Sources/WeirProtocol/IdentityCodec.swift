import WeirCore

/// The member `identity` of lanes in entries and snapshots: left out where nothing is known, as in what was written before there was one.
extension JSONValue {
  func adding(_ identity: ShardIdentity?) -> JSONValue {
    guard let identity, case .object(let members) = self else { return self }
    return .object(members + [Member("identity", identity.json)])
  }
}

extension ShardIdentity {
  /// - Returns: nil: nothing is known.
  init?(memberOf json: JSONValue) throws(WeirError) {
    guard let own = json["identity"] else { return nil }
    guard let identity = ShardIdentity(json: own) else {
      throw WeirError.corruptLedger("\(own.text) is not the identity of a shard")
    }
    self = identity
  }
}
