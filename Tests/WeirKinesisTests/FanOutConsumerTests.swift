import Synchronization
import Testing
import WeirAWS
import WeirCore
import WeirTesting

@testable import WeirKinesis

/// Answers about consumers, in the order of a script.
private final class Consumers: AWSSender {
  struct State {
    var answers: [Result<String, AWSFailure>]
    var asked: [String] = []
    /// Questions for the stream's ARN that are refused, with a code.
    var refusals: [String] = []
  }

  let endpoint = "https://kinesis.test"
  let state: Mutex<State>

  /// - Parameter answers: the status of the consumer, "registered", or the code of an error.
  init(_ answers: [String]) {
    state = Mutex(
      State(
        answers: answers.map { text in
          text.hasSuffix("Exception") ? .failure(AWSFailure(.fatal, code: text, message: text, status: 400)) : .success(text)
        }))
  }

  var asked: [String] { state.withLock { $0.asked } }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    if request.operation == "DescribeStreamSummary" {
      let refusal = state.withLock { state in state.refusals.isEmpty ? nil : state.refusals.removeFirst() }
      if let refusal { throw AWSFailure(.fatal, code: refusal, message: refusal, status: 400) }
      let text = #"{"StreamDescriptionSummary":{"StreamCreationTimestamp":1,"RetentionPeriodHours":24,"StreamARN":"arn:s"}}"#
      return AWSResponse(status: 200, body: Array(text.utf8))
    }
    let answer = state.withLock { state in
      state.asked.append(request.operation.hasPrefix("Register") ? "register" : "describe")
      return state.answers.isEmpty ? .success("CREATING") : state.answers.removeFirst()
    }
    let status = try answer.get()
    return AWSResponse(
      status: 200, body: Array(#"{"ConsumerDescription":{"ConsumerARN":"arn:c","ConsumerStatus":"\#(status)"}}"#.utf8))
  }
}

struct FanOutConsumerTests {
  private func consumer(_ answers: [String], given: String? = nil) -> (Consumers, FanOutConsumer) {
    let sender = Consumers(answers)
    let requests = KinesisRequests(sender, stream: "s")
    return (sender, FanOutConsumer(requests, name: "app", given: given, clock: ManualClock(.moves)))
  }

  @Test func `a consumer that is missing is registered, and used when it is active`() async throws {
    let (sender, consumer) = consumer(["ResourceNotFoundException", "registered", "CREATING", "ACTIVE"])
    #expect(try await consumer.arn() == "arn:c")
    #expect(try await consumer.arn() == "arn:c")
    #expect(sender.asked == ["describe", "register", "describe", "describe"])
  }

  @Test func `many shards that begin at once ask once`() async throws {
    let (sender, consumer) = consumer(["CREATING", "ACTIVE"])
    await withTaskGroup(of: String?.self) { group in
      for _ in 0..<20 { group.addTask { try? await consumer.arn() } }
      for await arn in group { #expect(arn == "arn:c") }
    }
    #expect(sender.asked == ["describe", "describe"])
  }

  @Test func `a consumer that another worker registers meanwhile is shared`() async throws {
    let (sender, consumer) = consumer(["ResourceNotFoundException", "ResourceInUseException", "ACTIVE"])
    #expect(try await consumer.arn() == "arn:c")
    #expect(sender.asked == ["describe", "register", "describe"])
  }

  @Test func `a consumer that was named is not registered`() async throws {
    let (sender, consumer) = consumer(["ResourceNotFoundException"], given: "arn:x")
    let error = await #expect(throws: WeirError.self) { try await consumer.arn() }
    #expect(error?.code == .topicMissing && sender.asked == ["describe"])
  }

  @Test func `a stream with as many consumers as it may have is reported, after a bounded number of questions`() async throws {
    let (sender, consumer) = consumer(Array(repeating: ["ResourceNotFoundException", "LimitExceededException"], count: 60).flatMap(\.self))
    let error = await #expect(throws: WeirError.self) { try await consumer.arn() }
    #expect(error?.code == .unavailable && error?.message.contains("LimitExceededException") == true)
    #expect(sender.asked.count == 120)
  }

  @Test func `a throttled question for the stream is asked again, and a missing stream is reported`() async throws {
    let (sender, consumer) = consumer(["ACTIVE"])
    sender.state.withLock { $0.refusals = ["LimitExceededException", "LimitExceededException"] }
    #expect(try await consumer.arn() == "arn:c")
    let (other, missing) = self.consumer(["ACTIVE"])
    other.state.withLock { $0.refusals = ["ResourceNotFoundException"] }
    let error = await #expect(throws: WeirError.self) { try await missing.arn() }
    #expect(error?.code == .topicMissing && other.asked == [])
  }

  @Test func `a consumer that was deleted is registered again`() async throws {
    let (sender, consumer) = consumer(["ACTIVE", "ResourceNotFoundException", "registered", "ACTIVE"])
    _ = try await consumer.arn()
    #expect(await consumer.hasChanged())
    #expect(sender.asked == ["describe", "describe", "register", "describe"])
  }
}
