import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirKinesis

/// Answers requests one after the other, and keeps them.
private final class Script: AWSSender {
  let endpoint = "https://dynamodb.test"
  private let answers: Mutex<[Result<String, AWSFailure>]>
  private let requests = Mutex<[AWSRequest]>([])

  init(_ answers: [Result<String, AWSFailure>]) { self.answers = Mutex(answers) }

  var operations: [String] { requests.withLock { $0.map(\.operation) } }
  func body(_ number: Int) -> JSONValue { requests.withLock { (try? JSONValue(parsing: $0[number].body)) ?? .null } }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    requests.withLock { $0.append(request) }
    let answer = answers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    guard let answer else { throw AWSFailure(.fatal, code: "NoAnswer", message: "the script has ended") }
    return AWSResponse(status: 200, body: Array(try answer.get().utf8))
  }
}

struct LeaseTableTests {
  private static let row =
    #"{"leaseKey":{"S":"s0"},"leaseCounter":{"N":"8"},"leaseOwner":{"S":"me"},"checkpoint":{"S":"12"},"checkpointSubSequenceNumber":{"N":"3"}}"#
  private static let missing = AWSFailure(.fatal, code: "ResourceNotFoundException", message: "m", status: 400)

  private func table(_ answers: Result<String, AWSFailure>...) -> (LeaseTable, Script) {
    let script = Script(answers)
    return (LeaseTable(script, name: "app"), script)
  }

  @Test func `a table that is missing is made with KCL's key, and waited for`() async throws {
    let (table, script) = table(
      .failure(LeaseTableTests.missing), .success("{}"),
      .success(#"{"Table":{"TableStatus":"CREATING","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}}"#),
      .success(#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}}"#))
    try await table.open(creates: true, ManualClock(.moves))
    #expect(script.operations == ["DescribeTable", "CreateTable", "DescribeTable", "DescribeTable"])
    #expect(script.body(1)["KeySchema"]?.array?.compactMap { $0["AttributeName"]?.string } == ["leaseKey"])
  }

  @Test func `a table that may not be made, or of another kind, is refused`() async throws {
    let (missing, script) = table(.failure(LeaseTableTests.missing))
    let error = await #expect(throws: WeirError.self) { try await missing.open(creates: false, ManualClock(.moves)) }
    #expect(error?.code == .refused && error?.advice?.contains("create: false") == true && script.operations == ["DescribeTable"])
    let (other, _) = table(.success(#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"pk"},{"AttributeName":"sk"}]}}"#))
    let refusal = await #expect(throws: WeirError.self) { try await other.open(creates: true, ManualClock(.moves)) }
    #expect(refusal?.code == .refused && refusal?.message.contains("leaseKey") == true)
    #expect(refusal?.advice?.contains("Another program uses the table") == true && refusal?.advice?.contains("region") == false)
  }

  @Test func `all pages are read, and rows of other kinds are left out`() async throws {
    let (table, script) = table(
      .success(#"{"Items":[\#(LeaseTableTests.row)],"LastEvaluatedKey":{"leaseKey":{"S":"s0"}}}"#),
      .success(#"{"Items":[{"leaseKey":{"S":"w"},"entityType":{"S":"WORKER_METRIC_STATS"},"leaseCounter":{"N":"1"}}]}"#))
    let leases = try await table.leases()
    #expect(leases.map(\.key) == ["s0"] && leases[0].owner == "me" && leases[0].subSequence == 3)
    #expect(script.body(1)["ExclusiveStartKey"]?["leaseKey"]?["S"]?.string == "s0" && script.body(0)["ConsistentRead"] == .bool(true))
  }

  @Test func `each write of a lease is conditional on its counter and its owner`() async throws {
    var lease = Lease(key: "s0", owner: "me", counter: 7, checkpoint: "5")
    let attributes = #"{"Attributes":\#(LeaseTableTests.row)}"#
    let (table, script) = table(.success(attributes), .success(attributes), .success(attributes), .success(attributes))
    let checkpoint = try #require(Checkpoint(place("9@12:4"), mark: "m"))
    #expect(try await table.renew(lease, checkpoint, as: "me").counter == 8)
    _ = try await table.release(lease, as: "me")
    lease.owner = "other"
    _ = try await table.take(lease, as: "me")
    lease.owner = nil
    _ = try await table.take(lease, as: "me")
    func value(_ number: Int, _ name: String) -> String? {
      let value = script.body(number)["ExpressionAttributeValues"]?[name]
      return value?["N"]?.string ?? value?["S"]?.string
    }
    let conditions = (0..<4).map { script.body($0)["ConditionExpression"]?.string }
    #expect(
      conditions == [
        "leaseCounter = :c AND leaseOwner = :me", "leaseCounter = :c AND leaseOwner = :me", "leaseCounter = :c AND leaseOwner = :o",
        "leaseCounter = :c AND attribute_not_exists(leaseOwner)",
      ])
    for number in 0..<4 { #expect(value(number, ":c") == "7" && value(number, ":n") == "8") }
    #expect(value(0, ":p") == "12" && value(0, ":s") == "3" && value(0, ":w") == "12:3" && value(2, ":o") == "other")
    #expect(value(2, ":s") == "1", "the owner changed")
  }

  @Test func `a condition that does not hold is no failure of the service`() async throws {
    let (table, _) = table(.failure(AWSFailure(.fenced, code: "ConditionalCheckFailedException", message: "m", status: 400)))
    do {
      _ = try await table.renew(Lease(key: "s0", owner: "me"), nil, as: "me")
      Issue.record("it was renewed")
    } catch { #expect(error.kind == .condition) }
  }
}
