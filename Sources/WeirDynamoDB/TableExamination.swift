import WeirAWS
import WeirCore

/// Looks at the settings of a DynamoDB table that is to be a state table: keys, billing, TTL, point-in-time recovery. Changes nothing.
package struct TableExamination: Sendable {
  private let requests: DynamoDBRequests
  private let creates: Bool

  /// - Parameter create: a worker makes the table where it is missing.
  package init(table: String, sender: any AWSSender, clock: any Clock, random: any RandomSource, create: Bool) {
    requests = DynamoDBRequests(sender: sender, table: table, clock: clock, random: random, creates: create)
    creates = create
  }

  package func run() async -> [StoreFinding] {
    let table: JSONValue
    do {
      table = try await send("DescribeTable")["Table"] ?? .null
    } catch let error as WeirError where error.code == .stateMissing {
      let what = "the DynamoDB table is not there yet"
      guard creates else {
        let problem = "\(error.message)\n  Make it with the partition key pk (S) and the sort key sk (B), or remove create: false."
        return [StoreFinding(what: what, problem: problem)]
      }
      return [StoreFinding(what: "\(what): the first run creates it, with on-demand capacity")]
    } catch {
      return [StoreFinding(what: "the DynamoDB table can be described", problem: TableExamination.text(error))]
    }
    return TableExamination.table(table) + [
      await setting("TTL", "DescribeTimeToLive", TableExamination.timeToLive),
      await setting("point-in-time recovery", "DescribeContinuousBackups", TableExamination.recovery),
    ]
  }

  private func send(_ operation: String) async throws -> JSONValue {
    try await requests.send(operation, JSONValue.members(["TableName": .string(requests.table)]).bytes)
  }

  /// A setting that a service may not have, or not show.
  private func setting(_ what: String, _ operation: String, _ judge: (JSONValue) -> StoreFinding) async -> StoreFinding {
    do {
      // Each by its name: a test compares the names in this module with the permissions that are documented.
      switch operation {
      case "DescribeTimeToLive": return judge(try await send("DescribeTimeToLive"))
      default: return judge(try await send("DescribeContinuousBackups"))
      }
    } catch {
      return StoreFinding(what: what, notice: "could not be looked at: \(TableExamination.text(error))")
    }
  }

  private static func text(_ error: any Error) -> String { (error as? WeirError)?.message ?? "\(error)" }

  // MARK: Judgement

  /// Attributes of items that a state table has: TTL on one of them would delete rows or marks.
  static let ownAttributes: Set<String> = [
    RowItem.fence, RowItem.lane, RowItem.measures, RowItem.rowKey, RowItem.flush, RowItem.barrier, ItemKey.partitionName, ItemKey.sortName,
    MetaItem.value,
    "table", "keys", "format", "layout",
  ]

  /// - Parameter table: of an answer to `DescribeTable`.
  static func table(_ table: JSONValue) -> [StoreFinding] {
    var findings: [StoreFinding] = []
    if let problem = TableCreation.keyProblem(table) {
      findings.append(StoreFinding(what: "keys", problem: "the table \(problem)\n  \(TableCreation.keyAdvice)"))
    } else {
      findings.append(StoreFinding(what: "the table has a state table's keys"))
    }
    if let status = table["TableStatus"]?.string, status != "ACTIVE", status != "UPDATING" {
      findings.append(
        StoreFinding(what: "the table's status", notice: "is \(Printable.text(status, bytesMax: 40)): a worker waits for ACTIVE"))
    }
    return findings + [billing(table)]
  }

  private static func billing(_ table: JSONValue) -> StoreFinding {
    if table["BillingModeSummary"]?["BillingMode"]?.string == "PAY_PER_REQUEST" {
      return StoreFinding(what: "capacity is on demand: each row of each flush is charged")
    }
    let capacity = table["ProvisionedThroughput"]
    let (writes, reads) = (capacity?["WriteCapacityUnits"]?.int ?? 0, capacity?["ReadCapacityUnits"]?.int ?? 0)
    return StoreFinding(
      what: "capacity is provisioned",
      notice: "\(writes) write and \(reads) read units per second: a larger flush is throttled and takes longer")
  }

  static func timeToLive(_ answer: JSONValue) -> StoreFinding {
    let description = answer["TimeToLiveDescription"]
    guard let status = description?["TimeToLiveStatus"]?.string, status == "ENABLED" || status == "ENABLING",
      let attribute = description?["AttributeName"]?.string
    else { return StoreFinding(what: "TTL is off") }
    let shown = Printable.text(attribute, bytesMax: 100)
    guard ownAttributes.contains(attribute) else {
      return StoreFinding(what: "TTL is on, by the attribute \(shown), which no row that counts has")
    }
    return StoreFinding(
      what: "TTL",
      problem: "the attribute \(shown) is one of Weir's own: DynamoDB would delete rows\n  Turn TTL off, or use another attribute.")
  }

  static func recovery(_ answer: JSONValue) -> StoreFinding {
    let description = answer["ContinuousBackupsDescription"]?["PointInTimeRecoveryDescription"]
    guard description?["PointInTimeRecoveryStatus"]?.string == "ENABLED" else {
      return StoreFinding(what: "point-in-time recovery is off: the lake has what is needed to rebuild the table")
    }
    return StoreFinding(what: "point-in-time recovery is on: restore with the workers stopped")
  }
}
