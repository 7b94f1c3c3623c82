import Glibc
import WeirCore

/// Detects whether the machine stopped while a worker had the store open.
///
/// The store is not synced at each commit, so after a power cut its file may be anything. A killed process is harmless: what
/// it wrote is in the kernel's cache. The file `writers` in the store's directory distinguishes the two: it holds the id of the
/// boot in which a worker opened the store for writing, and each such worker keeps a shared lock on it.
///
/// - Opening alone (the exclusive lock was free): another boot's id means that the store was not closed before the
///   machine stopped. Its data is removed; each worker then finds its tables missing and makes them again from lane state.
///   The file gets this boot's id, synced, before anything is written to the store.
/// - Opening together with others: they did all this. The file is read again under the shared lock, since the last of them may have
///   closed the store in between; then it is tried again from the start.
/// - Closing after a sync: the worker that gets the exclusive lock is the last, and empties the file.
final class UncleanStop {
  private let descriptor: Int32
  private let path: String

  static let fileName = "writers"

  /// Both closures are called under the exclusive lock: no other worker has the store open.
  /// - Parameters:
  ///   - reset: removes the store's data.
  ///   - check: looks whether the data that was left can be used.
  init(store: String, reset: () throws(WeirError) -> Void, check: () throws(WeirError) -> Void) throws(WeirError) {
    path = store + "/" + UncleanStop.fileName
    let boot = try UncleanStop.bootID()
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw LMDBEnvironment.error("write to", store, errno) }
    while true {
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
        let before = text()
        if !before.isEmpty, before != boot { try reset() } else { try check() }
        try write(boot)
        // Not atomic: another worker may come first, find this boot's id, and continue.
        try FileLock.take(descriptor, LOCK_SH, of: path, within: FileLock.secondsMaxOfCheck)
        if text() == boot { return }
        continue
      }
      // Another worker may check the whole table.
      try FileLock.take(descriptor, LOCK_SH, of: path, within: FileLock.secondsMaxOfCheck)
      if text() == boot { return }
      flock(descriptor, LOCK_UN)
    }
  }

  deinit { Glibc.close(descriptor) }

  /// The store was synced and this worker will not write again.
  func closedClean() {
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return }
    if ftruncate(descriptor, 0) == 0 { fsync(descriptor) }
    flock(descriptor, LOCK_UN)
  }

  /// For readers: the store holds what a machine that stopped left behind.
  static func isSuspect(store: String) -> Bool {
    guard let descriptor = try? LocalFile.open(store + "/" + fileName) else { return false }
    defer { Glibc.close(descriptor) }
    guard let boot = try? bootID() else { return false }
    let text = text(of: descriptor)
    return !text.isEmpty && text != boot
  }

  /// Whether a worker has the store open for writing.
  static func isOpen(store: String) -> Bool {
    guard let descriptor = try? LocalFile.open(store + "/" + fileName) else { return false }
    defer { Glibc.close(descriptor) }
    return flock(descriptor, LOCK_EX | LOCK_NB) != 0
  }

  private func text() -> String { UncleanStop.text(of: descriptor) }

  private static func text(of descriptor: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 64)
    let n = buffer.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    return String(decoding: buffer.prefix(max(0, n)), as: UTF8.self)
  }

  private func write(_ boot: String) throws(WeirError) {
    let bytes = Array(boot.utf8)
    let isWritten =
      ftruncate(descriptor, 0) == 0 && pwrite(descriptor, bytes, bytes.count, 0) == bytes.count && fsync(descriptor) == 0
    guard isWritten else { throw LMDBEnvironment.error("write to", path, errno) }
  }

  /// The kernel's id of this boot. Source: random(4), `/proc/sys/kernel/random/boot_id`.
  /// `WEIR_BOOT_ID` is used instead in tests: a machine cannot be restarted there.
  private static func bootID() throws(WeirError) -> String {
    if let given = getenv("WEIR_BOOT_ID") { return String(cString: given) }
    let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw WeirError(
        .storageRefused, "the machine's boot id cannot be read (/proc/sys/kernel/random/boot_id)",
        advice: "Mount /proc, or name the boot in the environment variable WEIR_BOOT_ID.")
    }
    defer { Glibc.close(descriptor) }
    return String(text(of: descriptor).prefix { $0 != "\n" })
  }
}
