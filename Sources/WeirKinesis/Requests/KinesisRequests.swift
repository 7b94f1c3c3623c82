import WeirAWS
import WeirCore
import WeirKinesisSettings

/// Where a shard is read from (API reference, "GetShardIterator").
enum IteratorStart: Sendable, Equatable {
  case trimHorizon
  /// UTC milliseconds since 1970.
  case time(Int64)
  case at(String)
  case after(String)

  /// As requests name it.
  var type: String {
    switch self {
    case .trimHorizon: "TRIM_HORIZON"
    case .time: "AT_TIMESTAMP"
    case .at: "AT_SEQUENCE_NUMBER"
    case .after: "AFTER_SEQUENCE_NUMBER"
    }
  }

  /// Seconds, with a fraction.
  var timestamp: JSONValue {
    guard case .time(let milliseconds) = self else { return .null }
    let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
    return .number("\(seconds).\(String(1000 + rest).dropFirst())")
  }
}

/// The requests to Kinesis that a reader makes (API version 2013-12-02, JSON 1.1).
package struct KinesisRequests: Sendable {
  /// Pages of a list of shards; a stream with more shards than 1,000 times this is refused.
  private static let pagesMax = 100
  /// An answer of GetRecords has 10 MB of data at most, or one record of 10 MiB; in base64, with its keys, less than this.
  private static let recordsBytesMax = 64 << 20

  let sender: any AWSSender
  let stream: String
  let arn: String?

  /// - Parameter arn: names the stream in requests, where it is given.
  package init(_ sender: any AWSSender, stream: String, arn: String? = nil) { (self.sender, self.stream, self.arn) = (sender, stream, arn) }

  /// For messages.
  var place: String { "the Kinesis stream \(stream) at \(sender.endpoint)" }

  var name: JSONValue.Member { arn.map { .init("StreamARN", .string($0)) } ?? .init("StreamName", .string(stream)) }

  // MARK: Requests

  /// All shards, page by page.
  func shards() async throws(KinesisFailure) -> [KinesisShard] {
    var shards: [KinesisShard] = []
    var token: String?
    for _ in 0..<KinesisRequests.pagesMax {
      let members: [JSONValue.Member] = [token.map { .init("NextToken", .string($0)) } ?? name, .init("MaxResults", .int(1000))]
      let answer = try await send("ListShards", members)
      guard let list = answer["Shards"]?.array else { throw damaged("ListShards", "no list of shards") }
      for item in list {
        guard let shard = KinesisShard(item) else { throw damaged("ListShards", "a shard without id or hashes") }
        shards.append(shard)
      }
      guard let next = answer["NextToken"]?.string, !next.isEmpty else { return shards }
      token = next
    }
    throw KinesisFailure(.final, "\(place) has more than \(KinesisRequests.pagesMax) pages of shards")
  }

  func summary() async throws(KinesisFailure) -> StreamSummary {
    guard let summary = StreamSummary(try await send("DescribeStreamSummary", [name])) else {
      throw damaged("DescribeStreamSummary", "no creation time")
    }
    return summary
  }

  func iterator(_ shard: String, _ start: IteratorStart) async throws(KinesisFailure) -> String {
    var members = [name, .init("ShardId", .string(shard)), .init("ShardIteratorType", .string(start.type))]
    switch start {
    case .trimHorizon: break
    case .time: members.append(.init("Timestamp", start.timestamp))
    case .at(let number), .after(let number): members.append(.init("StartingSequenceNumber", .string(number)))
    }
    guard let iterator = try await send("GetShardIterator", members)["ShardIterator"]?.string else {
      throw damaged("GetShardIterator", "no iterator")
    }
    return iterator
  }

  /// - Parameter limit: records, 1 to 10,000.
  func records(_ iterator: String, limit: Int) async throws(KinesisFailure) -> RecordsAnswer {
    var members: [JSONValue.Member] = [.init("ShardIterator", .string(iterator)), .init("Limit", .int(Int64(limit)))]
    if arn != nil { members.append(name) }
    guard let answer = RecordsAnswer(try await send("GetRecords", members)) else {
      throw damaged("GetRecords", "a record without its parts")
    }
    return answer
  }

  // MARK: Sending

  func request(_ operation: String, _ members: [JSONValue.Member]) -> AWSRequest {
    var request = AWSRequest(
      operation, method: "POST",
      headers: [.init("Content-Type", "application/x-amz-json-1.1"), .init("X-Amz-Target", "Kinesis_20131202.\(operation)")],
      body: JSONValue.object(members).bytes)
    request.answerBytesMax = KinesisRequests.recordsBytesMax
    return request
  }

  func send(_ operation: String, _ members: [JSONValue.Member]) async throws(KinesisFailure) -> JSONValue {
    let response: AWSResponse
    do throws(AWSFailure) { response = try await sender.send(request(operation, members)) } catch { throw KinesisFailure(error, place) }
    guard response.status == 200, let json = try? JSONValue(parsing: response.body), json.members != nil else {
      throw damaged(operation, "status \(response.status) and no JSON object")
    }
    return json
  }

  func damaged(_ operation: String, _ what: String) -> KinesisFailure {
    KinesisFailure(.passing, "\(place) answered \(operation) with \(what)")
  }
}

