import WeirCore
import WeirLocal
import WeirS3Settings

/// The files of a plain capture, wherever they are.
package struct CapturedFiles: Sendable {
  package let store: any CaptureStore
  package let items: [CaptureItem]
  /// What they hold.
  package let content: CaptureContent

  /// Finds the files and looks at the first bytes of the first of each argument.
  /// - Parameters:
  ///   - names: arguments of `--capture`.
  ///   - content: what they must hold.
  ///   - settings: of the lake's store, for captures in such a store.
  /// - Throws: `config`, `capture_format`, `capture_changed`; what the store throws.
  package static func find(
    _ names: [String], content: CaptureContent, settings: [String: String], _ effects: LakeEffects
  ) async throws -> CapturedFiles {
    let remote = names.filter(S3Location.accepts)
    guard remote.isEmpty || remote.count == names.count else {
      throw WeirError(
        .config, "one capture is in S3, and another one on this machine",
        advice: "Copy the files to one of them: the files of a capture are read in order, as one.")
    }
    let store: any CaptureStore =
      remote.isEmpty ? LocalCaptureStore() : try await S3CaptureStore.open(names, settings: settings, effects)
    // Not one of the shared ones: a pipe, or a service, may let it wait.
    let threads = BlockingThreads(count: 1)
    defer { threads.stop() }
    let items = try await threads.run { try CaptureSource.check(names, in: store, content: content) }
    guard Set(items.map(\.name)).count == items.count || remote.isEmpty else {
      throw WeirError(.config, "two captures have the same objects", advice: "Name prefixes of which none contains another.")
    }
    return CapturedFiles(store: store, items: items, content: content)
  }

  /// See ``CaptureSource/firstBytes(of:in:count:)``. Blocks.
  package func firstBytes(count: Int) throws(WeirError) -> [UInt8] {
    try CaptureSource.firstBytes(of: items, in: store, content: content, count: count)
  }

  /// A text of `--capture` names something in a store that is not this machine.
  package static func isRemote(_ name: String) -> Bool { S3Location.accepts(name) }
}
