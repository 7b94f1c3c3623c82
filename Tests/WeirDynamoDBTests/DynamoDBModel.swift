import Foundation
import Synchronization
import WeirAWS
import WeirCore

/// DynamoDB in memory, as far as a state table uses it: conditions, transactions with their reasons, consistent queries of at most 1 MB,
/// the bounds of items and keys. Written from the API reference, not from the code that it tests.
final class DynamoDBModel: Sendable {
  struct Key: Hashable {
    var partition: String
    var sort: [UInt8]
  }

  struct Table {
    var keys: [(name: String, role: String, type: String)]
    /// Polls until it is active.
    var polls: Int
    var partitions: [String: [[UInt8]: ModelItem]] = [:]
    /// Sort keys of partitions, as long as none is added or deleted.
    var orders: [String: [[UInt8]]] = [:]

    subscript(key: Key) -> ModelItem? {
      get { partitions[key.partition]?[key.sort] }
      set {
        if (self[key] == nil) != (newValue == nil) { orders[key.partition] = nil }
        partitions[key.partition, default: [:]][key.sort] = newValue
      }
    }

    mutating func order(_ partition: String) -> [[UInt8]] {
      if let order = orders[partition] { return order }
      let order = (partitions[partition] ?? [:]).keys.sorted { ModelValue.order($0, $1) < 0 }
      orders[partition] = order
      return order
    }
  }

  private struct State {
    var tables: [String: Table] = [:]
    var tokens: Set<String> = []
    var counts: [String: Int] = [:]
    var pollsOfNewTables = 2
  }
  private let state = Mutex(State())

  /// Requests by operation, as they had an effect.
  var counts: [String: Int] { state.withLock { $0.counts } }
  var tableNames: [String] { state.withLock { $0.tables.keys.sorted() } }

  func items(of table: String) -> [Key: ModelItem] {
    state.withLock { state in
      var all: [Key: ModelItem] = [:]
      for (partition, items) in state.tables[table]?.partitions ?? [:] {
        for (sort, item) in items { all[Key(partition: partition, sort: sort)] = item }
      }
      return all
    }
  }

  /// Another program deletes a table.
  func drop(_ name: String) { state.withLock { $0.tables[name] = nil } }

  /// Another program deletes items.
  func remove(from table: String, where isGone: (Key) -> Bool) {
    for key in items(of: table).keys where isGone(key) { state.withLock { $0.tables[table]?[key] = nil } }
  }

  /// A table that another program has made.
  func make(_ name: String, keys: [(name: String, role: String, type: String)]) {
    state.withLock { $0.tables[name] = Table(keys: keys, polls: 0) }
  }

  /// Does what a request asks for.
  func answer(_ request: AWSRequest) throws(ModelRefusal) -> JSONValue {
    let target = request.headers.first { $0.name == "X-Amz-Target" }?.value
    guard target == "DynamoDB_20120810.\(request.operation)", let body = try? JSONValue(parsing: request.body) else {
      throw ModelRefusal("SerializationException", "not a request: \(target ?? "no target")")
    }
    do {
      return try state.withLock { state in
        state.counts[request.operation, default: 0] += 1
        return try DynamoDBModel.answer(request.operation, body, &state)
      }
    } catch { throw error as? ModelRefusal ?? ModelRefusal("InternalServerError", "\(error)") }
  }

  private static func answer(_ operation: String, _ body: JSONValue, _ state: inout State) throws -> JSONValue {
    if operation == "CreateTable" { return try create(body, &state) }
    if operation == "TransactWriteItems" { return try transact(body, &state) }
    let name = body["TableName"]?.string ?? ""
    guard let table = state.tables[name] else { throw ModelRefusal("ResourceNotFoundException", "Requested resource not found") }
    if operation == "DescribeTable" {
      state.tables[name]?.polls -= 1
      return describe(table)
    }
    guard table.polls <= 0 else { throw ModelRefusal("ResourceNotFoundException", "Table is being created") }
    switch operation {
    case "GetItem":
      guard body["ConsistentRead"]?.bool == true else { throw ModelRefusal("ValidationException", "a read that is not consistent") }
      return .object((table[try key(body["Key"])].map { [.init("Item", json($0))] }) ?? [])
    case "Query": return try query(body, &state.tables[name]!)
    case "PutItem", "UpdateItem", "DeleteItem":
      let kind = String(operation.dropLast(4))
      let (key, item) = try change(kind, body, table)
      state.tables[name]?[key] = item
      return .object([])
    default: throw ModelRefusal("UnknownOperationException", operation)
    }
  }

