import Dispatch
import Synchronization
import WeirCore

/// Waits for work of tasks on a thread that is none of the pool.
enum Waiting {
  private final class Answer<T: Sendable>: Sendable {
    let result = Mutex<Result<T, WeirError>?>(nil)
    let isThere = DispatchSemaphore(value: 0)
  }

  /// Blocks its thread until the work has ended, which its own limits of time bound.
  static func wait<T: Sendable>(_ work: @escaping @Sendable () async throws(WeirError) -> T) throws(WeirError) -> T {
    let answer = Answer<T>()
    Task {
      let result: Result<T, WeirError>
      do throws(WeirError) { result = .success(try await work()) } catch { result = .failure(error) }
      answer.result.withLock { $0 = result }
      answer.isThere.signal()
    }
    answer.isThere.wait()
    guard let result = answer.result.withLock({ $0 }) else { throw WeirError(.internal, "an answer was signalled and is not there") }
    return try result.get()
  }
}
