import CZlib
import CZstd
import WeirCore

/// The files of a capture of a live stream: a directory of segments, each a header and frames, appended to and never changed.
///
/// ```
/// segment   "WEIRCAP1"  length u32  crc32 u32  header (JSON, `length` bytes)  frame*
/// frame     64 bytes of header, then `payload` bytes: one zstd frame (RFC 8878)
/// ```
/// Numbers are little-endian, checksums CRC-32 (ISO 3309, zlib's). The page "Capturing a live stream" has every field. A frame
/// holds records of one shard; the frames of a shard follow one another without holes, over all segments.
enum LiveCaptureFormat {
  static let magic = Array("WEIRCAP1".utf8)
  static let frameMagic: UInt32 = 0x4D52_4657  // "WFRM"
  static let frameHeaderBytes = 64
  static let version: Int64 = 1
  /// Of segments with shards whose records are counted. Earlier versions of Weir refuse it by name.
  static let versionOfCounted: Int64 = 2
  static let fileSuffix = ".wcap"
  /// Uncompressed, of one frame. librdkafka's records are smaller than this.
  static let frameBytesMax = (1 << 30) + (64 << 20)
  /// Of a segment's header: some hundred bytes a shard.
  static let headerBytesMax = 16 << 20

  static func fileName(_ segment: Int64) -> String {
    let text = String(segment)
    return "segment-" + String(repeating: "0", count: max(0, 8 - text.utf8.count)) + text + fileSuffix
  }