  private static func json(_ item: ModelItem) -> JSONValue { .object(item.map { .init($0.key, $0.value.json) }) }

  // MARK: Tables

  private static func create(_ body: JSONValue, _ state: inout State) throws -> JSONValue {
    let name = body["TableName"]?.string ?? ""
    guard state.tables[name] == nil else { throw ModelRefusal("ResourceInUseException", "Table already exists: \(name)") }
    guard body["BillingMode"]?.string == "PAY_PER_REQUEST" else { throw ModelRefusal("ValidationException", "no throughput") }
    let types = body["AttributeDefinitions"]?.array ?? []
    let keys = (body["KeySchema"]?.array ?? []).map { key in
      let name = key["AttributeName"]?.string ?? ""
      return (
        name: name, role: key["KeyType"]?.string ?? "",
        type: types.first { $0["AttributeName"]?.string == name }?["AttributeType"]?.string ?? ""
      )
    }
    state.tables[name] = Table(keys: keys, polls: state.pollsOfNewTables)
    return .members(["TableDescription": .members(["TableStatus": .string("CREATING")])])
  }

  private static func describe(_ table: Table) -> JSONValue {
    let schema = table.keys.map { JSONValue.members(["AttributeName": .string($0.name), "KeyType": .string($0.role)]) }
    let types = table.keys.map { JSONValue.members(["AttributeName": .string($0.name), "AttributeType": .string($0.type)]) }
    return .members([
      "Table": .members([
        "TableStatus": .string(table.polls > 1 ? "CREATING" : "ACTIVE"), "KeySchema": .array(schema), "AttributeDefinitions": .array(types),
      ])
    ])
  }

  // MARK: Items

  private static func key(_ json: JSONValue?) throws -> Key {
    guard let json, case .s(let partition)? = try json["pk"].map(ModelValue.init), case .b(let sort)? = try json["sk"].map(ModelValue.init),
      !partition.isEmpty, !sort.isEmpty, partition.utf8.count <= 2048, sort.count <= 1024
    else { throw ModelRefusal("ValidationException", "The provided key element does not match the schema") }
    return Key(partition: partition, sort: sort)
  }

