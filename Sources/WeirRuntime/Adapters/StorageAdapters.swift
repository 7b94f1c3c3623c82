import WeirCore
import WeirDelta
import WeirLocal
import WeirProtocol

/// A kind of place where lakes are.
protocol ObjectStoreAdapter: Sendable {
  var name: String { get }
  /// Whether a lake's path is of this kind.
  func accepts(_ path: String) -> Bool
  func open(_ path: String, threads: BlockingThreads, random: SystemRandom) -> any ObjectStore
}

/// Directories of this machine: what no other kind accepts.
struct DirectoryAdapter: ObjectStoreAdapter {
  let name = "directory"

  func accepts(_ path: String) -> Bool { true }

  func open(_ path: String, threads: BlockingThreads, random: SystemRandom) -> any ObjectStore {
    LocalObjectStore(root: path, threads: threads, random: random)
  }
}

/// A format of tables, by its name.
struct TableFormatAdapter: Sendable {
  var name: String
  var format: any TableFormat

  static let delta = TableFormatAdapter(name: "delta", format: DeltaFormat())
}
