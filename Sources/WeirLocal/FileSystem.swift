import Glibc
import WeirCore

/// System calls on files with errors that say what happened, where, and what to do. All of them block.
enum FileSystem {
  static func error(_ what: String, _ path: String, _ number: Int32 = errno) -> WeirError {
    let why = String(cString: strerror(number))
    switch number {
    case ENOSPC, EDQUOT:
      return WeirError(
        .fullDisk, "no space left: cannot \(what) \(path)",
        advice: "Free some space and run again: it resumes from the ledger.")
    case EROFS, EACCES, EPERM:
      return WeirError(
        .readOnly, "cannot \(what) \(path): \(why)", advice: "Allow this user to read and write it, then run again.")
    case EISDIR:
      return WeirError(
        .storageRefused, "cannot \(what) \(path): \(why)",
        advice: "A file belongs there: remove the directory, or restore the file from a copy.")
    case ENOTDIR, ELOOP, ENAMETOOLONG:
      return WeirError(
        .storageRefused, "cannot \(what) \(path): \(why)",
        advice:
          "This must be a directory, which Weir creates where it is missing: check this path, or choose \(.otherDirectory).")
    case EMFILE, ENFILE:
      return WeirError(
        .storage, "cannot \(what) \(path): \(why)",
        advice: "Raise the limit of open files (ulimit -n; in a service LimitNOFILE), then run again: it resumes from the ledger.")
    default:
      return WeirError(
        .storage, "cannot \(what) \(path): \(why)",
        advice: "Check the directory and its file system, then run again: it resumes from the ledger.")
    }
  }

  /// A failed fsync may have dropped what it was to save, and the next one would not say so: the process must not continue.
  static func sync(_ descriptor: Int32, _ path: String) {
    while fsync(descriptor) != 0 {
      if errno == EINTR { continue }
      if errno == EINVAL || errno == ENOTSUP { return }  // not a thing that can be synced, a pipe
      if errno == ENOSPC || errno == EDQUOT || errno == EIO {
        let text =
          "weir: fsync of \(path) failed: \(String(cString: strerror(errno))). Stopping: what was not synced may be lost, and the ledger names none of it.\n"
        _ = text.withCString { write(2, $0, strlen($0)) }
        _exit(74)
      }
      return
    }
  }

  static func syncDirectory(_ path: String) throws(WeirError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw error("open the directory", path) }
    sync(descriptor, path)
    close(descriptor)
  }

  /// A relative path with the directory that it counts from.
  static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let here = getcwd(nil, 0) else { return path }
    defer { free(here) }
    return String(cString: here) + "/" + path
  }

  /// Makes a directory and its parents; returns the parents whose entries changed, for syncing.
  static func makeDirectory(_ path: String) throws(WeirError) -> [String] {
    if mkdir(path, 0o777) == 0 { return [parent(path)] }
    switch errno {
    case EEXIST: return []
    case ENOENT:
      let above = try makeDirectory(parent(path))
      guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw error("create the directory", path) }
      return above + [parent(path)]
    default: throw error("create the directory", path)
    }
  }

  static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Creates a file that must not exist, writes and syncs it. Removes it again if that fails.
  static func create(_ path: String, _ bytes: [UInt8]) throws(WeirError) { try create(path, [bytes]) }

  /// The same with bytes in pieces, one after the other.
  static func create(_ path: String, _ pieces: [[UInt8]]) throws(WeirError) {
    let descriptor = try written(path, pieces)
    sync(descriptor, path)
    close(descriptor)
  }

  /// Creates a file that must not exist and writes it: not synced yet.
  /// - Returns: its descriptor.
  static func written(_ path: String, _ pieces: [[UInt8]]) throws(WeirError) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw error("create", path) }
    do throws(WeirError) {
      var done = 0
      if pieces.reduce(0, { $0 + $1.count }) >= DirectWrite.least { done = try DirectWrite.write(descriptor, pieces, path) }
      guard lseek(descriptor, off_t(done), SEEK_SET) >= 0 else { throw error("write", path) }
      for piece in pieces {
        if done < piece.count { try writeAll(descriptor, piece, from: done, path) }
        done = max(0, done - piece.count)
      }
    } catch {
      unlink(path)
      close(descriptor)
      throw error
    }
    return descriptor
  }

  /// Creates a file that must not exist, for writing.
  static func createEmpty(_ path: String) throws(WeirError) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw error("create", path) }
    return descriptor
  }

  /// Gives a file that was written and synced its name, unless there is one, durably.
  static func linkIfAbsent(_ temporary: String, _ path: String) throws(WeirError) -> PutOutcome {
    guard link(temporary, path) == 0 else {
      if errno == EEXIST { return .exists }
      throw error("create", path)
    }
    try syncDirectory(parent(path))
    return .created
  }

  /// Appends to the file.
  static func append(_ descriptor: Int32, _ bytes: [UInt8], _ path: String) throws(WeirError) {
    guard lseek(descriptor, 0, SEEK_END) >= 0 else { throw error("write", path) }
    try writeAll(descriptor, bytes, from: 0, path)
  }

  /// Writes the bytes from number `start` on at the descriptor's place.
  private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8], from start: Int, _ path: String) throws(WeirError) {
    var done = start
    while done < bytes.count {
      let n = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + done, bytes.count - done) }
      if n < 0 {
        if errno == EINTR { continue }
        throw error("write", path)
      }
      // No file does this; a loop without an end would be the worst answer.
      guard n > 0 else { throw error("write", path, EIO) }
      done += n
    }
  }

  /// Opens a regular file for reading (``LocalFile``).
  static func openFile(_ path: String, _ what: String = "open") throws(WeirError) -> Int32 {
    do throws(LocalFile.Refusal) { return try LocalFile.open(path) } catch { throw refused(what, path, error) }
  }

  /// The same; nil if it is not there.
  private static func openIfThere(_ path: String) throws(WeirError) -> Int32? {
    do throws(LocalFile.Refusal) { return try LocalFile.open(path) } catch {
      if error == .system(ENOENT) || error == .system(ENOTDIR) { return nil }
      throw refused("open", path, error)
    }
  }

  private static func refused(_ what: String, _ path: String, _ refusal: LocalFile.Refusal) -> WeirError {
    if case .system(let number) = refusal { return error(what, path, number) }
    return WeirError(
      .storageRefused, "cannot \(what) \(path): \(refusal.text)",
      advice: "A file belongs there: remove what is there, or restore the file from a copy.")
  }

  /// The file's bytes from `offset`, at most `count`; nil if it is not there.
  static func read(_ path: String, offset: Int64 = 0, count: Int? = nil) throws(WeirError) -> [UInt8]? {
    guard let descriptor = try openIfThere(path) else { return nil }
    defer { close(descriptor) }
    var info = stat()
    guard fstat(descriptor, &info) == 0 else { throw error("get the status of", path) }
    guard offset >= 0, count ?? 0 >= 0 else { throw error("read from byte \(offset) of", path, EINVAL) }
    let wanted = min(count ?? Int.max, max(0, Int(info.st_size) - Int(offset)))
    var bytes = [UInt8](repeating: 0, count: wanted)
    var done = 0
    while done < wanted {
      let n = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress! + done, wanted - done, off_t(offset) + off_t(done)) }
      if n < 0 {
        if errno == EINTR { continue }
        throw error("read", path)
      }
      if n == 0 { break }
      done += n
    }
    bytes.removeLast(wanted - done)
    return bytes
  }
}
