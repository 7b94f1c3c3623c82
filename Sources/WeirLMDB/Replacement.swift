import Glibc
import WeirCore

/// Puts a new table in the place of a damaged one, which is not read.
///
/// The new table is written in a directory of its own, then moved to `rebuilt.mdb` next to the old one: from then on the
/// replacement is decided, and the next one to open the store finishes it, also after a stop in between. The swap itself takes the file
/// `swap` exclusively, and opening a store takes it shared, so that the new file is never opened with the old one's locks. A process
/// that has the old file open notices at its next access, since the path names another file.
package final class StateReplacement: Sendable {
  private static let folder = "rebuilding"
  private static let lock = "/rebuilding.lock"
  private static let ready = "/rebuilt.mdb"
  private static let swap = "/swap"

  private let store: String
  private let descriptor: Int32
  /// Where the new table is to be written: an empty store.
  package var path: String { store + "/" + StateReplacement.folder }

  /// - Throws: `storage` if another process is at it.
  package init(store: String) throws(WeirError) {
    self.store = store
    descriptor = open(store + StateReplacement.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw LMDBEnvironment.error("write to", store, errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      throw WeirError(
        .storage, "another process is rebuilding the state table in \(store)", advice: "Wait until it has finished.")
    }
    try removeFolder()
  }

  deinit { Glibc.close(descriptor) }

  /// Makes the finished table the store's. Its own store must be closed.
  package func publish() throws(WeirError) {
    let new = path + "/data.mdb"
    try StateReplacement.sync(new)
    var old = stat()
    if stat(store + "/data.mdb", &old) == 0 {
      // The worker may run as another user than the rebuild.
      _ = chown(new, old.st_uid, old.st_gid)
      _ = chmod(new, old.st_mode & 0o777)
    }
    guard rename(new, store + StateReplacement.ready) == 0 else { throw LMDBEnvironment.error("replace", store, errno) }
    try StateReplacement.sync(store)
    try StateReplacement.finish(store)
    try removeFolder()
  }

  private func removeFolder() throws(WeirError) {
    for name in ["data.mdb", "lock.mdb", UncleanStop.fileName, "swap", LMDBEnvironment.turnFile]
    where unlink(path + "/" + name) != 0 && errno != ENOENT {
      throw LMDBEnvironment.error("write to", store, errno)
    }
    if rmdir(path) != 0, errno != ENOENT { throw LMDBEnvironment.error("write to", store, errno) }
  }

  /// Finishes a replacement that was decided.
  private static func finish(_ store: String) throws(WeirError) {
    try locked(store, LOCK_EX, create: true) { () throws(WeirError) in
      guard access(store + ready, F_OK) == 0 else { return }
      // The lock file first: its counters are those of the old file.
      guard unlink(store + "/lock.mdb") == 0 || errno == ENOENT else { throw LMDBEnvironment.error("replace", store, errno) }
      guard rename(store + ready, store + "/data.mdb") == 0 else { throw LMDBEnvironment.error("replace", store, errno) }
      try sync(store)
    }
  }

  /// Opens a store while its file is not being replaced.
  static func opening<T>(_ store: String, readOnly: Bool, _ body: () throws(WeirError) -> T) throws(WeirError) -> T {
    if access(store + ready, F_OK) == 0 {
      if readOnly { try waitForFinish(store) } else { try finish(store) }
    }
    return try locked(store, LOCK_SH, create: !readOnly, body)
  }

  /// For readers, which do not finish a replacement themselves: the process that decided it does so at once, and holds the lock until then.
  private static func waitForFinish(_ store: String) throws(WeirError) {
    if let descriptor = try? LocalFile.open(store + lock) {
      defer { Glibc.close(descriptor) }
      try FileLock.take(descriptor, LOCK_SH, of: store + lock)
    }
    guard access(store + ready, F_OK) == 0 else { return }
    throw WeirError(
      .storage, "a rebuild of the state table in \(store) was stopped before its last step",
      advice: "Run \(.rebuildState) again, or the pipeline's worker.")
  }

  private static func locked<T>(
    _ store: String, _ kind: Int32, create: Bool, _ body: () throws(WeirError) -> T
  ) throws(WeirError) -> T {
    let descriptor = create ? open(store + swap, O_RDWR | O_CREAT | O_CLOEXEC, 0o666) : (try? LocalFile.open(store + swap)) ?? -1
    // Without such a file nothing was ever replaced here; a reader does not make one.
    guard descriptor >= 0 else {
      if !create { return try body() }
      throw LMDBEnvironment.error("write to", store, errno)
    }
    defer { Glibc.close(descriptor) }
    try FileLock.take(descriptor, kind, of: store + swap)
    return try body()
  }

  private static func sync(_ path: String) throws(WeirError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw LMDBEnvironment.error("sync", path, errno) }
    defer { Glibc.close(descriptor) }
    guard fsync(descriptor) == 0 else { throw LMDBEnvironment.error("sync", path, errno) }
  }
}
