import Glibc
import Synchronization
import WeirCore

/// The bytes of one capture file as they are on the disk, and proof that they did not change while they were read.
///
/// A regular file is compared with what it was when it was opened: after each read, and at its end. A file that got shorter, or was
/// written to, is an error: what was read of it is not what is there. Blocks; used by the reader's thread alone.
final class CaptureFile: CaptureFileBytes {
  /// What shows whether a regular file changed.
  struct Stamp: Equatable {
    var device: UInt64
    var inode: UInt64
    var bytes: Int64
    var seconds: Int
    var nanoseconds: Int

    /// nil: not a regular file.
    init?(_ info: stat) {
      guard info.st_mode & S_IFMT == S_IFREG else { return nil }
      (device, inode, bytes) = (UInt64(info.st_dev), UInt64(info.st_ino), Int64(info.st_size))
      (seconds, nanoseconds) = (info.st_mtim.tv_sec, info.st_mtim.tv_nsec)
    }

    func isSameFile(as other: Stamp) -> Bool { device == other.device && inode == other.inode }
    func wasWritten(since other: Stamp) -> Bool { seconds != other.seconds || nanoseconds != other.nanoseconds }
  }

  let path: String
  var name: String { path }
  private let descriptor: Int32
  /// A pipe: what was read is gone.
  private let isOnce: Bool
  /// A look ahead at a pipe: what is read will be there again.
  private let isPeek: Bool
  private var peeked: [UInt8] = []
  private var isAtEnd = false
  /// What the file was at a read that found its end before its size.
  private var endedEarly: Stamp?
  private(set) var bytesRead: Int64 = 0
  /// When it was opened; nil for what is not a regular file.
  private let opened: Stamp?

  /// - Parameters:
  ///   - path: `-` is standard input.
  ///   - isPeek: a pipe can be read again from here.
  ///   - bytesAtLeast: the file's size when the run began.
  init(_ path: String, isPeek: Bool = false, bytesAtLeast: Int64 = 0) throws(WeirError) {
    self.path = path
    if path != "-" { _ = try CaptureFile.bytes(of: path) }
    isOnce = Pipes.isPipe(path)
    self.isPeek = isPeek && isOnce
    let descriptor = isOnce ? Pipes.descriptor(path) : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw CaptureFile.unreadable(path, errno) }
    self.descriptor = descriptor
    var info = stat()
    opened = !isOnce && fstat(descriptor, &info) == 0 ? Stamp(info) : nil
    if opened != nil, FileSystemKind.isKernels(descriptor) { throw CaptureKind.refusal(path, CaptureKind.kernel) }
    if let opened, opened.bytes < bytesAtLeast {
      throw changed("it had \(bytesAtLeast) bytes when this run began, and has \(opened.bytes) now")
    }
  }

  deinit {
    if isPeek { Pipes.keep(peeked, of: path) }
    if !isOnce { close(descriptor) }
  }

  /// The size of a capture file on the disk; nil for a pipe.
  /// - Throws: `config` where there is no such file, or it is a directory or a device.
  static func bytes(of path: String) throws(WeirError) -> Int64? {
    var info = stat()
    guard stat(path, &info) == 0 else { throw unreadable(path, errno) }
    if info.st_mode & S_IFMT == S_IFDIR { throw CaptureDirectory.refusal(path) }
    if let kind = CaptureKind.refused(path, info) { throw CaptureKind.refusal(path, kind) }
    return info.st_mode & S_IFMT == S_IFREG ? Int64(info.st_size) : nil
  }

  private static func unreadable(_ path: String, _ number: Int32) -> WeirError {
    if number == ENOENT, let target = LocalFile.danglingTarget(path) {
      return WeirError(
        .config, "the capture \(path) is a symbolic link to \(target), which is not there", advice: "Correct the link, or name the file.")
    }
    let advice: Wording =
      switch number {
      case ENOENT, ENOTDIR: "Check the path: \(.captureFiles)."
      case EACCES, EPERM: "Make the file readable for this user."
      default: "Check the file, then run again."
      }
    return WeirError(.config, "the capture \(path) cannot be read: \(String(cString: strerror(number)))", advice: advice)
  }

  /// Up to `count` bytes; 0 at the file's end.
  /// - Throws: `capture_changed` if the file is no longer what it was when it was opened.
  func read(into target: UnsafeMutablePointer<UInt8>, count: Int) throws(WeirError) -> Int {
    guard !isAtEnd else { return 0 }
    if isOnce {
      let n = Pipes.takeKept(of: path, target, count)
      if n > 0 { return took(n, target) }
    }
    while true {
      let n = Glibc.read(descriptor, target, count)
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw FileSystem.error("read the capture", path) }
      let now = try checked(plus: n)
      if n == 0 {
        // Appended to since the read: that belongs to the file as well.
        if let now, now.bytes > bytesRead {
          guard endedEarly != now else { throw CaptureKind.refusal(path, CaptureKind.wrongSize(now.bytes, read: bytesRead)) }
          endedEarly = now
          continue
        }
        isAtEnd = true
      }
      return took(n, target)
    }
  }

  private func took(_ n: Int, _ target: UnsafeMutablePointer<UInt8>) -> Int {
    bytesRead += Int64(n)
    if isPeek { peeked.append(contentsOf: UnsafeBufferPointer(start: target, count: n)) }
    return n
  }

  // MARK: Changes

  private func checked(plus n: Int) throws(WeirError) -> Stamp? {
    guard let opened else { return nil }
    var info = stat()
    guard fstat(descriptor, &info) == 0, let now = Stamp(info) else { throw FileSystem.error("get the status of the capture", path) }
    if now == opened, bytesRead + Int64(n) > now.bytes {
      throw CaptureKind.refusal(path, CaptureKind.wrongSize(now.bytes, read: bytesRead + Int64(n)))
    }
    guard now.bytes >= max(opened.bytes, bytesRead + Int64(n)) else {
      throw changed(
        "it was truncated: it had \(opened.bytes) bytes when it was opened, \(bytesRead) of them were read, and it has \(now.bytes) now")
    }
    if n == 0, now.bytes == opened.bytes, now.wasWritten(since: opened) {
      throw changed("it was written to after it was opened, and its size is still \(now.bytes) bytes")
    }
    return now
  }

  private func changed(_ why: String) -> WeirError { CaptureFile.changed(path, why) }

  static func changed(_ path: String, _ why: String) -> WeirError { .captureChanged(path, why) }

  /// A file that was read to its end: what must still hold at the end of the capture.
  struct Finished {
    var path: String
    var stamp: Stamp
    var bytesRead: Int64
    /// It was longer at its end than when it was opened.
    var grew: Bool
  }

  /// nil for what is not a regular file.
  var finished: Finished? {
    guard let opened else { return nil }
    var info = stat()
    guard fstat(descriptor, &info) == 0, let stamp = Stamp(info) else { return nil }
    return Finished(path: path, stamp: stamp, bytesRead: bytesRead, grew: bytesRead > opened.bytes)
  }
}

