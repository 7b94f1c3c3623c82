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
  /// Bytes read from the file.
  private(set) var fileBytesRead: Int64 = 0
  /// A look ahead at standard input: what is read will be there again.
  private let isPeek: Bool
  private var peeked: [UInt8] = []

  /// - Parameters:
  ///   - path: `-` is standard input.
  ///   - isPeek: standard input can be read again from here.
  init(_ path: String, isPeek: Bool = false) throws(WeirError) {
    self.path = path
    self.isPeek = isPeek
    descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
    input = [UInt8](repeating: 0, count: 256 << 10)
    guard descriptor >= 0 else { throw FileSystem.error("open the capture", path) }
    try sniff()
  }

  deinit {
    switch form {
    case .plain: break
    case .gzip(let stream):
      inflateEnd(stream)
      stream.deallocate()
    case .zstd(let stream): ZSTD_freeDStream(stream)
    }
    if isPeek { StandardInput.keep(peeked) }
    if descriptor > 0 { close(descriptor) }
  }

  private func sniff() throws(WeirError) {
    while inputEnd < 4, try fill(at: inputEnd) {}
    if inputEnd >= 2, input[0] == 0x1F, input[1] == 0x8B {
      let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
      stream.initialize(to: z_stream())
      guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
        throw WeirError("storage", "zlib does not start")
      }
      form = .gzip(stream)
    } else if inputEnd >= 4, input[0] == 0x28, input[1] == 0xB5, input[2] == 0x2F, input[3] == 0xFD {
      guard let stream = ZSTD_createDStream() else { throw WeirError("storage", "libzstd does not start") }
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
    if path == "-" {
      let n = StandardInput.takeKept(target, count)
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
      if ZSTD_isError(result) != 0 { throw broken(String(cString: ZSTD_getErrorName(result))) }
      isInside = result != 0
      if !hasInput, out.pos == 0 { throw broken("it ends in the middle") }
    }
    return out.pos
  }
}

/// What a look ahead took from standard input and the next reader gets first. One a process, as standard input is.
private enum StandardInput {
  private static let kept = Mutex<[UInt8]>([])

  static func keep(_ bytes: [UInt8]) { kept.withLock { $0 = bytes + $0 } }

  /// Moves up to `count` kept bytes to `target`.
  static func takeKept(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
    kept.withLock { bytes in
      let n = min(count, bytes.count)
      bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { target.update(from: base, count: n) } }
      bytes.removeFirst(n)
      return n
    }
  }
}
