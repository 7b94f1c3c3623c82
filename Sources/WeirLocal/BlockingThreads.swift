import Dispatch
import Glibc
import Synchronization
import WeirCore

/// A fixed number of own threads for blocking calls. Jobs wait in a queue that is bounded by what callers have under way.
public final class BlockingThreads: BlockingRunner, @unchecked Sendable {
  // Unchecked: `jobs` and `isStopped` are read and written only while `mutex` is held.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// nil: taken. A job must not outlive its run here: it holds blocks.
  private var jobs: [(@Sendable () -> Void)?] = []
  private var head = 0
  private var isStopped = false
  private var threads: [pthread_t] = []

  /// - Parameter count: threads, at least 1.
  public init(count: Int) {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
    for _ in 0..<max(1, count) { spawn() }
  }

  private func spawn() {
    let context = Unmanaged.passRetained(self).toOpaque()
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, nil,
      { context in
        Unmanaged<BlockingThreads>.fromOpaque(context!).takeRetainedValue().work()
        return nil
      }, context)
    precondition(failed == 0, "the system gives no more threads (error \(failed))")
    threads.append(thread)
  }

  private func work() {
    while let job = take() { job() }
  }

  private func take() -> (@Sendable () -> Void)? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while head == jobs.count {
      if isStopped { return nil }
      pthread_cond_wait(condition, mutex)
    }
    let job = jobs[head]
    jobs[head] = nil
    head += 1
    if head > 64, head * 2 > jobs.count {
      jobs.removeFirst(head)
      head = 0
    }
    return job
  }

  public func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      submit { continuation.resume(with: Result { try work() }) }
    }
  }

  /// Threads that are idle help; while all are busy the caller's does everything.
  public func forEach(_ n: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      // Dispatch calls it on several threads at once; the caller made it for that.
      nonisolated(unsafe) let body = body
      DispatchQueue.concurrentPerform(iterations: n) { body($0) }
    }
  }

  /// Queues a job that tells its end by other means.
  func submit(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Lets the threads end after the jobs that are queued.
  public func stop() {
    pthread_mutex_lock(mutex)
    isStopped = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}
