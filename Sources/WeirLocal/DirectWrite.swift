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
  static func write(_ descriptor: Int32, _ pieces: [[UInt8]], _ path: String) throws(WeirError) -> Int {
    let flags = fcntl(descriptor, F_GETFL)
    guard flags >= 0, fcntl(descriptor, F_SETFL, flags | weir_o_direct()) == 0 else { return 0 }
    defer { _ = fcntl(descriptor, F_SETFL, flags) }
    let chunk = UnsafeMutableRawPointer.allocate(byteCount: chunkBytes, alignment: blockBytes)
    defer { chunk.deallocate() }
    let whole = pieces.reduce(0) { $0 + $1.count } / blockBytes * blockBytes
    var (done, piece, at) = (0, 0, 0)
    while done < whole {
      let count = min(chunkBytes, whole - done)
      var filled = 0
      while filled < count {
        if at == pieces[piece].count { (piece, at) = (piece + 1, 0); continue }
        let some = min(count - filled, pieces[piece].count - at)
        pieces[piece].withUnsafeBytes { (chunk + filled).copyMemory(from: $0.baseAddress! + at, byteCount: some) }
        (filled, at) = (filled + some, at + some)
      }
      let n = pwrite(descriptor, chunk, count, off_t(done))
      if n < 0 {
        if errno == EINTR { continue }
        if errno == EINVAL || errno == EOPNOTSUPP { return done }
        throw FileSystem.error("write", path)
      }
      guard n > 0 else { return done }
      done += n
      // A short write may end within a block: the rest goes the usual way.
      if n % blockBytes != 0 { return done }
    }
    return done
  }
}
