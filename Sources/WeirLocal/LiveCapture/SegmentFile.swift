import Glibc
import WeirCore

/// One segment of a live capture, opened for reading. Blocks.
final class SegmentFile: @unchecked Sendable {
  // Unchecked: the descriptor is only read from by position (pread), and closed once.
  let path: String
  let header: SegmentHeader
  /// Where the first frame begins.
  let framesAt: Int64
  private let descriptor: Int32

  init(_ path: String) throws(WeirError) {
    self.path = path
    let descriptor = try FileSystem.openFile(path, "open the capture's segment")
    do throws(WeirError) {
      let start = try SegmentFile.read(descriptor, 0, 16, path)
      guard start.count == 16, Array(start[0..<8]) == LiveCaptureFormat.magic else {
        throw LiveCaptureFormat.corrupt(path, "it does not begin like a segment of a capture")
      }
      let (length, sum) = start.withUnsafeBytes { bytes in
        (
          UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)),
          UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        )
      }
      guard Int(length) <= LiveCaptureFormat.headerBytesMax else { throw LiveCaptureFormat.corrupt(path, "its header is too long") }
      let json = try SegmentFile.read(descriptor, 16, Int(length), path)
      guard json.count == Int(length), json.withUnsafeBytes({ LiveCaptureFormat.checksum($0) }) == sum else {
        throw LiveCaptureFormat.corrupt(path, "the checksum of its header is wrong")
      }
      header = try SegmentHeader(json: json, path: path)
      framesAt = 16 + Int64(length)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// The file's size now.
  var size: Int64 {
    var info = stat()
    return fstat(descriptor, &info) == 0 ? Int64(info.st_size) : 0
  }

  /// Fewer bytes at the end of the file.
  private static func read(_ descriptor: Int32, _ offset: Int64, _ count: Int, _ path: String) throws(WeirError) -> [UInt8] {
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: max(1, count)) { buffer, done in
      done = 0
      while done < count {
        let n = pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset) + off_t(done))
        if n < 0, errno == EINTR { continue }
        failed = n < 0
        if n <= 0 { break }
        done += n
      }
    }
    if failed { throw FileSystem.error("read", path) }
    return bytes
  }

  /// What is at a place where a frame may begin.
  enum Found {
    case frame(FrameHeader)
    case end
    /// A frame that is not all there, or no frame.
    case torn
  }

  func frame(at offset: Int64) throws(WeirError) -> Found {
    let size = self.size
    if offset == size { return .end }
    let bytes = try SegmentFile.read(descriptor, offset, LiveCaptureFormat.frameHeaderBytes, path)
    guard let frame = FrameHeader(bytes), Int(frame.shard) < header.shards.count,
      offset + Int64(LiveCaptureFormat.frameHeaderBytes) + Int64(frame.payload) <= size
    else { return .torn }
    return .frame(frame)
  }

  /// A whole frame begins somewhere after `offset`: what is there is not an unfinished end, but damage.
  func hasFrame(behind offset: Int64) throws(WeirError) -> Bool {
    let size = self.size
    var at = offset + 1
    let magic = (0..<4).map { UInt8(truncatingIfNeeded: LiveCaptureFormat.frameMagic >> UInt32(8 * $0)) }
    while at < size {
      let chunk = try SegmentFile.read(descriptor, at, 1 << 20, path)
      for i in chunk.indices where chunk[i] == magic[0] && chunk[i...].starts(with: magic) {
        if case .frame(let frame) = try self.frame(at: at + Int64(i)), try block(frame, at: at + Int64(i)) != nil { return true }
      }
      // A magic may span two chunks.
      at += Int64(max(1, chunk.count - 3))
      if chunk.count < 4 { break }
    }
    return false
  }

  /// The frame's records; nil: its bytes are not those that were written.
  func block(_ frame: FrameHeader, at offset: Int64) throws(WeirError) -> RecordedBlock? {
    let payload = try SegmentFile.read(
      descriptor, offset + Int64(LiveCaptureFormat.frameHeaderBytes), Int(frame.payload), path)
    guard payload.count == Int(frame.payload), frame.sum(payload) == frame.crc,
      let bytes = Zstd.uncompress(payload, count: Int(frame.uncompressed))
    else { return nil }
    return FramePayload.decode(bytes, frame, shard: header.shards[Int(frame.shard)].shard.name)
  }

  /// The segments of a directory in their order.
  static func paths(in directory: String) throws(WeirError) -> [String] {
    guard let handle = opendir(directory) else {
      if errno == ENOENT { return [] }
      throw FileSystem.error("list", directory)
    }
    defer { closedir(handle) }
    var names: [String] = []
    while let item = readdir(handle) {
      let name = withUnsafePointer(to: &item.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if LiveCapture.isSegment(name) { names.append(name) }
    }
    return names.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }.map { directory + "/" + $0 }
  }
}

extension FrameHeader {
  /// Over the header after the checksum, and the payload.
  func sum(_ payload: [UInt8]) -> UInt32 {
    let head = bytes(crc: 0)
    let first = head.withUnsafeBytes { LiveCaptureFormat.checksum(UnsafeRawBufferPointer(rebasing: $0[8...])) }
    return payload.withUnsafeBytes { LiveCaptureFormat.checksum($0, continuing: first) }
  }
}
