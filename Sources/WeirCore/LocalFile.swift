import Glibc

/// The one door to files of this machine that Weir reads by their place: regular files only.
///
/// The directories that it lists are open to other programs. If a FIFO has a file's name, opening it waits until there is a writer; a
/// device may never end.
public enum LocalFile {
  /// Why a file was not opened.
  public enum Refusal: Error, Hashable {
    /// The number of a system call's error (errno(3)).
    case system(Int32)
    /// What the path is, with its article: `a directory`.
    case kind(String)

    /// In words that follow the file's path.
    public var text: String {
      switch self {
      case .system(let number): String(cString: strerror(number))
      case .kind(let kind): "it is \(kind), and not a regular file"
      }
    }
  }

  /// Opens a regular file for reading. Does not wait for the writer of a FIFO.
  /// - Returns: the descriptor, which the caller closes.
  public static func open(_ path: String) throws(Refusal) -> Int32 {
    var descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    if descriptor < 0, errno == EWOULDBLOCK {
      // Another program holds a lease of it (fcntl(2), F_SETLEASE), which exists for regular files alone.
      if let kind = kind(of: path) { throw .kind(kind) }
      descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    }
    guard descriptor >= 0 else {
      let number = errno
      // A socket cannot be opened, and the system's words name a device.
      if number == ENXIO, let kind = kind(of: path) { throw .kind(kind) }
      throw .system(number)
    }
    var info = stat()
    guard fstat(descriptor, &info) == 0 else {
      let number = errno
      close(descriptor)
      throw .system(number)
    }
    if let kind = kind(mode: info.st_mode) {
      close(descriptor)
      throw .kind(kind)
    }
    return descriptor
  }

  /// What a path leads to, with its article; nil: a regular file, or nothing that can be looked at.
  public static func kind(of path: String) -> String? {
    var info = stat()
    return stat(path, &info) == 0 ? kind(mode: info.st_mode) : nil
  }

  /// - Parameter mode: `st_mode` of inode(7).
  /// - Returns: nil for a regular file.
  public static func kind(mode: UInt32) -> String? {
    switch mode & S_IFMT {
    case S_IFREG: nil
    case S_IFDIR: "a directory"
    case S_IFIFO: "a named pipe (FIFO)"
    case S_IFSOCK: "a socket"
    case S_IFCHR: "a character device"
    case S_IFBLK: "a block device"
    default: "a file of another type"
    }
  }

  /// Where a symbolic link leads that leads to nothing; nil: the path is something else.
  public static func danglingTarget(_ path: String) -> String? {
    var info = stat()
    guard lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFLNK, stat(path, &info) != 0, errno == ENOENT else { return nil }
    var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = target.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
    return String(decoding: target.prefix(max(0, count)), as: UTF8.self)
  }
}
