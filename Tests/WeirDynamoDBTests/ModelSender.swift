import Synchronization
import WeirAWS
import WeirCore

/// One client of the model, with faults on its requests.
final class ModelSender: AWSSender {
  enum Fault: Sendable, CaseIterable {
    /// It never arrives.
    case lostRequest
    /// It has its effect.
    case lostReply
    /// It arrives, and arrives once more when ``deliverLate()`` is called.
    case twice
    /// It does not arrive before ``deliverLate()`` is called.
    case late
    case throttled
    case conflict
    /// Without an effect.
    case failed
  }

  let endpoint = "https://dynamodb.model"
  private let model: DynamoDBModel
  private let count = Atomic<Int>(0)
  private let held = Mutex<[AWSRequest]>([])
  private let plan: @Sendable (Int, AWSRequest) async throws -> Fault?

  /// - Parameter plan: of each request by its number, from 0; what it throws is what the request ends with, before it arrives.
  init(_ model: DynamoDBModel, plan: @escaping @Sendable (Int, AWSRequest) async throws -> Fault? = { _, _ in nil }) {
    (self.model, self.plan) = (model, plan)
  }

  var requests: Int { count.load(ordering: .relaxed) }

  func send(_ request: AWSRequest) async throws(AWSFailure) -> AWSResponse {
    let number = count.wrappingAdd(1, ordering: .relaxed).oldValue
    let fault: Fault?
    do { fault = try await plan(number, request) } catch {
      throw error as? AWSFailure ?? AWSFailure(.fatal, code: "Stopped", message: "the test stopped this client")
    }
    switch fault {
    case .lostRequest: throw AWSFailure(.unknown, code: "Timeout", message: "\(request.operation) timed out")
    case .lostReply:
      _ = try? model.answer(request)
      throw AWSFailure(.unknown, code: "Timeout", message: "\(request.operation) timed out")
    case .late:
      held.withLock { $0.append(request) }
      throw AWSFailure(.unknown, code: "Timeout", message: "\(request.operation) timed out")
    case .twice: held.withLock { $0.append(request) }
    case .throttled: throw AWSFailure(.retriable, code: "ProvisionedThroughputExceededException", message: "slow down", status: 400)
    case .conflict:
      guard request.operation == "TransactWriteItems" else {
        throw AWSFailure(.retriable, code: "TransactionConflictException", message: "conflict", status: 400)
      }
      throw ModelSender.failure(ModelRefusal("TransactionCanceledException", "conflict", reasons: ["TransactionConflict"]))
    case .failed: throw AWSFailure(.unknown, code: "InternalServerError", message: "failed", status: 500)
    case nil: break
    }
    do { return AWSResponse(status: 200, body: try model.answer(request).bytes) } catch { throw ModelSender.failure(error) }
  }

  /// Requests that were on their way arrive.
  func deliverLate() {
    let late = held.withLock { held in
      defer { held = [] }
      return held
    }
    for request in late { _ = try? model.answer(request) }
  }

  private static func failure(_ refusal: ModelRefusal) -> AWSFailure {
    let fenced = refusal.code == "ConditionalCheckFailedException" || refusal.reasons?.contains("ConditionalCheckFailed") == true
    let passes = refusal.reasons?.contains("TransactionConflict") == true
    let body = JSONValue.members([
      "__type": .string("com.amazonaws.dynamodb.v20120810#\(refusal.code)"), "message": .string(refusal.message),
      "CancellationReasons": .array((refusal.reasons ?? []).map { .members(["Code": .string($0)]) }),
    ])
    return AWSFailure(
      fenced ? .fenced : passes ? .retriable : .fatal, code: refusal.code, message: refusal.message, status: 400, body: body.bytes)
  }
}
