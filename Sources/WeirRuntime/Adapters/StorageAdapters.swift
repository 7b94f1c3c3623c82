import WeirConfiguration
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

/// A format of tables, as the runtime uses it.
protocol TableFormatAdapter: Sendable {
  /// The type of its settings.
  var settings: any TableFormatSettings.Type { get }
  /// Reads its part of a pipeline file.
  var section: any TableFormatSection { get }
  /// - Parameter settings: nil: the plan names no format.
  func format(_ settings: (any TableFormatSettings)?) -> any TableFormat
}

extension TableFormatAdapter {
  /// The word of `lake.format`.
  var name: String { settings.adapter }
}

/// `lake: {format: delta}`.
struct DeltaAdapter: TableFormatAdapter {
  var settings: any TableFormatSettings.Type { DeltaSettings.self }
  var section: any TableFormatSection { DeltaSection() }

  func format(_ settings: (any TableFormatSettings)?) -> any TableFormat { DeltaFormat() }
}
