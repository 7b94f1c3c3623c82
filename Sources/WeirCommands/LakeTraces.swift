import Glibc
import WeirCore

/// The directories that a check of a lake on this machine makes: they are removed again, unless something was put into them meanwhile.
struct LakeTraces {
  /// Directories that are not there before the check, the deepest first.
  private let missing: [String]
  /// The lake's own directory is not there before the check.
  let isNew: Bool

  /// - Parameters:
  ///   - lake: a path.
  ///   - own: the directory of the check in the lake (``StoreCheck/ownDirectory``).
  init(_ lake: String, _ own: String) {
    var paths = [lake + "/" + own, lake + "/" + StoreCheck.directory]
    var above = lake
    while !LakeTraces.isThere(above), above != ".", above != "/" {
      paths.append(above)
      above = above.lastIndex(of: "/").map { $0 == above.startIndex ? "/" : String(above[..<$0]) } ?? "."
    }
    isNew = paths.count > 2
    missing = paths
  }

  /// Blocks. rmdir(2) removes empty directories alone, so nothing of another process is lost.
  func remove() { for path in missing where rmdir(path) != 0 && errno != ENOENT { return } }

  private static func isThere(_ path: String) -> Bool {
    var info = stat()
    return lstat(path, &info) == 0
  }
}
