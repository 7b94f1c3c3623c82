import WeirCore

/// What entry 0 holds of an input after the first.
public struct LedgerInput: Sendable, Hashable {
  /// As the plan names it.
  public var name: String
  /// The stream's name in table paths.
  public var stream: String
  /// How a plain capture's keys are partitioned over lanes; nil where lanes are whole shards.
  public var dealing: Dealing?

  public init(name: String, stream: String, dealing: Dealing? = nil) { (self.name, self.stream, self.dealing) = (name, stream, dealing) }
}

extension LedgerFold {
  /// The listed lanes of an input, in order; nil: of the first one, or the only one.
  public func lanes(of input: String?) -> [LaneID] {
    lanes.keys.filter { $0 != .merge && (genesis.inputs == nil ? nil : $0.input) == input }.sorted()
  }
}

extension LedgerInput {
  var json: JSONValue {
    var members: [JSONValue.Member] = [.init("name", .string(name)), .init("stream", .string(stream))]
    if let dealing { members.append(.init("dealing", .string(dealing.rawValue))) }
    return .object(members)
  }

  init(json: JSONValue) throws(WeirError) {
    name = try json.requiredString("name")
    stream = try json.requiredString("stream")
    dealing = try json["dealing"].map { v throws(WeirError) in try Dealing(json: v) }
  }
}

extension Genesis {
  /// Reads the member `inputs`, left out where there is one input.
  /// - Throws: `ledger_corrupt` if a name occurs twice, or a lane is of an input that is not there.
  static func inputs(in json: JSONValue, of lanes: [LaneID]) throws(WeirError) -> [LedgerInput]? {
    guard json["inputs"] != nil else { return nil }
    var inputs: [LedgerInput] = []
    for item in try json.requiredArray("inputs") { inputs.append(try LedgerInput(json: item)) }
    let names = Set(inputs.map(\.name))
    guard names.count == inputs.count, lanes.allSatisfy({ $0.input.map(names.contains) ?? true }) else {
      throw WeirError.corruptLedger("entry 0 names an input twice, or lists a lane that belongs to none of its inputs")
    }
    return inputs
  }
}
