import WeirRuntime

/// Commands that change nothing: `infer`, `check`, `explain`, `schema`, `doctor`, `state get`, `state scan`, `ledger show`, `ledger verify`.
package enum Looking {
  /// A person waits for such a command: services that do not answer are not waited for as a worker does.
  package static func run(_ body: () async throws -> Int32) async rethrows -> Int32 { try await ServicePatience.looking(body) }
}