extension WeirError {
  /// - Parameters:
  ///   - name: of the file.
  ///   - why: continues `changed while it was read: `.
  package static func captureChanged(_ name: String, _ why: String) -> WeirError {
    WeirError(
      .captureChanged, "the capture \(name) changed while it was read: \(why)",
      advice:
        "Nothing was committed after the last cut. Put the whole file back and run again; if bytes are gone that were committed before, replay into \(.newLake)."
    )
  }
}

extension CaptureFile.Finished {
  /// Looks at the file again, when the whole capture was read.
  /// - Parameter isLast: of the capture's files; another one that grew moves the positions of all that follows.
  /// - Returns: what a user must know; nil: nothing.
  /// - Throws: `capture_changed`.
  func recheck(isLast: Bool) throws(WeirError) -> String? {
    var info = stat()
    guard stat(path, &info) == 0, let now = CaptureFile.Stamp(info) else {
      return "the capture \(path) was removed while it was read; its content was consumed, and a resume needs it"
    }
    guard now.isSameFile(as: stamp) else {
      return
        "the capture \(path) was replaced while it was read: the content that it had before was consumed, and the next run compares it with the new one"
    }
    guard now.bytes >= bytesRead else {
      throw CaptureFile.changed(path, "it was truncated: \(bytesRead) bytes of it were read, and it has \(now.bytes) now")
    }
    if now.bytes > bytesRead, !isLast {
      throw CaptureFile.changed(
        path, "\(now.bytes - bytesRead) bytes were appended after its end was read, and the files that follow it were read by then")
    }
    if now.bytes == bytesRead, now.wasWritten(since: stamp) {
      throw CaptureFile.changed(path, "it was written to after its end was read, and its size is still \(now.bytes) bytes")
    }
    return now.bytes > bytesRead || (grew && isLast) ? "the capture \(path) grew while it was read" : nil
  }
}

/// Captures that can be read once: standard input, named pipes, what a shell makes of `<(command)`. Each is opened once in a
/// process, since its writer ends with the last reader; what a look ahead took, the next reader gets first.
private enum Pipes {
  private struct Stream {
    var descriptor: Int32
    var kept: [UInt8] = []
  }
  private static let streams = Mutex<[String: Stream]>([:])

  static func isPipe(_ path: String) -> Bool {
    if path == "-" { return true }
    var info = stat()
    guard stat(path, &info) == 0 else { return false }
    return [S_IFIFO, S_IFSOCK, S_IFCHR].contains(info.st_mode & S_IFMT)
  }

  /// -1, with `errno`, if it cannot be opened.
  static func descriptor(_ path: String) -> Int32 {
    streams.withLock { streams in
      if let stream = streams[path] { return stream.descriptor }
      let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
      if descriptor >= 0 { streams[path] = Stream(descriptor: descriptor) }
      return descriptor
    }
  }

  static func keep(_ bytes: [UInt8], of path: String) { streams.withLock { $0[path]?.kept.insert(contentsOf: bytes, at: 0) } }

  /// Moves up to `count` kept bytes to `target`.
  static func takeKept(of path: String, _ target: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    streams.withLock { streams in
      guard let kept = streams[path]?.kept, !kept.isEmpty else { return 0 }
      let n = min(count, kept.count)
      kept.withUnsafeBufferPointer { if let base = $0.baseAddress { target.update(from: base, count: n) } }
      streams[path]?.kept.removeFirst(n)
      return n
    }
  }
}
