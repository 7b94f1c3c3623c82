import CZlib
import CZstd
import WeirCore

/// The uncompressed bytes of one capture file: plain, gzip (any number of members) or zstd (any number of frames), recognised
/// by their first bytes. Blocks; used by the reader's thread alone.
final class CaptureBytes {
  private enum Form {
    case plain
    case gzip(UnsafeMutablePointer<z_stream>)
    case zstd(OpaquePointer)
  }

  var path: String { file.name }
  private let file: any CaptureFileBytes
  private var form = Form.plain
  /// Compressed (or, at the beginning of a plain file, sniffed) bytes not yet used.
  private var input: [UInt8]
  private var inputAt = 0
  private var inputEnd = 0
  /// A gzip member or zstd frame is under way.
  private var isInside = false
  /// A gzip member came to its end.
  private var hadMember = false
  /// The first uncompressed bytes, by which formats are recognised; not handed out yet.
  private var head: ArraySlice<UInt8> = []

  /// Bytes read from the file.
  var fileBytesRead: Int64 { file.bytesRead }

  /// - Parameters:
  ///   - file: nothing of it was read.
  ///   - content: what it must hold.
  /// - Throws: `capture_format` for a file of a format that is not read; `config`, `capture_changed`.
  init(_ file: any CaptureFileBytes, _ content: CaptureContent) throws(WeirError) {
    self.file = file
    input = [UInt8](repeating: 0, count: 256 << 10)
    try sniff()
    try refuseOtherFormats(than: content)
  }

  deinit {
    switch form {
    case .plain: break
    case .gzip(let stream):
      inflateEnd(stream)
      stream.deallocate()
    case .zstd(let stream): ZSTD_freeDStream(stream)
    }
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
          .storage, "cannot start zlib for the capture \(path)", advice: "Is enough memory free? Run again.")
      }
      form = .gzip(stream)
    } else if inputEnd >= 4, CaptureBytes.zstdMagics.contains(input[0..<4].reversed().reduce(0) { $0 << 8 | UInt32($1) }) {
      guard let stream = ZSTD_createDStream() else {
        throw WeirError(
          .storage, "cannot start libzstd for the capture \(path)", advice: "Is enough memory free? Run again.")
      }
      form = .zstd(stream)
    }
  }

  /// Looks at the first uncompressed bytes: what is in a gzip or zstd file can be another format, too.
  private func refuseOtherFormats(than content: CaptureContent) throws(WeirError) {
    let count = FileSignature.bytesNeeded
    let first = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
    defer { first.deallocate() }
    var done = 0
    while done < count {
      let n = try readOn(first + done, count - done)
      if n == 0 { break }
      done += n
    }
    head = Array(UnsafeBufferPointer(start: first, count: done))[...]
    guard let found = content.foreign(head) else { return }
    let what = if case .plain = form { "is \(found.name)" } else { "is a compressed file of another format, \(found.name)" }
    let name = path == "-" ? "on standard input" : path
    throw WeirError(.captureFormat, "the capture \(name) \(what), and not \(content.name)", advice: found.captureAdvice(path, for: content))
  }

  /// Reads into `input` from `place` on; false at the end of the file.
  private func fill(at place: Int) throws(WeirError) -> Bool {
    let n = try input.withUnsafeMutableBufferPointer { (buffer) throws(WeirError) -> Int in
      try file.read(into: buffer.baseAddress! + place, count: buffer.count - place)
    }
    inputEnd = place + n
    return n > 0
  }

  /// Up to `count` uncompressed bytes; 0 at the end.
  func read(into target: UnsafeMutablePointer<UInt8>, count: Int) throws(WeirError) -> Int {
    guard head.isEmpty else {
      let n = min(count, head.count)
      head.withUnsafeBufferPointer { target.update(from: $0.baseAddress!, count: n) }
      head = head.dropFirst(n)
      return n
    }
    return try readOn(target, count)
  }

  private func readOn(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Int {
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
    return try file.read(into: target, count: count)
  }

  private func broken(_ why: String) -> WeirError {
    WeirError(
      .corrupt, "the capture \(path) cannot be uncompressed near its byte \(fileBytesRead - Int64(inputEnd - inputAt)): \(why)",
      advice: "The file is damaged or cut short: get a complete copy.")
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
        if isInside { throw broken("it is cut off") }
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
          .config, "the capture \(path) was compressed with a window of more than 128 MiB, which would need as much memory to read",
          advice:
            "\(.compressWithSmallerWindow(path: path))"
        )
      }
      if ZSTD_isError(result) != 0 { throw broken(String(cString: ZSTD_getErrorName(result))) }
      isInside = result != 0
      if !hasInput, out.pos == 0 { throw broken("it is cut off") }
    }
    return out.pos
  }
}
