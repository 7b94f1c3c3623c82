import CWeirSystem
import Dispatch
import Glibc
import Synchronization

/// A fixed number of own threads for calls that block or compute for long; none of them runs on the cooperative pool.
///
/// Jobs run in the order of their submission; with one thread, one after the other. The queue is bounded by what callers have under way.
public final class BlockingThreads: BlockingRunner, @unchecked Sendable {
  // Unchecked: `jobs`, `head` and `isStopped` are touched only while `mutex` is held.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// nil: taken. A job must not outlive its run here: it holds blocks.
  private var jobs: [(@Sendable () -> Void)?] = []
  private var head = 0
  private var isStopped = false
  private let count: Int
  private let stopped: @Sendable () -> any Error

  /// - Parameters:
  ///   - count: threads, at least 1.
  ///   - name: 15 bytes at most, for tools like `top -H`.
  ///   - niceness: above 0 for work that must not hold up the others: these threads get what they leave.
  ///   - stopped: what ``run(_:)`` throws after ``stop()``.
  public init(
    count: Int, name: String = "weir-blocking", niceness: Int32 = 0,
    stopped: @escaping @Sendable () -> any Error = { WeirError(.closed, "work for threads that have stopped") }
  ) {
    self.count = max(1, count)
    self.stopped = stopped
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
    for _ in 0..<self.count { BlockingThreads.spawn(name: name) { self.work(niceness) } }
  }

  deinit {
    // Threads hold this object while they run, so none is left.
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Starts a detached thread, whose name (15 bytes at most) tools like `top -H` show.
  public static func spawn(name: String, _ body: @escaping @Sendable () -> Void) {
    final class Start: Sendable {
      let body: @Sendable () -> Void
      let name: String
      init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
      }
    }
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, nil,
      { context in
        let start = Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
        weir_name_thread(start.name)
        start.body()
        return nil
      }, Unmanaged.passRetained(Start(name, body)).toOpaque())
    precondition(failed == 0, "cannot create a thread (error \(failed))")
    pthread_detach(thread)
  }

  // MARK: Jobs

  /// Queues a job that reports its end by other means; false if the threads were stopped, and it will never run.
  @discardableResult
  public func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if isStopped { return false }
    jobs.append(job)
    pthread_cond_signal(condition)
    return true
  }

  public func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isQueued = submit { continuation.resume(with: Result { try work() }) }
      if !isQueued { continuation.resume(throwing: stopped()) }
    }
  }

  /// Threads of the pool that are idle help; while all are busy the caller's does everything.
  public func forEach(_ n: Int, _ body: @escaping (Int) -> Void) {
    withUnsafePointer(to: body) { body in
      let share = SharedLoop(n, body)
      for _ in 1..<max(1, min(n, count)) { submit { share.help() } }
      share.help()
      share.wait()
    }
  }

  /// Waits, blocking the calling thread, until the jobs before have ended: for objects with one thread.
  public func drain() {
    let done = DispatchSemaphore(value: 0)
    if submit({ done.signal() }) { done.wait() }
  }

  /// Lets the threads end after the jobs that are queued; later ones are refused.
  public func stop() {
    pthread_mutex_lock(mutex)
    isStopped = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  // MARK: Threads

  private func work(_ niceness: Int32) {
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
