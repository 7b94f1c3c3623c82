import Glibc
import Synchronization

/// Counts jobs that go to the global executor: in a simulation everything runs on its nodes, so each is work that escaped it.
///
/// A detector only, through a hook of the concurrency runtime, and only where nothing else uses the global executor.
package enum EscapeWatch {
  // The job as a bare pointer: the compiler (6.3) cannot analyse a hook that takes an `UnownedJob`.
  private typealias Original = @convention(thin) (OpaquePointer) -> Void
  private typealias Hook = @convention(thin) (OpaquePointer, Original) -> Void

  private static let jobs = Atomic(0)

  /// Jobs since the watch began.
  package static var count: Int { jobs.load(ordering: .relaxed) }

  /// - Returns: false where the runtime has no such hook.
  package static func begin() -> Bool {
    guard let symbol = dlsym(dlopen(nil, RTLD_LAZY), "swift_task_enqueueGlobal_hook") else { return false }
    symbol.assumingMemoryBound(to: Hook?.self).pointee = { job, original in
      EscapeWatch.jobs.add(1, ordering: .relaxed)
      original(job)
    }
    return true
  }
}
