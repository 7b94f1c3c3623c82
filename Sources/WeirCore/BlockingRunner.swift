/// Runs work that blocks or computes for long on threads of its own, never on the cooperative pool.
public protocol BlockingRunner: Sendable {
  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T
}
