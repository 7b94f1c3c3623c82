import CZlib
import CZstd
import Glibc
import Synchronization
import WeirCore

/// The uncompressed bytes of one capture file: plain, gzip (any number of members) or zstd (any number of frames), told
/// apart by their first bytes. Blocks; used by the reader's thread alone.
final class CaptureBytes {
  private enum Form {
    case plain
    case gzip(UnsafeMutablePointer<z_stream>)
    case zstd(OpaquePointer)
  }

  let path: String
  private let descriptor: Int32
  private var form = Form.plain
  /// Compressed (or, at the beginning of a plain file, sniffed) bytes not yet used.
  private var input: [UInt8]
  private var inputAt = 0
  private var inputEnd = 0
  private var atEnd = false
  /// A gzip member or zstd frame is under way.
  private var isInside = false
  /// A gzip member came to its end.
  private var hadMember = false
  /// Bytes read from the file.
  private(set) var fileBytesRead: Int64 = 0
  /// A pipe: what was read is gone.
  private let isOnce: Bool
  /// A look ahead at a pipe: what is read will be there again.
  private let isPeek: Bool
  private var peeked: [UInt8] = []

  /// - Parameters:
  ///   - path: `-` is standard input.
  ///   - isPeek: a pipe can be read again from here.
  init(_ path: String, isPeek: Bool = false) throws(WeirError) {
    self.path = path
    if path != "-" { _ = try CaptureBytes.fileBytes(path) }
    isOnce = Pipes.isPipe(path)
    self.isPeek = isPeek && isOnce
    descriptor = isOnce ? Pipes.descriptor(path) : open(path, O_RDONLY | O_CLOEXEC)
    input = [UInt8](repeating: 0, count: 256 << 10)
    guard descriptor >= 0 else { throw CaptureBytes.unreadable(path, errno) }
    try sniff()
  }

  /// The size of a capture file as it lies on the disk; nil for a pipe.
  /// - Throws: `config` where there is no such file, or it is a directory.
  static func fileBytes(_ path: String) throws(WeirError) -> Int64? {
    var info = stat()
    guard stat(path, &info) == 0 else { throw unreadable(path, errno) }
    guard info.st_mode & S_IFMT != S_IFDIR else {
      throw WeirError("config", "the capture \(path) is a directory", advice: "Name the files in it: \(path)/*")
    }
    return info.st_mode & S_IFMT == S_IFREG ? Int64(info.st_size) : nil
  }

  private static func unreadable(_ path: String, _ number: Int32) -> WeirError {
    let advice =
      switch number {
      case ENOENT, ENOTDIR: "Look at the path: --capture takes NDJSON files, plain, gzip or zstd, or - for standard input."
      case EACCES, EPERM: "Make the file readable for this user."
      default: "Look at the file, then run again."
      }
    return WeirError("config", "the capture \(path) cannot be read: \(String(cString: strerror(number)))", advice: advice)
  }

  deinit {
    switch form {
    case .plain: break
    case .gzip(let stream):
      inflateEnd(stream)
      stream.deallocate()
    case .zstd(let stream): ZSTD_freeDStream(stream)
    }
    if isPeek { Pipes.keep(peeked, of: path) }
    if !isOnce, descriptor > 0 { close(descriptor) }
  }

  /// Of a frame, and of frames to be skipped (RFC 8878, sections 3.1.1 and 3.1.2): parallel compressors begin with one.
  private static let zstdMagics: Set<UInt32> = Set([0xFD2F_B528] + (0x184D_2A50...0x184D_2A5F))