  static func checksum(_ bytes: UnsafeRawBufferPointer, continuing sum: UInt32 = 0) -> UInt32 {
    UInt32(truncatingIfNeeded: crc32_z(UInt(sum), bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
  }

  static func corrupt(_ path: String, _ why: String) -> WeirError {
    WeirError(.corrupt, "the capture \(path) is damaged: \(why)", advice: "Restore the file from a copy, or start a new capture.")
  }
}

/// The beginning of a segment: enough to read it, and to continue after it, without those before.
struct SegmentHeader: Sendable {
  struct Shard: Sendable, Equatable {
    var shard: SourceShard
    /// Where its first frame in this segment begins.
    var position: Int64
    /// Of the records before that; nil: not known.
    var identity: ShardIdentity?
    /// Why it could not be verified, when the segment was begun, that the shard is the one of the records before; nil: there is no doubt.
    var unverified: String?
    /// Of a counted source: the source's position that belongs to ``position``.
    var sequence: SequenceNumber?
    /// What a counted source lost right before ``position``, in words; nil: nothing since the segment before.
    var lost: String?
    /// The shard ended at the source, and everything of it is captured.
    var isEnded = false
  }

  /// Of the capture: the same in all segments (hex).
  var capture: String
  var segment: Int64
  /// When it was made, UTC microseconds since 1970.
  var created: Int64
  /// Records in the segments before.
  var records: Int64
  var shards: [Shard]

  var bytes: [UInt8] {
    let json = JSONValue.members([
      "format": .int(shards.contains { $0.sequence != nil } ? LiveCaptureFormat.versionOfCounted : LiveCaptureFormat.version),
      "capture": .string(capture), "segment": .int(segment), "created_us": .int(created),
      "records_before": .int(records),
      "shards": .array(
        shards.map { item in
          let members: [JSONValue.Member] = [
            .init("shard", .string(item.shard.name)), .init("topic", .string(item.shard.stream)),
            .init("partition", .int(Int64(item.shard.number))), .init("position", .int(item.position)),
          ]
          return .object(
            members + (item.identity.map { [.init("identity", $0.json)] } ?? [])
              + (item.unverified.map { [.init("unverified", .string($0))] } ?? []) + item.counted)
        }),
    ]).bytes
    var out = ByteWriter()
    LiveCaptureFormat.magic.withUnsafeBytes { out.write(raw: $0) }
    out.write(UInt32(json.count))
    out.write(json.withUnsafeBytes { LiveCaptureFormat.checksum($0) })
    json.withUnsafeBytes { out.write(raw: $0) }
    return out.bytes
  }

  /// - Parameter json: the header after its first 16 bytes.
  init(json: [UInt8], path: String) throws(WeirError) {
    guard let value = try? JSONValue(parsing: json), let version = value["format"]?.int else {
      throw LiveCaptureFormat.corrupt(path, "its header is not valid JSON")
    }
    guard (LiveCaptureFormat.version...LiveCaptureFormat.versionOfCounted).contains(version) else {
      throw WeirError(
        .config, "the capture \(path) has format \(version), this program reads \(LiveCaptureFormat.versionOfCounted)",
        advice: "Use the version of Weir that wrote it, or a newer one.")
    }
    guard let capture = value["capture"]?.string, let segment = value["segment"]?.int, let created = value["created_us"]?.int,
      let records = value["records_before"]?.int, let shards = value["shards"]?.array
    else { throw LiveCaptureFormat.corrupt(path, "its header lacks a member") }
    guard Bounds.isCount(segment), Bounds.isCount(records), (-Bounds.time...Bounds.time).contains(created) else {
      throw LiveCaptureFormat.corrupt(path, "a number in its header is out of range")
    }
    (self.capture, self.segment, self.created, self.records) = (capture, segment, created, records)
    self.shards = []
    for item in shards {
      guard let name = item["shard"]?.string, let topic = item["topic"]?.string, let number = item["partition"]?.int,
        let position = item["position"]?.int
      else { throw LiveCaptureFormat.corrupt(path, "a shard in its header lacks a member") }
      guard (0...Int64(Int32.max)).contains(number), Bounds.isPosition(position) else {
        throw LiveCaptureFormat.corrupt(path, "a number of the shard \(name) in its header is out of range")
      }
      let identity = item["identity"].flatMap { ShardIdentity(json: $0) }
      var shard = Shard(
        shard: SourceShard(name: name, stream: topic, number: Int(number)), position: position, identity: identity,
        unverified: item["unverified"]?.string)
      guard shard.readCounted(item) else {
        throw LiveCaptureFormat.corrupt(path, "a member of the shard \(name) in its header is not what was written")
      }
      self.shards.append(shard)
    }
  }

  /// Segments are numbered from 0 without holes: one that is missing, also the first, would be an unnoticed loss.
  func check(number: Int, _ path: String) throws(WeirError) {
    guard segment != Int64(number) else { return }
    throw LiveCaptureFormat.corrupt(
      path, "it is segment \(segment) of the capture, in the place of segment \(number): is a segment missing, or was one renamed?")
  }

  init(capture: String, segment: Int64, created: Int64, records: Int64, shards: [Shard]) {
    self.capture = capture
    self.segment = segment
    self.created = created
    self.records = records
    self.shards = shards
  }
}

extension SegmentHeader.Shard {
  /// What only shards have whose records are counted.
  var counted: [JSONValue.Member] {
    guard let sequence else { return [] }
    var members: [JSONValue.Member] = [.init("sequence", .string(sequence.text))]
    if !shard.parents.isEmpty { members.append(.init("parents", .array(shard.parents.map { .string($0) }))) }
    if let range = shard.hashRange { members.append(.init("range", .string(range.text))) }
    if let lost { members.append(.init("lost", .string(lost))) }
    if isEnded { members.append(.init("ended", .bool(true))) }
    return members
  }

  /// - Returns: false: a member is not what ``counted`` writes.
  mutating func readCounted(_ item: JSONValue) -> Bool {
    guard let text = item["sequence"] else { return true }
    guard let number = text.string.flatMap(SequenceNumber.init(text:)) else { return false }
    sequence = number
    for parent in item["parents"]?.array ?? [] {
      guard let name = parent.string else { return false }
      shard.parents.append(name)
    }
    if let range = item["range"] {
      guard let range = range.string.flatMap(HashRange.init(text:)) else { return false }
      shard.hashRange = range
    }
    lost = item["lost"]?.string
    isEnded = item["ended"] == .bool(true)
    return true
  }
}

/// A frame's header, with the frame's location.
package struct FrameHeader: Sendable {
  var crc: UInt32 = 0
  /// Compressed bytes after the header.
  var payload: UInt32 = 0
  /// The same uncompressed.
  var uncompressed: UInt32 = 0
  var first: Int64 = 0
  var next: Int64 = 0
  /// Its number among the segment's shards.
  var shard: UInt32 = 0
  var records: UInt32 = 0
  var headers: UInt32 = 0
  var timeKind: UInt8 = 0
  var isLost = false
  /// The payload has the source's number of each record.
  var isCounted = false

  /// The header's bytes, all but magic and checksum checked by the latter.
  package func bytes(crc: UInt32) -> [UInt8] {
    var out = ByteWriter()
    out.write(LiveCaptureFormat.frameMagic)
    out.write(crc)
    out.write(payload)
    out.write(uncompressed)
    out.write(first)
    out.write(next)
    out.write(shard)
    out.write(records)
    out.write(headers)
    out.write(timeKind)
    out.write(UInt8(isLost ? 1 : 0))
    out.write(UInt8(isCounted ? 1 : 0))
    for _ in out.bytes.count..<LiveCaptureFormat.frameHeaderBytes { out.write(UInt8(0)) }
    return out.bytes
  }

  init() {}

  /// Of a block's frame, all but its shard and its payload's sizes.
  package init(of block: RecordedBlock) {
    (first, next) = (block.first, block.next)
    records = UInt32(block.count)
    headers = UInt32(block.headers.count)
    timeKind = block.timeKind.rawValue
    isLost = block.isLost
    isCounted = !block.sequences.isEmpty
  }

  /// nil: these are not 64 bytes of a frame's header.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == LiveCaptureFormat.frameHeaderBytes else { return nil }
    func number<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> T {
      bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
    }
    guard number(0, UInt32.self) == LiveCaptureFormat.frameMagic else { return nil }
    crc = number(4, UInt32.self)
    payload = number(8, UInt32.self)
    uncompressed = number(12, UInt32.self)
    first = number(16, Int64.self)
    next = number(24, Int64.self)
    shard = number(32, UInt32.self)
    records = number(36, UInt32.self)
    headers = number(40, UInt32.self)
    timeKind = bytes[44]
    isLost = bytes[45] == 1
    isCounted = bytes[46] == 1
    guard bytes[45...46].allSatisfy({ $0 <= 1 }), bytes[47...].allSatisfy({ $0 == 0 }), Bounds.isPosition(first), Bounds.isPosition(next),
      next >= first,
      Int(uncompressed) <= LiveCaptureFormat.frameBytesMax, Int(payload) <= LiveCaptureFormat.frameBytesMax
    else { return nil }
  }
}

/// Blocks as payloads of frames, and back.
package enum FramePayload {
  /// Positions, times, lengths and counts column by column, then the source's numbers as lines where it has them, then the text.
  package static func encode(_ block: RecordedBlock) -> [UInt8] {
    var out = ByteWriter()
    out.reserve(block.text.count + block.count * 28 + block.headers.count * 8)
    for value in block.positions { out.write(value) }
    for value in block.timestamps { out.write(value) }
    for value in block.keyLength { out.write(value) }
    for value in block.valueLength { out.write(value) }
    for value in block.headerCount { out.write(value) }
    for header in block.headers {
      out.write(header.nameLength)
      out.write(header.valueLength)
    }
    if !block.sequences.isEmpty {
      let lines = block.sequences.map { $0.text + "\n" }.joined()
      out.write(UInt32(lines.utf8.count))
      Array(lines.utf8).withUnsafeBytes { out.write(raw: $0) }
    }
    block.text.withUnsafeBytes { out.write(raw: $0) }
    return out.bytes
  }

  /// nil: the lengths do not fit together, so this is not the frame's payload.
  package static func decode(_ bytes: [UInt8], _ frame: FrameHeader, shard: String) -> RecordedBlock? {
    var block = RecordedBlock(shard: shard, first: frame.first, next: frame.next)
    block.isLost = frame.isLost
    guard let kind = RecordedBlock.TimeKind(rawValue: frame.timeKind) else { return nil }
    block.timeKind = kind
    let (count, headers) = (Int(frame.records), Int(frame.headers))
    guard bytes.count >= count * 28 + headers * 8 else { return nil }
    var at = 0
    func column<T: FixedWidthInteger>(_ count: Int, _: T.Type) -> [T] {
      defer { at += count * MemoryLayout<T>.size }
      return bytes.withUnsafeBytes { raw in
        (0..<count).map { T(littleEndian: raw.loadUnaligned(fromByteOffset: at + $0 * MemoryLayout<T>.size, as: T.self)) }
      }
    }
    block.positions = column(count, Int64.self)
    block.timestamps = column(count, Int64.self)
    block.keyLength = column(count, Int32.self)
    block.valueLength = column(count, Int32.self)
    block.headerCount = column(count, UInt32.self)
    let pairs = column(headers * 2, Int32.self)
    block.headers = (0..<headers).map { .init(nameLength: UInt32(bitPattern: pairs[2 * $0]), valueLength: pairs[2 * $0 + 1]) }
    if frame.isCounted {
      guard let (sequences, end) = sequences(bytes, at: at), sequences.count == count, count > 0 else { return nil }
      (block.sequences, at) = (sequences, end)
    }
    block.text = Array(bytes[at...])
    return isWhole(block) ? block : nil
  }

  /// The numbers that are at a place, and where they end; nil: they are damaged.
  private static func sequences(_ bytes: [UInt8], at start: Int) -> ([SequenceNumber], end: Int)? {
    guard bytes.count >= start + 4 else { return nil }
    let length = bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt32.self)) }
    let (from, end) = (start + 4, start + 4 + Int(length))
    guard end <= bytes.count, length == 0 || bytes[end - 1] == UInt8(ascii: "\n") else { return nil }
    var all: [SequenceNumber] = []
    for line in bytes[from..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast() {
      guard let number = SequenceNumber(text: String(decoding: line, as: UTF8.self)) else { return nil }
      if let last = all.last, last >= number { return nil }
      all.append(number)
    }
    return (all, end)
  }

  private static func isWhole(_ block: RecordedBlock) -> Bool {
    var total = 0
    var previous = block.first - 1
    for row in 0..<block.count {
      guard block.keyLength[row] >= -1, block.valueLength[row] >= -1, block.positions[row] > previous else { return false }
      previous = block.positions[row]
      total += Int(max(0, block.keyLength[row])) + Int(max(0, block.valueLength[row]))
    }
    for header in block.headers {
      guard header.valueLength >= -1 else { return false }
      total += Int(header.nameLength) + Int(max(0, header.valueLength))
    }
    return previous < block.next && total == block.text.count && block.headerCount.reduce(0) { $0 + Int($1) } == block.headers.count
  }
}

/// zstd for whole buffers.
enum Zstd {
  static func compress(_ bytes: [UInt8], level: Int32) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { out, count in
      let n = bytes.withUnsafeBytes { ZSTD_compress(out.baseAddress, out.count, $0.baseAddress, $0.count, level) }
      precondition(ZSTD_isError(n) == 0, "the buffer is as large as zstd asks")
      count = n
    }
  }

  /// nil: the bytes do not decompress to `count` bytes.
  static func uncompress(_ bytes: [UInt8], count: Int) -> [UInt8]? {
    var result = 0
    let out = [UInt8](unsafeUninitializedCapacity: max(1, count)) { out, filled in
      result = bytes.withUnsafeBytes { ZSTD_decompress(out.baseAddress, out.count, $0.baseAddress, $0.count) }
      filled = ZSTD_isError(result) == 0 ? result : 0
    }
    return ZSTD_isError(result) == 0 && result == count ? out : nil
  }
}