  private static func names(_ body: JSONValue) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (body["ExpressionAttributeNames"]?.members ?? []).map { ($0.name, $0.value.string ?? "") })
  }

  private static func values(_ body: JSONValue) throws -> [String: ModelValue] {
    var values: [String: ModelValue] = [:]
    for member in body["ExpressionAttributeValues"]?.members ?? [] { values[member.name] = try ModelValue(member.value) }
    return values
  }

  /// - Returns: the item after the change; nil: it goes, or nothing changes.
  private static func change(_ kind: String, _ body: JSONValue, _ table: Table) throws -> (Key, ModelItem?) {
    let key = try key(kind == "Put" ? body["Item"] : body["Key"])
    let (names, values) = (names(body), try values(body))
    var used: Set<String> = []
    let stored = table[key]
    var holds = true
    if let text = body["ConditionExpression"]?.string {
      var condition = ModelExpression(text, names: names, values: values)
      holds = try condition.condition(stored)
      used.formUnion(condition.used)
    }
    var item: ModelItem?
    switch kind {
    case "Put": item = try Dictionary(uniqueKeysWithValues: (body["Item"]?.members ?? []).map { ($0.name, try ModelValue($0.value)) })
    case "Update":
      var changed = stored ?? ["pk": .s(key.partition), "sk": .b(key.sort)]
      var update = ModelExpression(body["UpdateExpression"]?.string ?? "", names: names, values: values)
      try update.update(&changed)
      used.formUnion(update.used)
      item = changed
    case "ConditionCheck": item = stored
    default: item = nil
    }
    let unused = Set(names.keys).union(values.keys).subtracting(used)
    guard unused.isEmpty else { throw ModelRefusal("ValidationException", "unused in expressions: \(unused.sorted())") }
    guard size(item ?? [:]) <= 400 * 1024 else { throw ModelRefusal("ValidationException", "Item size has exceeded the maximum") }
    guard holds else { throw ModelRefusal("ConditionalCheckFailedException", "The conditional request failed") }
    return (key, item)
  }

  private static func size(_ item: ModelItem) -> Int { item.reduce(0) { $0 + $1.key.utf8.count + $1.value.size } }

  private static func transact(_ body: JSONValue, _ state: inout State) throws -> JSONValue {
    let items = body["TransactItems"]?.array ?? []
    guard let token = body["ClientRequestToken"]?.string, (1...36).contains(token.count), (1...100).contains(items.count) else {
      throw ModelRefusal("ValidationException", "a token of 1 to 36 characters and 1 to 100 items")
    }
    if state.tokens.contains(token + String(body.text.hashValue)) { return .object([]) }
    var (changes, reasons, keys) = ([(String, Key, ModelItem?)](), [String](), Set<Key>())
    for item in items {
      guard let (kind, change) = item.members?.first.map({ ($0.name, $0.value) }), let name = change["TableName"]?.string,
        let table = state.tables[name]
      else { throw ModelRefusal("ResourceNotFoundException", "no table") }
      do {
        let (key, changed) = try self.change(kind, change, table)
        guard keys.insert(key).inserted else { throw ModelRefusal("ValidationException", "several operations on one item") }
        changes.append((name, key, changed))
        reasons.append("None")
      } catch let refusal as ModelRefusal where refusal.code == "ConditionalCheckFailedException" {
        reasons.append("ConditionalCheckFailed")
      }
    }
    guard reasons.allSatisfy({ $0 == "None" }) else {
      throw ModelRefusal("TransactionCanceledException", "Transaction cancelled", reasons: reasons)
    }
    for (name, key, item) in changes { state.tables[name]?[key] = item }
    state.tokens.insert(token + String(body.text.hashValue))
    return .object([])
  }

  private static func query(_ body: JSONValue, _ table: inout Table) throws -> JSONValue {
    guard body["ConsistentRead"]?.bool == true else { throw ModelRefusal("ValidationException", "a read that is not consistent") }
    let values = try values(body)
    let text = body["KeyConditionExpression"]?.string
    guard case .s(let partition)? = values[":p"], text == "pk = :p" || text == "pk = :p AND sk BETWEEN :a AND :z",
      values.count == (text == "pk = :p" ? 1 : 3)
    else { throw ModelRefusal("ValidationException", "a condition that the model does not have") }
    var range: (from: [UInt8], to: [UInt8])?
    if case .b(let from)? = values[":a"], case .b(let to)? = values[":z"] {
      guard from.count <= 1024, to.count <= 1024, !from.isEmpty, ModelValue.order(from, to) <= 0 else {
        throw ModelRefusal("ValidationException", "a range that is none")
      }
      range = (from, to)
    }
    let limit = body["Limit"]?.int.map(Int.init) ?? .max
    var (found, bytes) = ([JSONValue](), 0)
    for sort in table.order(partition) {
      if let range, ModelValue.order(sort, range.from) < 0 { continue }
      if let range, ModelValue.order(sort, range.to) > 0 { break }
      guard let item = table.partitions[partition]?[sort] else { continue }
      found.append(json(item))
      bytes += size(item)
      if found.count == limit || bytes > 1 << 20 {
        let key: ModelItem = ["pk": .s(partition), "sk": .b(sort)]
        return .members(["Items": .array(found), "Count": .int(Int64(found.count)), "LastEvaluatedKey": json(key)])
      }
    }
    return .members(["Items": .array(found), "Count": .int(Int64(found.count))])
  }
}
