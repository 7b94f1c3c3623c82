import Foundation
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

  /// A file of at most `bytesMax` bytes. One that says that it is larger is not read.
  package static func contents(of path: String, bytesMax: Int) -> Contents {
    guard let handle = FileHandle(forReadingAtPath: path), !isDirectory(path) else { return .unreadable }
    defer { try? handle.close() }
    let size = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? nil
    if let size, size > bytesMax { return .tooLarge(size) }
    var data = Data()
    do {
      // A pipe gives its bytes piece by piece.
      while data.count <= bytesMax, let more = try handle.read(upToCount: bytesMax + 1 - data.count), !more.isEmpty { data += more }
    } catch { return .unreadable }
    return data.count > bytesMax ? .tooLarge(data.count) : .bytes(data)
  }

  private static func isDirectory(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
  }

  /// Of a file that could not be read.
  package static func whyUnreadable(_ path: String) -> String {
    if isDirectory(path) { return "it is a directory" }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return String(cString: strerror(errno)) }
    close(descriptor)
    return "it cannot be read as a file"
  }
}
