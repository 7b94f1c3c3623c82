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
  private let niceness: Int32

  /// - Parameters:
  ///   - count: threads, at least 1.
  ///   - niceness: above 0 for work that must not hold up the others: these threads get what they leave.
  public init(count: Int, niceness: Int32 = 0) {
    self.niceness = niceness
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
    // Linux takes the thread that calls, not the process. It fails only for a niceness below the present one.
    if niceness > 0 { setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, niceness) }
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

  /// Threads of the pool that are idle help; while all are busy the caller's does everything.
  public func forEach(_ n: Int, _ body: @escaping (Int) -> Void) {
    withUnsafePointer(to: body) { body in
      let share = SharedLoop(n, body)
      for _ in 1..<max(1, min(n, threads.count)) { submit { share.help() } }
      share.help()
      share.wait()
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

/// One loop whose rounds several threads take. A helper that comes when all rounds are taken touches nothing of the caller's.
private final class SharedLoop: @unchecked Sendable {
  // Unchecked: `body` is called only for rounds below `count`, and the caller waits for the last of them.
  private let count: Int
  /// The caller's, not held here: a helper may come long after, and what the loop works on is large.
  private let body: UnsafePointer<(Int) -> Void>
  private let next = Atomic(0)
  private let done = Atomic(0)
  private let isDone = DispatchSemaphore(value: 0)

  init(_ count: Int, _ body: UnsafePointer<(Int) -> Void>) {
    self.count = count
    self.body = body
  }

  func help() {
    while true {
      let round = next.add(1, ordering: .relaxed).oldValue
      guard round < count else { return }
      body.pointee(round)
      if done.add(1, ordering: .acquiringAndReleasing).newValue == count { isDone.signal() }
    }
  }

  func wait() { if count > 0 { isDone.wait() } }
}
