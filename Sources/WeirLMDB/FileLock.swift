import Glibc
import WeirCore

/// Locks on a store's files, which are not waited for without an end: a process that is paused keeps its locks.
enum FileLock {
  /// For locks that are held for a moment.
  static let secondsMax = 30
  /// For locks under which a whole table is checked.
  static let secondsMaxOfCheck = 600
  /// Between two looks: most locks are free after a moment.
  private static let restMicroseconds: (first: UInt32, most: UInt32) = (200, 20_000)

  /// - Parameters:
  ///   - kind: `LOCK_SH` or `LOCK_EX`.
  ///   - file: the file's path, for the error.
  /// - Throws: `storage` if another process has the lock for longer than `seconds`.
  static func take(_ descriptor: Int32, _ kind: Int32, of file: String, within seconds: Int = secondsMax) throws(WeirError) {
    let until = now() + Int64(seconds) * 1_000_000_000
    var rest = restMicroseconds.first
    while flock(descriptor, kind | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else { throw LMDBEnvironment.error("lock", file, errno) }
      guard now() < until else { throw isTaken(file, descriptor, seconds) }
      usleep(rest)
      rest = min(2 * rest, restMicroseconds.most)
    }
  }

  /// Takes the lock for as long as `body` runs.
  static func held<T>(
    _ descriptor: Int32, _ kind: Int32, of file: String, within seconds: Int, _ body: () throws(WeirError) -> T
  ) throws(WeirError) -> T {
    try take(descriptor, kind, of: file, within: seconds)
    defer { flock(descriptor, LOCK_UN) }
    return try body()
  }

  private static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec).saturatingProduct(1_000_000_000).saturatingSum(Int64(time.tv_nsec))
  }

  private static func isTaken(_ file: String, _ descriptor: Int32, _ seconds: Int) -> WeirError {
    let who = holder(descriptor).map { "process \($0)" } ?? "another process"
    return WeirError(
      .storage, "\(who) has locked \(file) for \(seconds) s",
      advice: "Is it paused? Let it continue, or stop it: the lock is free then. `lslocks` shows who has a lock.")
  }

  /// The process that has a lock on the file, by `/proc/locks`; nil: not known (it may be in another container).
  private static func holder(_ descriptor: Int32) -> Int? {
    var info = stat()
    guard fstat(descriptor, &info) == 0, let locks = fopen("/proc/locks", "re") else { return nil }
    defer { fclose(locks) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 14)
    // One read gives at most a page, whatever the room: a busy machine has more locks than that.
    while case let n = fread(&part, 1, part.count, locks), n > 0 { text += part[..<n] }
    for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
      // 1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF
      let parts = line.split(separator: " ")
      guard parts.count >= 6, parts[1] == "FLOCK", parts[5].hasSuffix(":\(info.st_ino)"), let pid = Int(parts[4]), pid > 0 else { continue }
      return pid
    }
    return nil
  }
}
