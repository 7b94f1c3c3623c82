import WeirCore

/// What a block adds to its epoch.
struct BlockWeight: Sendable {
  var bytes: Int64
  /// Partitions of tables that have rows of it, each at least once.
  var partitions: [Hash128]
}
