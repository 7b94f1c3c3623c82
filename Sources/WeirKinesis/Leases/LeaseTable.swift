import WeirAWS
import WeirCore

/// The requests to the DynamoDB table with the leases (API version 2012-08-10, JSON 1.0).
package struct LeaseTable: Sendable {
  private static let pagesMax = 100
  /// A new table is there after some seconds.
  private static let looksMax = 120

  let sender: any AWSSender
  let name: String

  package init(_ sender: any AWSSender, name: String) { (self.sender, self.name) = (sender, name) }

  var place: String { "the DynamoDB table \(name) at \(sender.endpoint)" }

  // MARK: The table

  /// Looks whether the table is there, with KCL's key, and makes it.
  func open(creates: Bool, _ clock: any Clock) async throws {
    for look in 0..<LeaseTable.looksMax {
      if look > 0 { await clock.sleep(nanoseconds: 100_000_000 << Int64(min(look - 1, 3))) }
      do throws(KinesisFailure) {
        if try await isActive() { return }
      } catch {
        guard error.kind == .tableMissing, creates else { throw error.error }
        try await create()
      }
    }
    throw WeirError(.unavailable, "\(place) did not become active within two minutes", advice: "Look at its status in the AWS console.")
  }

  /// Whether it is there, and a worker can use it now.
  /// - Throws: `tableMissing`, `foreignTable`.
  func isActive() async throws(KinesisFailure) -> Bool {
    let table = try await send("DescribeTable", [])["Table"] ?? .null
    let keys = (table["KeySchema"]?.array ?? []).compactMap { $0["AttributeName"]?.string }
    guard keys == ["leaseKey"] else {
      throw KinesisFailure(.foreignTable, "\(place) is not a table of leases: its key is \(keys.joined(separator: ", ")), and not leaseKey")
    }
    return ["ACTIVE", "UPDATING"].contains(table["TableStatus"]?.string)
  }

  private func create() async throws {
    do throws(KinesisFailure) {
      _ = try await send(
        "CreateTable",
        [
          .init("BillingMode", .string("PAY_PER_REQUEST")),
          .init("KeySchema", .array([.members(["AttributeName": .string("leaseKey"), "KeyType": .string("HASH")])])),
          .init("AttributeDefinitions", .array([.members(["AttributeName": .string("leaseKey"), "AttributeType": .string("S")])])),
        ])
    } catch {
      // Another worker makes it at this moment, or an answer was lost.
      if error.kind != .inUse { throw error.error }
    }
  }

  // MARK: Rows

  /// All leases; rows of other kinds are left out.
  func leases() async throws(KinesisFailure) -> [Lease] {
    var leases: [Lease] = []
    var start: JSONValue?
    for _ in 0..<LeaseTable.pagesMax {
      var members: [JSONValue.Member] = [.init("ConsistentRead", .bool(true))]
      if let start { members.append(.init("ExclusiveStartKey", start)) }
      let answer = try await send("Scan", members)
      leases += (answer["Items"]?.array ?? []).compactMap(Lease.init)
      guard let last = answer["LastEvaluatedKey"], !last.isNull else { return leases }
      start = last
    }
    throw KinesisFailure(.final, "\(place) has more than \(LeaseTable.pagesMax) pages of leases")
  }

  /// - Throws: `condition`: there is one.
  func create(_ shard: KinesisShard, checkpoint: String) async throws(KinesisFailure) {
    var item: [JSONValue.Member] = [
      .init("leaseKey", LeaseTable.text(shard.id)), .init("leaseCounter", LeaseTable.number(0)),
      .init("checkpoint", LeaseTable.text(checkpoint)), .init("checkpointSubSequenceNumber", LeaseTable.number(0)),
      .init("ownerSwitchesSinceCheckpoint", LeaseTable.number(0)), .init("startingHashKey", LeaseTable.text(String(shard.range.first))),
      .init("endingHashKey", LeaseTable.text(String(shard.range.last))),
    ]
    if !shard.parents.isEmpty { item.append(.init("parentShardId", LeaseTable.texts(shard.parents))) }
    _ = try await send(
      "PutItem", [.init("Item", .object(item)), .init("ConditionExpression", .string("attribute_not_exists(leaseKey)"))])
  }

  /// Raises the counter of a lease that we own, and writes a checkpoint with it.
  /// - Returns: the row as it is then.
  func renew(_ lease: Lease, _ checkpoint: Checkpoint?, as worker: String) async throws(KinesisFailure) -> Lease {
    var update = Update("SET leaseCounter = :n", "leaseCounter = :c AND leaseOwner = :me")
    update[":n"] = LeaseTable.number(lease.counter + 1)
    update[":c"] = LeaseTable.number(lease.counter)
    update[":me"] = LeaseTable.text(worker)
    if let checkpoint {
      update.expression +=
        ", checkpoint = :p, checkpointSubSequenceNumber = :s, ownerSwitchesSinceCheckpoint = :z, weirCheckpoint = :w, weirLedger = :l"
      update[":p"] = LeaseTable.text(checkpoint.number)
      update[":s"] = LeaseTable.number(checkpoint.subSequence)
      update[":z"] = LeaseTable.number(0)
      update[":w"] = LeaseTable.text(checkpoint.text)
      update[":l"] = LeaseTable.text(checkpoint.mark)
    }
    return try await self.update(lease.key, update)
  }

  /// Becomes the owner of a lease, as it was seen.
  func take(_ lease: Lease, as worker: String) async throws(KinesisFailure) -> Lease {
    var update = Update(
      "SET leaseOwner = :me, leaseCounter = :n, ownerSwitchesSinceCheckpoint = :s REMOVE weirWantedBy, checkpointOwner",
      "leaseCounter = :c AND " + (lease.owner == nil ? "attribute_not_exists(leaseOwner)" : "leaseOwner = :o"))
    update[":me"] = LeaseTable.text(worker)
    update[":n"] = LeaseTable.number(lease.counter + 1)
    update[":c"] = LeaseTable.number(lease.counter)
    update[":s"] = LeaseTable.number(lease.ownerSwitches + (lease.owner == nil || lease.owner == worker ? 0 : 1))
    if let owner = lease.owner { update[":o"] = LeaseTable.text(owner) }
    return try await self.update(lease.key, update)
  }

  /// Asks the owner for a lease; the counter stays, so that the owner need not notice it at once.
  func want(_ lease: Lease, as worker: String) async throws(KinesisFailure) {
    var update = Update("SET weirWantedBy = :me", "leaseOwner = :o")
    update[":me"] = LeaseTable.text(worker)
    update[":o"] = LeaseTable.text(lease.owner ?? "")
    _ = try await self.update(lease.key, update)
  }

  /// Gives a lease back.
  func release(_ lease: Lease, as worker: String) async throws(KinesisFailure) {
    var update = Update("SET leaseCounter = :n REMOVE leaseOwner", "leaseCounter = :c AND leaseOwner = :me")
    update[":n"] = LeaseTable.number(lease.counter + 1)
    update[":c"] = LeaseTable.number(lease.counter)
    update[":me"] = LeaseTable.text(worker)
    _ = try await self.update(lease.key, update)
  }

  /// The ledger has the shard as closed: no worker reads it any more, whichever owns the lease.
  func end(_ key: String, children: [String]) async throws(KinesisFailure) {
    let named = children.isEmpty ? "" : ", childShardIds = :k"
    var update = Update(
      "SET checkpoint = :e, checkpointSubSequenceNumber = :z, weirCheckpoint = :w\(named) REMOVE leaseOwner, weirWantedBy "
        + "ADD leaseCounter :one", "attribute_exists(leaseKey)")
    update[":e"] = LeaseTable.text(Lease.shardEnd)
    update[":z"] = LeaseTable.number(0)
    update[":w"] = LeaseTable.text("\(Lease.shardEnd):0")
    update[":one"] = LeaseTable.number(1)
    if !children.isEmpty { update[":k"] = LeaseTable.texts(children) }
    _ = try await self.update(key, update)
  }

  /// Removes the lease of a shard that ended and is no longer in the stream.
  func delete(_ lease: Lease) async throws(KinesisFailure) {
    _ = try await send(
      "DeleteItem",
      [
        .init("Key", .members(["leaseKey": LeaseTable.text(lease.key)])), .init("ConditionExpression", .string("leaseCounter = :c")),
        .init("ExpressionAttributeValues", .members([":c": LeaseTable.number(lease.counter)])),
      ])
  }

  // MARK: Sending

  private struct Update {
    var expression: String
    let condition: String
    private(set) var values: [JSONValue.Member] = []

    init(_ expression: String, _ condition: String) { (self.expression, self.condition) = (expression, condition) }

    subscript(_ name: String) -> JSONValue {
      get { .null }
      set { values.append(.init(name, newValue)) }
    }
  }

  private func update(_ key: String, _ update: Update) async throws(KinesisFailure) -> Lease {
    let answer = try await send(
      "UpdateItem",
      [
        .init("Key", .members(["leaseKey": LeaseTable.text(key)])), .init("UpdateExpression", .string(update.expression)),
        .init("ConditionExpression", .string(update.condition)), .init("ExpressionAttributeValues", .object(update.values)),
        .init("ReturnValues", .string("ALL_NEW")),
      ])
    guard let lease = answer["Attributes"].flatMap(Lease.init) else {
      throw KinesisFailure(.passing, "\(place) answered UpdateItem without the lease of \(key)")
    }
    return lease
  }

  private func send(_ operation: String, _ members: [JSONValue.Member]) async throws(KinesisFailure) -> JSONValue {
    let body = JSONValue.object([.init("TableName", .string(name))] + members)
    let request = AWSRequest(
      operation, method: "POST",
      headers: [.init("Content-Type", "application/x-amz-json-1.0"), .init("X-Amz-Target", "DynamoDB_20120810.\(operation)")],
      body: body.bytes)
    let response: AWSResponse
    do throws(AWSFailure) { response = try await sender.send(request) } catch {
      var failure = KinesisFailure(error, place)
      if failure.kind == .missing { failure.kind = .tableMissing }
      throw failure
    }
    guard response.status == 200, let json = try? JSONValue(parsing: response.body), json.members != nil else {
      throw KinesisFailure(.passing, "\(place) answered \(operation) with status \(response.status) and no JSON object")
    }
    return json
  }

  private static func text(_ text: String) -> JSONValue { .members(["S": .string(text)]) }
  private static func number(_ number: Int64) -> JSONValue { .members(["N": .string(String(number))]) }
  private static func texts(_ texts: [String]) -> JSONValue { .members(["SS": .array(texts.map { .string($0) })]) }
}