/// Why a request to Kinesis, or to the table of leases, has no answer.
struct KinesisFailure: Error, Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    /// The limits of the shard, or of the account, were reached.
    case throttled
    case passing
    /// The iterator is older than five minutes.
    case expired
    /// No such stream or shard.
    case missing
    /// No such table of leases.
    case tableMissing
    /// A table that is not one of leases.
    case foreignTable
    /// The service refused what was asked for: a position of another stream, a time to come.
    case argument
    /// A condition on a lease does not hold.
    case condition
    /// A table of the name is there, or is being made; another subscription of the consumer reads the shard.
    case inUse
    /// No permission.
    case refused
    /// The client's own settings: no region, no keys, an address at which no AWS service is.
    case configuration
    case final
  }

  var kind: Kind
  var message: String

  init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }

  private static let throttles: Set<String> = [
    "ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException", "KMSThrottlingException", "Throttling",
    "RequestLimitExceeded",
  ]

  init(_ failure: AWSFailure, _ place: String) {
    switch failure.code {
    case let code where KinesisFailure.throttles.contains(code): kind = .throttled
    case "ExpiredIteratorException": kind = .expired
    case "ResourceNotFoundException": kind = .missing
    case "InvalidArgumentException": kind = .argument
    case "ConditionalCheckFailedException": kind = .condition
    case "ResourceInUseException": kind = .inUse
    case "AccessDeniedException", "KMSAccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException": kind = .refused
    case _ where failure.kind == .retriable || failure.kind == .unknown: kind = .passing
    // The client itself: no region, no credentials, an address that is not one.
    case _ where failure.status == 0: kind = .configuration
    default: kind = .final
    }
    message = "\(place): \(failure.message)"
  }

  /// As the engine has it.
  var error: WeirError {
    switch kind {
    case .configuration: WeirError(.refused, message, advice: "Check region, endpoint and credentials of AWS.")
    case .throttled, .passing, .expired, .condition, .inUse:
      WeirError(
        .unavailable, message,
        advice: "Nothing is lost: a worker repeats it. If this ended the command, check the network and the endpoint, then run again.")
    case .missing:
      WeirError(
        .topicMissing, message, advice: "Check the stream's name, the account and the region: a stream of another region is not found.")
    case .tableMissing:
      WeirError(
        .refused, message,
        advice:
          "The table of leases is missing, and create: false forbids to make it: create it with the partition key leaseKey (S). It has the name of the application (\(.setting(.sourceGroup)))."
      )
    case .foreignTable:
      WeirError(
        .refused, message,
        advice:
          "Another program uses the table. Give the pipeline an application of its own (\(.setting(.sourceGroup))), whose name no other table has."
      )
    case .argument: WeirError(.unavailable, message, advice: "If it stays so, compare the stream with the one that was read before.")
    case .refused:
      WeirError(.refused, message, advice: "Allow these requests to the worker's role, and check region and keys of AWS.")
    case .final: WeirError(.refused, message, advice: "Repeating it does not help.")
    }
  }
}
