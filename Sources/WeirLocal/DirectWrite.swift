import CWeirSystem
import Glibc
import WeirCore

/// Large files past the page cache (`O_DIRECT`, open(2)).
///
/// What is written here is not read again soon, and it is synced at once. By way of the cache each of its pages is first
/// found, cleared and filled, which took a seventh of all the time of a pipeline with bronze and silver, and then the cache
/// pushes out the capture that is being read.
enum DirectWrite {
  /// Smaller files go the usual way, bytes.
  static let least = 1 << 20
  /// Places and lengths must be multiples of the device's block; no device in use has a larger one.
  private static let blockBytes = 4096
  private static let chunkBytes = 1 << 20

  /// Writes whole blocks from the beginning. The last bytes, which fill no block, are left to the caller.
  /// - Returns: how many bytes it wrote; fewer, or 0, where the file system does not want it. The descriptor is an ordinary
  ///   one again.
  /// - Parameter put: pwrite(2); it may write less than it is given, and then the rest is given again.
  static func write(
    _ descriptor: Int32, _ pieces: [[UInt8]], _ path: String, put: (Int32, UnsafeRawPointer, Int, off_t) -> Int = pwrite
  ) throws(WeirError) -> Int {
    let flags = fcntl(descriptor, F_GETFL)
    guard flags >= 0, fcntl(descriptor, F_SETFL, flags | weir_o_direct()) == 0 else { return 0 }
    defer { _ = fcntl(descriptor, F_SETFL, flags) }
    let chunk = UnsafeMutableRawPointer.allocate(byteCount: chunkBytes, alignment: blockBytes)
    defer { chunk.deallocate() }
    let whole = pieces.reduce(0) { $0 + $1.count } / blockBytes * blockBytes
    var (done, piece, at) = (0, 0, 0)
    while done < whole {
      let count = min(chunkBytes, whole - done)
      copy(pieces, from: (piece, at), count, to: chunk)
      let n = put(descriptor, chunk, count, off_t(done))
      if n < 0 {
        if errno == EINTR { continue }
        if errno == EINVAL || errno == EOPNOTSUPP { return done }
        throw FileSystem.error("write", path)
      }
      guard n > 0 else { return done }
      done += n
      // By what was written, which may be less than what was given.
      (piece, at) = place(in: pieces, after: n, from: (piece, at))
      // A short write may end within a block: the rest goes the usual way.
      if n % blockBytes != 0 { return done }
    }
    return done
  }

  private static func copy(_ pieces: [[UInt8]], from start: (piece: Int, at: Int), _ count: Int, to chunk: UnsafeMutableRawPointer) {
    var (piece, at, filled) = (start.piece, start.at, 0)
    while filled < count {
      let some = min(count - filled, pieces[piece].count - at)
      pieces[piece].withUnsafeBytes { bytes in
        if some > 0, let base = bytes.baseAddress { (chunk + filled).copyMemory(from: base + at, byteCount: some) }
      }
      filled += some
      (piece, at) = (piece + 1, 0)
    }
  }

  private static func place(in pieces: [[UInt8]], after count: Int, from start: (piece: Int, at: Int)) -> (piece: Int, at: Int) {
    var (piece, at, left) = (start.piece, start.at, count)
    while piece < pieces.count, left >= pieces[piece].count - at {
      left -= pieces[piece].count - at
      (piece, at) = (piece + 1, 0)
    }
    return (piece, at + left)
  }
}
