import WeirCore

/// Where the files of plain captures are: which there are, in which order and of which size, and their bytes.
///
/// Everything else of a capture (compression, formats that are refused, where records end, hashes, cuts) is the same for all stores.
/// All calls block, so they run on threads of their own.
package protocol CaptureStore: Sendable {
  /// The files that one argument of `--capture` names, in the order in which they are read; at least one.
  /// - Throws: `config` where there is none; `capture_format` for a place that holds something else.
  func files(of name: String) throws(WeirError) -> [CaptureItem]
  /// - Parameters:
  ///   - files: all files of the capture.
  ///   - isPeek: it is a look at the first bytes; what can be read only once is there again for the next reading.
  func reading(_ files: [CaptureItem], isPeek: Bool) -> any CaptureReading
}

/// A file of a capture, as its store listed it when the run began.
package struct CaptureItem: Sendable, Hashable {
  /// A path or an address, for the store and for errors.
  package var name: String
  /// nil: it can be read once and has no size (a pipe).
  package var bytes: Int64?
  /// The store's own name of this content; nil: it has none.
  package var version: String?

  package init(name: String, bytes: Int64?, version: String? = nil) { (self.name, self.bytes, self.version) = (name, bytes, version) }
}

/// Reads the files of a capture one after another. Used by one thread.
package protocol CaptureReading: AnyObject {
  /// Opens a file: each at most once, in their order.
  /// - Parameter number: of the file, from 0.
  /// - Throws: `capture_changed` if it is not what was listed; `config` if it cannot be read.
  func open(_ number: Int) throws(WeirError) -> any CaptureFileBytes
  /// The file that was opened last was read to its end.
  func endFile()
  /// Looks at all files again, when the whole capture was read.
  /// - Returns: what a user must know. A text that ends with `read` says that there is more by now.
  /// - Throws: `capture_changed`.
  func recheck() throws(WeirError) -> [String]
}

/// The bytes of one file as they are stored.
package protocol CaptureFileBytes: AnyObject {
  var name: String { get }
  var bytesRead: Int64 { get }
  /// Up to `count` bytes; 0 at the file's end.
  /// - Throws: `capture_changed` if the file is no longer what it was when it was opened.
  func read(into target: UnsafeMutablePointer<UInt8>, count: Int) throws(WeirError) -> Int
}

/// Files of this machine, and standard input.
package struct LocalCaptureStore: CaptureStore {
  package init() {}

  package func files(of name: String) throws(WeirError) -> [CaptureItem] {
    [CaptureItem(name: name, bytes: name == "-" ? nil : try CaptureFile.bytes(of: name))]
  }

  package func reading(_ files: [CaptureItem], isPeek: Bool) -> any CaptureReading { LocalCaptureReading(files, isPeek: isPeek) }
}

private final class LocalCaptureReading: CaptureReading {
  private let files: [CaptureItem]
  private let isPeek: Bool
  private var file: CaptureFile?
  private var finished: [CaptureFile.Finished] = []

  init(_ files: [CaptureItem], isPeek: Bool) { (self.files, self.isPeek) = (files, isPeek) }

  func open(_ number: Int) throws(WeirError) -> any CaptureFileBytes {
    let opened = try CaptureFile(files[number].name, isPeek: isPeek, bytesAtLeast: isPeek ? 0 : files[number].bytes ?? 0)
    file = opened
    return opened
  }

  func endFile() {
    if let ended = file?.finished { finished.append(ended) }
    file = nil
  }

  func recheck() throws(WeirError) -> [String] {
    var words: [String] = []
    for (number, file) in finished.enumerated() {
      if let word = try file.recheck(isLast: number == finished.count - 1) { words.append(word) }
    }
    return words
  }
}
