import Foundation
import WeirCore
import WeirLocal
import WeirS3Settings

/// The file of a lookup, to be read.
package struct LookupFile: Sendable {
  /// Of the lookup.
  package var name: String
  /// A path, or an address of an object store.
  package var place: String
  package var bytesMax: Int
}

/// Reads the file of a lookup. Blocks.
package typealias LookupFiles = @Sendable (LookupFile) throws(InputFile.Refusal) -> [UInt8]

/// Files that a pipeline names: regular files only.
///
/// A pipeline may come from someone else. A device or a FIFO can block for ever or never end, and the kernel's own file systems show
/// secrets of processes (`/proc/self/environ`).
package enum InputFile {
  package enum Refusal: Error {
    /// In words that follow the file's path.
    case unreadable(String)
    case tooLarge
    /// A service does not answer now.
    case unavailable(String)
    /// The file's rows are not needed.
    case notAsked

    /// Of the diagnostic.
    package static let notAskedCode = "lookup_not_asked"
  }

  /// A lookup's file, where there is no client of an object store.
  package static func lookup(_ file: LookupFile) throws(Refusal) -> [UInt8] {
    guard !S3Location.accepts(file.place) else { throw .unreadable("there is no client of S3 here") }
    return try bytes(of: file.place, bytesMax: file.bytesMax)
  }

  package static func bytes(of path: String, bytesMax: Int) throws(Refusal) -> [UInt8] {
    let descriptor: Int32
    do throws(LocalFile.Refusal) { descriptor = try LocalFile.open(path) } catch { throw Refusal.unreadable(error.text) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Refusal.unreadable(String(cString: strerror(errno))) }
    guard !FileSystemKind.isKernels(descriptor) else { throw Refusal.unreadable("it is a file of the kernel, not of a disk") }
    guard status.st_size <= bytesMax else { throw .tooLarge }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size) + 1)
    var count = 0
    while true {
      let n = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + count, $0.count - count) }
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw Refusal.unreadable(String(cString: strerror(errno))) }
      if n == 0 { break }
      count += n
      guard count <= bytesMax else { throw .tooLarge }
      // It grew.
      if count == bytes.count { bytes += [UInt8](repeating: 0, count: count) }
    }
    return Array(bytes.prefix(count))
  }
}
