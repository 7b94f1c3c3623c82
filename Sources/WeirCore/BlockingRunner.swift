/// Runs work that blocks or computes for long on threads of its own, never on the cooperative pool.
public protocol BlockingRunner: Sendable {
  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T

  /// Calls `body` for 0 ..< n, in any order and on any threads, and returns when all have returned. Called by a job.
  func forEach(_ n: Int, _ body: (Int) -> Void)
}

extension BlockingRunner {
  /// One after the other.
  public func forEach(_ n: Int, _ body: (Int) -> Void) { for i in 0..<n { body(i) } }
}
