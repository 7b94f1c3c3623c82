import Synchronization

/// What the columns of files share while they are encoded: compressors, and how to do several columns at once.
///
/// The bytes of a file do not depend on it. One workbench may serve many writers, so that a table of many partitions needs no
/// more compressors than columns are encoded at the same time.
package final class ParquetWorkbench: Sendable {
  /// Calls `body` for 0 ..< n, in any order, on any threads, and returns when all have returned.
  package typealias Perform = @Sendable (_ n: Int, _ body: @escaping (Int) -> Void) -> Void

  let options: ParquetOptions
  private let perform: Perform?
  private let idle = Mutex<[Compressor]>([])

  /// - Parameter perform: nil: one column after the other on the caller's thread.
  package init(options: ParquetOptions = ParquetOptions(), perform: Perform? = nil) {
    self.options = options
    self.perform = perform
  }

  func forEach(_ n: Int, isWorthIt: Bool, _ body: @escaping (Int) -> Void) {
    if isWorthIt, n > 1, let perform { return perform(n, body) }
    for i in 0..<n { body(i) }
  }

  /// Lends a compressor; its buffers are empty.
  func withCompressor(_ body: (Compressor) -> Void) {
    let compressor = idle.withLock { $0.popLast() } ?? Compressor(codec: options.codec, level: options.zstdLevel)
    compressor.raw.removeAll()
    body(compressor)
    idle.withLock { $0.append(compressor) }
  }
}
