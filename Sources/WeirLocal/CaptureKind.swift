import Glibc
import WeirCore

/// Paths that can be opened like a file and are no capture: of the kernel, devices, sockets.
enum CaptureKind {
  static let kernel = "a file of the kernel, as in /proc or /sys: its size is not that of its content"

  static func wrongSize(_ bytes: Int64, read: Int64) -> String {
    "a file whose size is not that of its content: \(bytes) bytes by its size, \(read) bytes when it is read"
  }

  /// What the path is; nil: it may be a capture. A terminal, a pipe and `/dev/null` may.
  static func refused(_ path: String, _ info: stat) -> String? {
    switch info.st_mode & S_IFMT {
    case S_IFBLK: "a block device"
    // What standard input is may be a socket, and then it has no path that can be opened.
    case S_IFSOCK: "a socket"
    // Memory devices: /dev/zero, /dev/random, /dev/mem.
    case S_IFCHR where info.st_rdev >> 8 & 0xFFF == 1 && info.st_rdev & 0xFF != 3: "a device that has no end"
    default: nil
    }
  }

  static func refusal(_ path: String, _ kind: String) -> WeirError {
    WeirError(
      .config, "the capture \(path) is \(kind)",
      advice:
        "Copy its content to a file, or pipe it in: \(.captureFiles).")
  }
}
