import WeirCore

/// The consumer under which an application's workers subscribe, registered where it is missing and found once for all shards.
///
/// It is never deregistered: other workers may use it.
actor FanOutConsumer {
  /// Questions until the consumer is active, one per second.
  private static let questionsMax = 60
  private static let pause: Int64 = 1_000_000_000

  private let requests: KinesisRequests
  private let name: String
  /// Of a consumer that was made by others, and is not registered here.
  private let given: String?
  private let clock: any Clock
  private var known: String?
  /// Asks once for all that wait.
  private var search: Task<Result<String, KinesisFailure>, Never>?

  /// - Parameters:
  ///   - name: that it is registered with.
  ///   - given: the ARN of one that exists.
  init(_ requests: KinesisRequests, name: String, given: String?, clock: any Clock) {
    (self.requests, self.name, self.given, self.clock) = (requests, name, given, clock)
  }

  /// - Throws: `unavailable`, `refused`, `topic_missing`.
  func arn() async throws(WeirError) -> String {
    if let known { return known }
    let search = search ?? Task { await found() }
    self.search = search
    do throws(KinesisFailure) { return try await search.value.get() } catch { throw error.error }
  }

  private func found() async -> Result<String, KinesisFailure> {
    defer { search = nil }
    do throws(KinesisFailure) {
      let arn = try await find()
      known = arn
      return .success(arn)
    } catch { return .failure(error) }
  }

  /// Looks for the consumer again, after it was not found. Whether there is one.
  func hasChanged() async -> Bool {
    known = nil
    return (try? await arn()) != nil
  }

  private func find() async throws(KinesisFailure) -> String {
    var stream: String?
    var last = "it is not active yet"
    for _ in 0..<FanOutConsumer.questionsMax {
      do throws(KinesisFailure) {
        if let given {
          let found = try await requests.consumer(arn: given)
          if found.status == "ACTIVE" { return found.arn }
        } else {
          let arn = if let stream { stream } else { try await streamARN() }
          stream = arn
          let found = try await requests.consumer(name, streamARN: arn)
          if found.status == "ACTIVE" { return found.arn }
        }
      } catch {
        switch (error.kind, stream) {
        case (.missing, let arn?): last = try await register(arn) ?? last
        case (.throttled, _), (.passing, _): last = error.message
        default: throw error
        }
      }
      if Task.isCancelled { break }
      await clock.sleep(nanoseconds: FanOutConsumer.pause)
    }
    throw KinesisFailure(.passing, "\(requests.place): the consumer \(given ?? name) cannot be used: \(last)")
  }

  /// - Returns: why it was not registered; nil: it was, perhaps by another worker.
  private func register(_ stream: String) async throws(KinesisFailure) -> String? {
    do throws(KinesisFailure) {
      try await requests.register(name, streamARN: stream)
    } catch {
      switch error.kind {
      case .inUse: return nil
      // Also where the stream has as many consumers as it may have.
      case .throttled, .passing: return error.message
      default: throw error
      }
    }
    return nil
  }

  private func streamARN() async throws(KinesisFailure) -> String {
    if let arn = requests.arn { return arn }
    guard let arn = try await requests.summary().arn else { throw requests.damaged("DescribeStreamSummary", "no ARN") }
    return arn
  }
}