  private func sniff() throws(WeirError) {
    while inputEnd < 4, try fill(at: inputEnd) {}
    if inputEnd >= 2, input[0] == 0x1F, input[1] == 0x8B {
      let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
      stream.initialize(to: z_stream())
      guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
        throw WeirError(
          "storage", "zlib does not start, for the capture \(path)", advice: "Is there memory left? Run again.", isRetriable: true)
      }
      form = .gzip(stream)
    } else if inputEnd >= 4, CaptureBytes.zstdMagics.contains(input[0..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }) {
      guard let stream = ZSTD_createDStream() else {
        throw WeirError(
          "storage", "libzstd does not start, for the capture \(path)", advice: "Is there memory left? Run again.", isRetriable: true)
      }
      form = .zstd(stream)
    }
  }

  /// Reads into `input` from `place` on; false at the end of the file.
  private func fill(at place: Int) throws(WeirError) -> Bool {
    guard !atEnd else { return false }
    let n = try input.withUnsafeMutableBufferPointer { (buffer) throws(WeirError) -> Int in
      try readFile(buffer.baseAddress! + place, buffer.count - place)
    }
    inputEnd = place + n
    return n > 0
  }

  /// Bytes of the file as they are; 0 at its end.
  private func readFile(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Int {
    if isOnce {
      let n = Pipes.takeKept(of: path, target, count)
      if n > 0 {
        if isPeek { peeked.append(contentsOf: UnsafeBufferPointer(start: target, count: n)) }
        fileBytesRead += Int64(n)
        return n
      }
    }
    while true {
      let n = Glibc.read(descriptor, target, count)
      if n < 0, errno == EINTR { continue }
      guard n >= 0 else { throw FileSystem.error("read the capture", path) }
      atEnd = n == 0
      fileBytesRead += Int64(n)
      if isPeek { peeked.append(contentsOf: UnsafeBufferPointer(start: target, count: n)) }
      return n
    }
  }

  /// Up to `count` uncompressed bytes; 0 at the end.
  func read(into target: UnsafeMutablePointer<UInt8>, count: Int) throws(WeirError) -> Int {
    switch form {
    case .plain: return try readPlain(target, count)
    case .gzip(let stream): return try readGzip(stream, target, count)
    case .zstd(let stream): return try readZstd(stream, target, count)
    }
  }

  private func readPlain(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Int {
    if inputAt < inputEnd {
      let n = min(count, inputEnd - inputAt)
      input.withUnsafeBufferPointer { target.update(from: $0.baseAddress! + inputAt, count: n) }
      inputAt += n
      return n
    }
    if atEnd { return 0 }
    return try readFile(target, count)
  }

  private func broken(_ why: String) -> WeirError {
    WeirError(
      "corrupt", "the capture \(path) cannot be uncompressed near its byte \(fileBytesRead - Int64(inputEnd - inputAt)): \(why)",
      advice: "The file is damaged or cut short: get a whole copy.")
  }

  private func more() throws(WeirError) -> Bool {
    if inputAt < inputEnd { return true }
    inputAt = 0
    inputEnd = 0
    return try fill(at: 0)
  }

  private func readGzip(_ stream: UnsafeMutablePointer<z_stream>, _ target: UnsafeMutablePointer<UInt8>, _ count: Int)
    throws(WeirError) -> Int
  {
    stream.pointee.next_out = target
    stream.pointee.avail_out = UInt32(count)
    while stream.pointee.avail_out == UInt32(count) {
      guard try more() else {
        if isInside { throw broken("it ends in the middle") }
        return 0
      }
      if !isInside, hadMember {
        // Tapes and block devices pad with zeros; no member begins with one.
        while inputAt < inputEnd, input[inputAt] == 0 { inputAt += 1 }
        if inputAt == inputEnd { continue }
      }
      isInside = true
      let result = input.withUnsafeMutableBufferPointer { buffer in
        stream.pointee.next_in = buffer.baseAddress! + inputAt
        stream.pointee.avail_in = UInt32(inputEnd - inputAt)
        return inflate(stream, Z_NO_FLUSH)
      }
      inputAt = inputEnd - Int(stream.pointee.avail_in)
      if result == Z_STREAM_END {
        inflateReset(stream)
        isInside = false
        hadMember = true
      } else if result != Z_OK, result != Z_BUF_ERROR {
        throw broken(stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(result)")
      }
    }
    return count - Int(stream.pointee.avail_out)
  }

  private func readZstd(_ stream: OpaquePointer, _ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Int {
    var out = ZSTD_outBuffer(dst: target, size: count, pos: 0)
    while out.pos == 0 {
      let hasInput = try more()
      if !hasInput, !isInside { return 0 }
      let (result, used) = input.withUnsafeBufferPointer { buffer in
        var inside = ZSTD_inBuffer(src: buffer.baseAddress! + inputAt, size: inputEnd - inputAt, pos: 0)
        let result = ZSTD_decompressStream(stream, &out, &inside)
        return (result, inside.pos)
      }
      inputAt += used
      if ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge {
        throw WeirError(
          "config", "the capture \(path) was compressed with a window of more than 128 MiB, which would take as much memory to read",
          advice: "Compress it anew with at most --long=27, or uncompress it: zstd -dc --long=31 \(path) | weir replay PIPELINE --capture -"
        )
      }
      if ZSTD_isError(result) != 0 { throw broken(String(cString: ZSTD_getErrorName(result))) }
      isInside = result != 0
      if !hasInput, out.pos == 0 { throw broken("it ends in the middle") }
    }
    return out.pos
  }
}

/// Captures that can be read once: standard input, named pipes, what a shell makes of `<(command)`. Each is opened once in a
/// process, since its writer goes away with the last reader; what a look ahead took, the next reader gets first.
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
