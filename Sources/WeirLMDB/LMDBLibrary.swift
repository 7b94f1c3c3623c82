import CLMDB

/// The library of the state table that this process runs with, which may be newer than the one it was built with.
package enum LMDBLibrary {
  package static var version: String {
    var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
    mdb_version(&major, &minor, &patch)
    return "\(major).\(minor).\(patch)"
  }
}
