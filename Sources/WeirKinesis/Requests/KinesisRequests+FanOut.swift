import WeirAWS
import WeirCore

/// A consumer as DescribeStreamConsumer describes it.
struct StreamConsumer: Sendable, Equatable {
  var arn: String
  /// `CREATING`, `ACTIVE`, `DELETING`.
  var status: String

  init?(_ json: JSONValue?) {
    guard let arn = json?["ConsumerARN"]?.string, let status = json?["ConsumerStatus"]?.string else { return nil }
    (self.arn, self.status) = (arn, status)
  }
}

/// The requests of enhanced fan-out.
extension KinesisRequests {
  /// The service ends a subscription after five minutes.
  private static let subscriptionMilliseconds = 330_000
  /// Beyond the reader's own watch, which ends a silent subscription earlier.
  private static let idleSeconds = 120
  private static let heldBytesMax = 1 << 20

  func consumer(_ name: String, streamARN: String) async throws(KinesisFailure) -> StreamConsumer {
    try await describe([.init("StreamARN", .string(streamARN)), .init("ConsumerName", .string(name))])
  }

  func consumer(arn: String) async throws(KinesisFailure) -> StreamConsumer { try await describe([.init("ConsumerARN", .string(arn))]) }

  private func describe(_ members: [JSONValue.Member]) async throws(KinesisFailure) -> StreamConsumer {
    guard let found = StreamConsumer(try await send("DescribeStreamConsumer", members)["ConsumerDescription"]) else {
      throw damaged("DescribeStreamConsumer", "no consumer")
    }
    return found
  }

  func register(_ name: String, streamARN: String) async throws(KinesisFailure) {
    _ = try await send("RegisterStreamConsumer", [.init("StreamARN", .string(streamARN)), .init("ConsumerName", .string(name))])
  }

  /// - Parameter news: called, on any thread, when the subscription has something to take.
  func subscribe(
    _ consumer: String, _ shard: String, _ start: IteratorStart, news: @escaping @Sendable () -> Void
  ) async throws(KinesisFailure) -> KinesisSubscription {
    var members = [JSONValue.Member("Type", .string(start.type))]
    switch start {
    case .trimHorizon: break
    case .time: members.append(.init("Timestamp", start.timestamp))
    case .at(let number), .after(let number): members.append(.init("SequenceNumber", .string(number)))
    }
    let request = request(
      "SubscribeToShard",
      [.init("ConsumerARN", .string(consumer)), .init("ShardId", .string(shard)), .init("StartingPosition", .object(members))])
    let limits = AWSStreamLimits(
      milliseconds: KinesisRequests.subscriptionMilliseconds, idleSeconds: KinesisRequests.idleSeconds,
      bytesMax: KinesisRequests.heldBytesMax, news: news)
    do throws(AWSFailure) {
      return KinesisSubscription(try await sender.open(request, limits), place)
    } catch { throw KinesisFailure(error, place) }
  }
}

/// The answer to SubscribeToShard. One task takes from it.
final class KinesisSubscription: @unchecked Sendable {
  // Unchecked: `reader` is touched only by the task that takes.
  enum Event: Sendable, Equatable {
    case answer(RecordsAnswer)
    case nothing
    /// The service has ended it, or the connection broke.
    case end(String)
    case failed(KinesisFailure)
  }

  private let stream: AWSStream
  private let place: String
  private var reader = EventStreamReader()

  init(_ stream: AWSStream, _ place: String) { (self.stream, self.place) = (stream, place) }

  deinit { stream.close() }

  func close() { stream.close() }

  /// What has come. Does not wait.
  func take() -> Event {
    do throws(EventStreamReader.Damaged) {
      while true {
        while let message = try reader.next() { if let event = event(message) { return event } }
        switch stream.take() {
        case .bytes(let bytes): reader.append(bytes)
        case .nothing: return .nothing
        case .end: return .end("the service ended it")
        case .broken(let reason): return .end(reason)
        }
      }
    } catch { return .end(error.reason) }
  }

  /// nil: it says nothing about the shard.
  private func event(_ message: EventMessage) -> Event? {
    guard message.headers[":message-type"] == "event" else {
      let code = message.headers[":exception-type"] ?? message.headers[":error-code"] ?? "InternalFailureException"
      let json = try? JSONValue(parsing: message.payload)
      let text = json?["message"]?.string ?? json?["Message"]?.string ?? message.headers[":error-message"] ?? ""
      let words = "SubscribeToShard: \(Printable.text(code, bytesMax: 100)): \(Printable.text(text, bytesMax: 500))"
      let kind: AWSFailure.Kind = code.hasPrefix("Internal") ? .retriable : .fatal
      return .failed(KinesisFailure(AWSFailure(kind, code: code, message: words, status: 400), place))
    }
    guard message.headers[":event-type"] == "SubscribeToShardEvent" else { return nil }
    guard let json = try? JSONValue(parsing: message.payload), let answer = RecordsAnswer(json, next: "ContinuationSequenceNumber") else {
      return .end("it sent a record without its parts")
    }
    return .answer(answer)
  }
}
