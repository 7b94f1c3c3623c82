import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirKinesis

/// Answers by the operation; each operation has answers in an order, of which the last one stays.
private final class Services: AWSSender {
  let endpoint = "https://aws.test"
  private let state: Mutex<(answers: [String: [Result<String, AWSFailure>]], asked: [String])>

  init(_ answers: [String: [Result<String, AWSFailure>]]) { state = Mutex((answers, [])) }

  var asked: [String] { state.withLock { $0.asked } }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let answer: Result<String, AWSFailure> = state.withLock { state in
      state.asked.append(request.operation)
      let left = state.answers[request.operation] ?? []
      if left.count > 1 { state.answers[request.operation]?.removeFirst() }
      return left.first ?? .failure(AWSFailure(.fatal, code: "Unexpected", message: request.operation, status: 400))
    }
    return AWSResponse(status: 200, body: Array(try answer.get().utf8))
  }
}

struct KinesisExaminationTests {
  private static func failure(_ code: String, _ status: Int = 400) -> Result<String, AWSFailure> {
    .failure(AWSFailure(code == "ConditionalCheckFailedException" ? .fenced : .fatal, code: code, message: "m", status: status))
  }

  private static func summary(_ hours: Int, status: String = "ACTIVE") -> Result<String, AWSFailure> {
    .success(
      #"{"StreamDescriptionSummary":{"StreamCreationTimestamp":1700000000,"RetentionPeriodHours":\#(hours),"StreamStatus":"\#(status)"}}"#)
  }

  private static let good: [String: [Result<String, AWSFailure>]] = [
    "DescribeStreamSummary": [summary(168)],
    "ListShards": [
      .success(#"{"Shards":[{"ShardId":"shardId-0","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"},"SequenceNumberRange":{}}]}"#)
    ],
    "GetShardIterator": [.success(#"{"ShardIterator":"i"}"#)], "GetRecords": [.success(#"{"Records":[],"MillisBehindLatest":0}"#)],
    "DescribeTable": [.success(#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}}"#)],
    "Scan": [.success(#"{"Items":[{"leaseKey":{"S":"s0"},"leaseCounter":{"N":"8"},"leaseOwner":{"S":"me"}}]}"#)],
    "UpdateItem": [failure("ConditionalCheckFailedException")],
  ]

  private func findings(
    _ changes: [String: [Result<String, AWSFailure>]] = [:], creates: Bool = true
  ) async -> (found: [(place: String, finding: StoreFinding)], asked: [String]) {
    let services = Services(KinesisExaminationTests.good.merging(changes) { $1 })
    var found: [(place: String, finding: StoreFinding)] = []
    await KinesisExamination(
      requests: KinesisRequests(services, stream: "s"), table: LeaseTable(services, name: "app"), creates: creates
    ).run { found.append(($0, $1)) }
    return (found, services.asked)
  }

  private func problems(_ changes: [String: [Result<String, AWSFailure>]], creates: Bool = true) async -> [String] {
    await findings(changes, creates: creates).found.compactMap { entry in entry.finding.problem.map { "\(entry.finding.what): \($0)" } }
  }

  @Test func `a stream and a table that a worker can use have no problem, and nothing is made`() async {
    let (found, asked) = await findings()
    #expect(found.allSatisfy { $0.finding.problem == nil && $0.finding.notice == nil }, "\(found)")
    #expect(Set(found.map(\.place)).count == 2 && found.count == 7, "\(found)")
    #expect(Set(asked) == Set(KinesisExaminationTests.good.keys))
  }

  @Test func `a short retention and a stream that is not active are notices`() async {
    let found = await findings(["DescribeStreamSummary": [KinesisExaminationTests.summary(24, status: "CREATING")]]).found
    let notices = found.compactMap(\.finding.notice)
    #expect(notices.count == 2 && notices[0].contains("CREATING") && notices[1].contains("retention"), "\(notices)")
  }

  @Test func `each thing that is missing or forbidden is one problem, with what to do`() async {
    let denied = KinesisExaminationTests.failure("AccessDeniedException")
    for (changes, words) in [
      (["DescribeStreamSummary": [KinesisExaminationTests.failure("ResourceNotFoundException")]], "region"),
      (["ListShards": [denied]], "the shards can be listed"), (["GetRecords": [denied]], "records can be read"),
      (["DescribeTable": [denied]], "the table of leases can be described"), (["Scan": [denied]], "the leases can be read"),
      (["UpdateItem": [denied]], "leases may be written"),
      (["DescribeTable": [.success(#"{"Table":{"KeySchema":[{"AttributeName":"pk"}]}}"#)]], "Another program uses the table"),
    ] as [([String: [Result<String, AWSFailure>]], String)] {
      let problems = await problems(changes)
      #expect(problems.count == 1 && problems[0].contains(words), "\(changes.keys): \(problems)")
    }
  }

  @Test func `a table of leases that a run will create is no problem, and with create: false it is one`() async {
    let missing = ["DescribeTable": [KinesisExaminationTests.failure("ResourceNotFoundException")]]
    #expect(await problems(missing) == [])
    let problems = await problems(missing, creates: false)
    #expect(problems.count == 1 && problems[0].contains("create: false"), "\(problems)")
  }
}

/// A table of leases that is deleted while a worker runs.
struct DeletedLeaseTableTests {
  /// A table of DynamoDB with one row at most, which can be gone.
  private final class Table: AWSSender {
    struct State {
      var isThere = true
      var lease: (counter: String, owner: String?)?
      var scans = 0
      var creations = 0
    }

    let endpoint = "https://dynamodb.test"
    let state = Mutex(State())

    func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
      let body = (try? JSONValue(parsing: request.body)) ?? .null
      let answer: Result<String, AWSFailure> = state.withLock { Table.answer(request.operation, body, &$0) }
      return AWSResponse(status: 200, body: Array(try answer.get().utf8))
    }

    private static func answer(_ operation: String, _ body: JSONValue, _ state: inout State) -> Result<String, AWSFailure> {
      if operation == "CreateTable" {
        (state.isThere, state.lease) = (true, nil)
        state.creations += 1
        return .success("{}")
      }
      guard state.isThere else {
        return .failure(AWSFailure(.fatal, code: "ResourceNotFoundException", message: "m", status: 400))
      }
      switch operation {
      case "DescribeTable":
        return .success(#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}]}}"#)
      case "Scan":
        state.scans += 1
        // The worker has its lease by then.
        if state.scans == 6, state.creations == 0 { state.isThere = false }
        return .success(#"{"Items":[\#(row(state.lease) ?? "")]}"#)
      case "PutItem": state.lease = ("0", nil)
      default:
        let values = body["ExpressionAttributeValues"]
        let counter = values?[":n"]?["N"]?.string ?? state.lease?.counter ?? "0"
        let isRelease = body["UpdateExpression"]?.string?.hasSuffix("REMOVE leaseOwner") == true
        state.lease = (counter, isRelease ? nil : values?[":me"]?["S"]?.string)
      }
      return .success(#"{"Attributes":\#(row(state.lease) ?? "{}")}"#)
    }

    private static func row(_ lease: (counter: String, owner: String?)?) -> String? {
      lease.map { lease in
        let owner = lease.owner.map { #","leaseOwner":{"S":"\#($0)"}"# } ?? ""
        return #"{"leaseKey":{"S":"s0"},"leaseCounter":{"N":"\#(lease.counter)"},"checkpoint":{"S":"TRIM_HORIZON"}\#(owner)}"#
      }
    }
  }

  @Test(.timeLimit(.minutes(2))) func `is created again, and the shard is taken again`() async {
    let (table, (events, said)) = (Table(), AsyncStream.makeStream(of: ShardGroupEvent.self))
    var settings = LeaseKeeper.Settings()
    settings.lease.worker = "me"
    let keeper = LeaseKeeper(
      LeaseTable(table, name: "app"), settings, stream: "s", clock: ManualClock(.moves), list: { [KinesisShard(id: "s0")] },
      emit: { said.yield($0) })
    async let loop: Void = keeper.run()
    var failures: [WeirError] = []
    for await event in events {
      switch event {
      case .failed(let error): failures.append(error)
      case .revoked(let shards, _): keeper.release(shards.map { String($0.dropFirst(2)) })
      case .assigned(let shards) where !failures.isEmpty && shards == ["s/s0"]: said.finish()
      default: break
      }
    }
    await keeper.close()
    await loop
    #expect(failures.map(\.code) == [.unavailable] && failures.first?.advice?.contains("creates it again") == true, "\(failures)")
    #expect(table.state.withLock { $0.creations } == 1)
  }
}
