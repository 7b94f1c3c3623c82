import WeirCore

/// Looks whether the DynamoDB table is there, as this program needs it, and makes it.
struct TableCreation: Sendable {
  let requests: DynamoDBRequests
  let creates: Bool

  /// A new table is there after some seconds.
  private static let pollsMax = 120
  private static let pollNanoseconds: Int64 = 1_000_000_000

  /// - Throws: `state_missing` if it is not there and is not to be made; `config` if it has other keys.
  func run() async throws {
    var status: String?
    for poll in 0..<TableCreation.pollsMax {
      // A tenth of a second, then twice that, up to a second.
      if poll > 0 { await requests.clock.sleep(nanoseconds: TableCreation.pollNanoseconds / 10 << Int64(min(poll - 1, 3))) }
      guard let table = try await describe() else {
        try await create()
        continue
      }
      if try isUsable(table) { return }
      status = table["TableStatus"]?.string
    }
    throw WeirError(
      .storage,
      "\(requests.place) did not become active within two minutes: its status is \(Printable.text(status ?? "unknown", bytesMax: 60))",
      advice: "Look at its status in the AWS console.")
  }

  /// - Returns: nil: it is not there, and may be made.
  private func describe() async throws -> JSONValue? {
    do {
      let answer = try await requests.send("DescribeTable", JSONValue.members(["TableName": .string(requests.table)]).bytes)
      return answer["Table"] ?? .null
    } catch let error as WeirError where error.code == .stateMissing && creates {
      return nil
    }
  }

  /// What is wrong with a table's keys, of an answer to `DescribeTable`; nil: they are a state table's.
  static func keyProblem(_ table: JSONValue) -> String? {
    let keys = (table["KeySchema"]?.array ?? []).compactMap { key in
      key["AttributeName"]?.string.flatMap { name in key["KeyType"]?.string.map { (name, $0) } }
    }
    let types = (table["AttributeDefinitions"]?.array ?? []).compactMap { definition in
      definition["AttributeName"]?.string.flatMap { name in definition["AttributeType"]?.string.map { (name, $0) } }
    }
    func type(_ role: String) -> (name: String, type: String)? {
      keys.first { $0.1 == role }.flatMap { key in types.first { $0.0 == key.0 }.map { ($0.0, $0.1) } }
    }
    let (hash, range) = (type("HASH"), type("RANGE"))
    if hash?.name == ItemKey.partitionName, hash?.type == "S", range?.name == ItemKey.sortName, range?.type == "B" { return nil }
    let found = keys.map { key in "\(key.0) (\(types.first { $0.0 == key.0 }?.1 ?? "?"), \(key.1))" }.joined(separator: ", ")
    return "has other keys than a state table: \(found.isEmpty ? "none" : found)"
  }

  static let keyAdvice =
    "A state table has the partition key pk (S) and the sort key sk (B). Name another table, or one that is not there yet."

  /// - Returns: false: it will be, later.
  private func isUsable(_ table: JSONValue) throws -> Bool {
    if let problem = TableCreation.keyProblem(table) {
      throw WeirError(.config, "\(requests.place) \(problem)", advice: Wording(TableCreation.keyAdvice))
    }
    switch table["TableStatus"]?.string {
    case "ACTIVE", "UPDATING": return true
    case "DELETING":
      throw WeirError(.storage, "\(requests.place) is being deleted", advice: "Wait until it is gone, or name another table.")
    default: return false
    }
  }

  private func create() async throws {
    func key(_ name: String, _ role: String) -> JSONValue { .members(["AttributeName": .string(name), "KeyType": .string(role)]) }
    func definition(_ name: String, _ type: String) -> JSONValue {
      .members(["AttributeName": .string(name), "AttributeType": .string(type)])
    }
    let body = JSONValue.members([
      "TableName": .string(requests.table), "BillingMode": .string("PAY_PER_REQUEST"),
      "KeySchema": .array([key(ItemKey.partitionName, "HASH"), key(ItemKey.sortName, "RANGE")]),
      "AttributeDefinitions": .array([definition(ItemKey.partitionName, "S"), definition(ItemKey.sortName, "B")]),
    ])
    do {
      _ = try await requests.send("CreateTable", body.bytes)
    } catch is DynamoDBRequests.InUse {
      // Another worker makes it at this moment, or an answer was lost.
    }
  }
}
