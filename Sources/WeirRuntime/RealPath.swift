import Glibc
import WeirCore
import WeirPlan
import WeirS3Settings

/// Paths of this machine without links, `.` and `..`, also of what is not there yet.
enum RealPath {
  /// Links that lead to what is not there; as the kernel has it.
  private static let linksMax = 40

  /// Of a lake: a path, or an address of a bucket.
  static func place(_ text: String) throws(WeirError) -> PlacePath {
    S3Location.accepts(text) ? PlacePath(try S3Location(text)) : of(text)
  }

  /// Of an argument of `--capture`.
  static func capture(_ text: String) throws(WeirError) -> PlacePath {
    S3Location.accepts(text) ? PlacePath(try S3Location(objects: text)) : of(text)
  }

  static func of(_ path: String) -> PlacePath { PlacePath(absolute: resolved(path, links: 0)) }

  static func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private static func resolved(_ path: String, links: Int) -> String {
    if let real = realpath(path.isEmpty ? "." : path, nil) {
      defer { free(real) }
      return String(cString: real)
    }
    let (parent, name) = split(path)
    // Nothing above it can be resolved.
    guard !name.isEmpty else { return "/" }
    if links < linksMax, let target = link(path) {
      return resolved(target.hasPrefix("/") ? target : parent + "/" + target, links: links + 1)
    }
    let above = resolved(parent, links: links)
    switch name {
    case ".": return above
    case "..": return split(above).parent
    default: return above + "/" + name
    }
  }

  /// The last name of a path, and the path before it.
  private static func split(_ path: String) -> (parent: String, name: String) {
    let end = path.lastIndex { $0 != "/" }.map { path.index(after: $0) } ?? path.startIndex
    let whole = path[..<end]
    guard let slash = whole.lastIndex(of: "/") else { return (".", String(whole)) }
    return (slash == whole.startIndex ? "/" : String(whole[..<slash]), String(whole[whole.index(after: slash)...]))
  }

  /// Where a symbolic link leads; nil: it is not one.
  private static func link(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
}
