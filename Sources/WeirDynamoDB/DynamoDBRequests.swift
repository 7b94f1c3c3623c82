import Synchronization
import WeirAWS
import WeirCore

/// The requests to DynamoDB that a state table makes (API version 2012-08-10, JSON 1.0).
struct DynamoDBRequests: Sendable {
  /// A condition does not hold.
  struct ConditionFailed: Error {}

  /// A table of the name is there, or is being made.
  struct InUse: Error {}

  /// A transaction that did not happen: what was wrong with each of its items (`None`, `ConditionalCheckFailed`, ...).
  struct TransactionCancelled: Error {
    var reasons: [String]
  }

  /// How long a request is repeated, after the repeats of the client, which has its own: a table may be throttled for a while.
  static let patienceNanoseconds: Int64 = 120_000_000_000
  /// That many times at least, and at most.
  private static let attempts = 5...100
  private static let firstWait: Int64 = 50_000_000

  /// Whether the service has answered before: one that never did may have a wrong address.
  private final class Answered: Sendable {
    let isTrue = Atomic(false)
  }
  private let answered = Answered()

  let sender: any AWSSender
  let table: String
  let clock: any Clock
  let random: any RandomSource
  /// A worker makes the table where it is missing: for advice.
  let creates: Bool

  /// For messages.
  var place: String { "the DynamoDB table \(table) at \(sender.endpoint)" }

  /// - Throws: ``ConditionFailed``, ``TransactionCancelled``, ``InUse``; else a ``WeirError``.
  func send(_ operation: String, _ body: [UInt8]) async throws -> JSONValue {
    let request = AWSRequest(
      operation, method: "POST",
      headers: [
        .init("Content-Type", "application/x-amz-json-1.0"), .init("X-Amz-Target", "DynamoDB_20120810.\(operation)"),
      ], body: body)
    let began = clock.monotonicNanoseconds
    for attempt in 1... {
      do {
        let response = try await sender.send(request)
        answered.isTrue.store(true, ordering: .relaxed)
        return try answer(response, operation)
      } catch let failure as AWSFailure {
        switch failure.code {
        case "ConditionalCheckFailedException": throw ConditionFailed()
        case "ResourceInUseException": throw InUse()
        case "TransactionCanceledException":
          guard let reasons = DynamoDBRequests.reasons(failure.body) else { throw error(failure, operation) }
          throw TransactionCancelled(reasons: reasons)
        default: break
        }
        // Every request may be repeated, whether it had its effect or not: conditions see what the first one did.
        let passes = failure.kind == .retriable || failure.kind == .unknown
        guard passes, !Task.isCancelled, !AWSPatience.isLooking, isInTime(attempt, since: began) else { throw error(failure, operation) }
        await pause(attempt)
      }
    }
    throw WeirError(.internal, "a request to \(place) has no end")
  }

  private func isInTime(_ attempt: Int, since began: Int64) -> Bool {
    if attempt < DynamoDBRequests.attempts.lowerBound { return true }
    return answered.isTrue.load(ordering: .relaxed) && attempt < DynamoDBRequests.attempts.upperBound
      && clock.monotonicNanoseconds - began < DynamoDBRequests.patienceNanoseconds
  }

  /// Before the next attempt: at most 50 ms, 100 ms, 200 ms, ...
  func pause(_ attempt: Int) async {
    let most = DynamoDBRequests.firstWait << Int64(min(attempt - 1, 6))
    await clock.sleep(nanoseconds: most / 2 + Int64(random.next() % UInt64(most / 2)))
  }

  private func answer(_ response: AWSResponse, _ operation: String) throws -> JSONValue {
    guard response.status == 200, let json = try? JSONValue(parsing: response.body), json.members != nil else {
      throw WeirError(
        .storage, "\(place) answered \(operation) with status \(response.status) and no JSON object",
        advice: "Something between this machine and the service may answer in its place: check the endpoint.")
    }
    return json
  }

  private static func reasons(_ body: [UInt8]) -> [String]? {
    (try? JSONValue(parsing: body))?["CancellationReasons"]?.array?.map { $0["Code"]?.string ?? "None" }
  }

  private func error(_ failure: AWSFailure, _ operation: String) -> WeirError {
    switch failure.code {
    case "ResourceNotFoundException" where !operation.hasPrefix("Describe"):
      // It was there when it was described, before all else.
      WeirError(
        .stateRemoved, "\(place) was deleted while it was in use (\(failure.message))",
        advice: creates
          ? "Nothing is lost in the lake: run the pipeline again. It makes the table and writes all rows again."
          : "Nothing is lost in the lake: create the table (partition key pk (S), sort key sk (B)) and run the pipeline again. It writes all rows again."
      )
    case "ResourceNotFoundException":
      WeirError(
        .stateMissing, "\(place) does not exist (\(failure.message))",
        advice: creates
          ? "Check its name and region. A worker that runs makes the table."
          : "Check its name and region, or create it: its settings (create: false) forbid the worker to make it.")
    case "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken", "InvalidSignatureException":
      WeirError(
        .storageRefused, "\(place) does not accept the credentials (\(operation): \(failure.message))",
        advice: "Renew or correct the worker's credentials of AWS, then run it again: it continues from the ledger.")
    case "AccessDeniedException":
      WeirError(
        .storageRefused, "\(place) refused \(operation): \(failure.message)", advice: "Allow this operation to the worker's role or user.")
    case _ where failure.kind == .fatal && failure.status == 0:
      // The client itself: no region, no credentials, an address that is not one.
      WeirError(
        .storageRefused, "the DynamoDB table \(table) cannot be used: \(failure.message)",
        advice: "Check region, endpoint and credentials of AWS.")
    case _ where failure.kind == .fatal:
      WeirError(.storageRefused, "\(place) refused \(operation): \(failure.message)", advice: "Repeating it does not help.")
    default:
      WeirError(
        .storage, "\(place) did not do \(operation): \(failure.message)",
        advice: AWSPatience.isLooking
          ? "Check the network, the endpoint and the service's state, then run again."
          : "Nothing is lost: run the pipeline again, it continues from the ledger. If it stays so, look at the table's throttling and at the network."
      )
    }
  }

