import CKafka
import Dispatch
import Glibc

/// Own threads for the calls into librdkafka that block or copy for long; none of them runs on the cooperative pool.
///
/// Jobs run in the order of their submission; with one thread, one after the other.
final class KafkaThreads: @unchecked Sendable {
  // Unchecked: `jobs`, `head` and `isStopped` are touched only while `mutex` is held.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// nil: taken. A job must not outlive its run here: it holds blocks.
  private var jobs: [(@Sendable () -> Void)?] = []
  private var head = 0
  private var isStopped = false

  init(count: Int, name: String) {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
    for _ in 0..<max(1, count) { KafkaThreads.spawn(name: name) { self.work() } }
  }

  deinit {
    // Threads hold this object while they run, so none is left.
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Starts a detached thread, whose name (15 bytes at most) tools like `top -H` show.
  static func spawn(name: String, _ body: @escaping @Sendable () -> Void) {
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
        weir_kafka_name_thread(start.name)
        start.body()
        return nil
      }, Unmanaged.passRetained(Start(name, body)).toOpaque())
    precondition(failed == 0, "the system gives no more threads (error \(failed))")
    pthread_detach(thread)
  }

  /// Queues a job; false if the threads were stopped, and it will never run.
  @discardableResult
  func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if isStopped { return false }
    jobs.append(job)
    pthread_cond_signal(condition)
    return true
  }

  /// Runs the work and returns what it returned.
  /// - Throws: also when the threads were stopped.
  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isQueued = submit { continuation.resume(with: Result { try work() }) }
      if !isQueued { continuation.resume(throwing: KafkaError.misuse("the Kafka client is closed")) }
    }
  }

  /// Waits, blocking the calling thread, until the jobs before have ended: for objects with one thread.
  func drain() {
    let done = DispatchSemaphore(value: 0)
    if submit({ done.signal() }) { done.wait() }
  }

  /// Lets the threads end after the jobs that are queued; later ones are refused.
  func stop() {
    pthread_mutex_lock(mutex)
    isStopped = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
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
}
