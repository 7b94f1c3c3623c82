import Foundation
import WeirCore
import WeirS3Settings

/// Paths in a pipeline file are relative to it.
package enum Paths {
  package static func resolve(_ path: String, in directory: String) -> String {
    normal(path.hasPrefix("/") ? path : directory + "/" + path)
  }

  /// A lake's place: a path in its normal form, or an address.
  /// - Parameter directory: what a path is relative to; nil: the current directory.
  package static func lake(_ place: String, in directory: String? = nil) -> String {
    if S3Location.accepts(place) { return place }
    return directory.map { resolve(place, in: $0) } ?? normal(place)
  }

  /// Of a file: what paths in it are relative to.
  package static func directory(of file: String) -> String {
    let parent = (file as NSString).deletingLastPathComponent
    return parent.isEmpty ? "." : parent
  }

  /// Without `.` steps and repeated slashes. `..` stays: the step before it may be a symbolic link.
  package static func normal(_ path: String) -> String {
    let steps = path.split(separator: "/").filter { $0 != "." }
    // `~` and `a:b` mean themselves here, and get no other form: a message can be copied back into a command.
    let isBare = steps.first.map { PathText.problem(String($0)) == nil } ?? false
    if path.hasPrefix("/") { return "/" + steps.joined(separator: "/") }
    return steps.isEmpty ? "." : (isBare ? "" : "./") + steps.joined(separator: "/")
  }

  package static func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

  package enum Contents {
    case bytes(Data)
    /// It has more bytes than the bound: at least this many.
    case tooLarge(Int)
    case unreadable
  }

  /// A file of at most `bytesMax` bytes, or a pipe of the shell. A file that says that it is larger is not read.
  package static func contents(of path: String, bytesMax: Int) -> Contents {
    guard let descriptor = reading(path) else { return .unreadable }
    defer { close(descriptor) }
    var info = stat()
    if fstat(descriptor, &info) == 0, info.st_size > bytesMax { return .tooLarge(Int(info.st_size)) }
    var data = Data()
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    // A pipe gives its bytes piece by piece.
    while data.count <= bytesMax {
      let count = read(descriptor, &chunk, min(chunk.count, bytesMax + 1 - data.count))
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .unreadable }
      if count == 0 { break }
      data += chunk[..<count]
    }
    return data.count > bytesMax ? .tooLarge(data.count) : .bytes(data)
  }

  /// nil: it cannot be opened, or is not to be read.
  private static func reading(_ path: String) -> Int32? {
    if isShellPipe(path) {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      return descriptor >= 0 ? descriptor : nil
    }
    return try? LocalFile.open(path)
  }

  /// What a shell makes of `<(command)`, and standard input: named on purpose, and its writer is there. A FIFO elsewhere would block.
  private static func isShellPipe(_ path: String) -> Bool {
    guard path == "/dev/stdin" || path.hasPrefix("/dev/fd/") || path.hasPrefix("/proc/self/fd/") else { return false }
    return LocalFile.kind(of: path) != "a directory"
  }

  /// Of a file that could not be read.
  package static func whyUnreadable(_ path: String) -> String {
    if let target = LocalFile.danglingTarget(path) { return "it is a symbolic link to \(target), which is not there" }
    if LocalFile.kind(of: path) == "a directory" { return "it is a directory" }
    do throws(LocalFile.Refusal) {
      close(try LocalFile.open(path))
      return "it cannot be read as a file"
    } catch { return error.text }
  }
}