  init(sender: any AWSSender, table: String, clock: any Clock, random: any RandomSource, creates: Bool = true) {
    (self.sender, self.table, self.clock, self.random, self.creates) = (sender, table, clock, random, creates)
  }

  // MARK: Items

  private func body(_ write: (inout [UInt8]) -> Void) -> [UInt8] {
    var out: [UInt8] = [UInt8(ascii: "{")]
    write(&out)
    out.append(UInt8(ascii: "}"))
    return out
  }

  /// - Returns: nil: there is none.
  func get(_ key: ItemKey) async throws -> Item? {
    let answer = try await send(
      "GetItem",
      body { out in
        out += "\"TableName\":\"\(table)\",\"ConsistentRead\":true,\"Key\":".utf8
        key.write(into: &out)
      })
    guard let json = answer["Item"], !json.isNull else { return nil }
    return try item(json)
  }

  private func item(_ json: JSONValue) throws(WeirError) -> Item {
    guard let item = Item(json) else { throw corrupt("an item is not one of Weir's") }
    return item
  }

  func corrupt(_ what: String) -> WeirError {
    WeirError(.corrupt, "\(place): \(what)", advice: "Another program wrote to it: \(.rebuildState) into a new table repairs that.")
  }

  /// - Throws: ``ConditionFailed``.
  func change(_ change: ItemChange) async throws {
    let operation: String
    switch change.kind {
    case .put: operation = "PutItem"
    case .update: operation = "UpdateItem"
    case .delete: operation = "DeleteItem"
    case .check: preconditionFailure("a condition alone is not a request")
    }
    _ = try await send(operation, body { change.write(table: table, into: &$0) })
  }

  /// - Parameter token: at most 36 characters; the same for the same changes.
  /// - Throws: ``TransactionCancelled``.
  func transact(_ changes: [ItemChange], token: String) async throws {
    _ = try await send(
      "TransactWriteItems",
      body { out in
        out += "\"ClientRequestToken\":\"\(token)\",\"TransactItems\":[".utf8
        for (i, change) in changes.enumerated() {
          out += "\(i == 0 ? "" : ","){\"\(change.kind.rawValue)\":{".utf8
          change.write(table: table, into: &out)
          out += "}}".utf8
        }
        out.append(UInt8(ascii: "]"))
      })
  }

  /// Items of a partition, and whether there are more after them.
  struct Found: Sendable {
    var items: [Item]
    /// nil: all were found.
    var last: [UInt8]?
  }

  /// One request: what fits in 1 MB, in the order of the sort keys.
  /// - Parameters:
  ///   - range: of sort keys, both ends included; nil: all.
  ///   - limit: maximum number of items.
  func query(_ partition: String, _ range: (from: [UInt8], to: [UInt8])? = nil, limit: Int? = nil) async throws -> Found {
    let answer = try await send(
      "Query",
      body { out in
        out += "\"TableName\":\"\(table)\",\"ConsistentRead\":true,\"KeyConditionExpression\":\"pk = :p".utf8
        out += "\(range == nil ? "" : " AND sk BETWEEN :a AND :z")\",\"ExpressionAttributeValues\":".utf8
        Item.write(
          [(":p", .text(partition))] + (range.map { [(":a", .bytes($0.from)), (":z", .bytes($0.to))] } ?? []), into: &out)
        if let limit { out += ",\"Limit\":\(limit)".utf8 }
      })
    guard let list = answer["Items"]?.array else { throw corrupt("an answer to Query has no items") }
    var items: [Item] = []
    items.reserveCapacity(list.count)
    for json in list { items.append(try item(json)) }
    guard let last = answer["LastEvaluatedKey"], !last.isNull else { return Found(items: items, last: nil) }
    guard let key = Item(last) else { throw corrupt("an answer to Query has no key to continue from") }
    return Found(items: items, last: key.sort)
  }

  /// All items of a partition, or those of them whose sort key begins with `prefix`, page by page.
  func queryAll(_ partition: String, prefix: [UInt8] = [], _ body: ([Item]) async throws -> Void) async throws {
    let to = DynamoDBRequests.end(of: prefix)
    var from = prefix
    while true {
      let found = try await query(partition, from.isEmpty ? nil : (from, to))
      try await body(found.items.filter { $0.sort.starts(with: prefix) })
      guard let last = found.last, let next = DynamoDBRequests.after(last), next.precedes(to) else { return }
      from = next
    }
  }

  /// A sort key that no key that begins with `prefix` is after. It may be one that does not begin with it.
  static func end(of prefix: [UInt8]) -> [UInt8] {
    var end = prefix
    while let last = end.popLast() { if last < 255 { return end + [last + 1] } }
    return [UInt8](repeating: 255, count: ItemKey.sortBytesMax)
  }

  /// The sort key that follows one in the order of bytes; nil: there is none.
  static func after(_ key: [UInt8]) -> [UInt8]? {
    if key.count < ItemKey.sortBytesMax { return key + [0] }
    var next = key
    while let last = next.popLast() { if last < 255 { return next + [last + 1] } }
    return nil
  }
}
