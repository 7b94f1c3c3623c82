import Glibc
import WeirCore
import WeirLocal
import WeirOperators

extension FuzzTarget {
  private struct Numbers: RandomSource { func next() -> UInt64 { 7 } }

  private static func recorded(_ shard: String, _ positions: Range<Int64>) -> RecordedBlock {
    var block = RecordedBlock(shard: shard, first: positions.lowerBound, next: positions.upperBound + 2)
    for position in positions {
      let (key, value) = (Array("k\(position)".utf8), Array("{\"n\":\(position)}".utf8))
      block.positions.append(position)
      block.timestamps.append(1_700_000_000_000 + position)
      block.keyLength.append(position % 3 == 0 ? -1 : Int32(key.count))
      block.valueLength.append(position % 5 == 1 ? -1 : Int32(value.count))
      block.headerCount.append(position % 2 == 0 ? 2 : 0)
      block.text += (position % 3 == 0 ? [] : key) + (position % 5 == 1 ? [] : value)
      if position % 2 == 0 {
        block.headers += [.init(nameLength: 1, valueLength: 2), .init(nameLength: 1, valueLength: -1)]
        block.text += Array("aXYa".utf8)
      }
    }
    block.timeKind = .created
    return block
  }

  /// All that is done with a block that was read.
  private static func use(_ block: RecordedBlock) {
    if let raw = block.raw(in: block.first..<block.next), case .spans(let offset, let length) = raw.framing {
      for row in offset.indices {
        expect(Int(offset[row]) + Int(length[row]) <= raw.count, "a record beyond its block")
        _ = (raw.details?.headers(row), raw.details?.key(row, in: raw.text)?.bytes.count)
      }
    }
    for row in 0..<block.count { _ = block.fingerprint(row) }
    let half = block.prefix(block.count / 2)
    expect(half.count == block.count / 2, "half of a block has \(half.count) records")
    block.forEachRecord { _, _, _, _ in }
  }

  /// A frame of a live capture: its header of 64 bytes, then its payload, not compressed.
  static let captureFrame = FuzzTarget(
    "capture-frame",
    seeds: {
      var counted = recorded("t/0", 0..<5)
      counted.sequences = (0..<5).map { SequenceNumber(UInt128(49_590) << UInt128($0), sub: UInt64($0)) }
      return [recorded("t/0", 0..<5), recorded("t/0", 7..<8), RecordedBlock(shard: "t/0", first: 3, next: 9), counted].map { block in
        let payload = FramePayload.encode(block)
        return FrameHeader(of: block).bytes(crc: 0) + payload
      }
    }
  ) { input in
    guard let frame = FrameHeader(Array(input.prefix(64))) else { return }
    guard let block = FramePayload.decode(Array(input.dropFirst(64)), frame, shard: "t/0") else { return }
    expect(FramePayload.encode(block) == Array(input.dropFirst(64)), "written it is another payload")
    use(block)
  }

  private static func segment() throws -> [UInt8] {
    let directory = Workspace.directory("capture-seed")
    for name in [".lock", "segment-00000000.wcap"] { unlink(directory + "/" + name) }
    let writer = try LiveCaptureWriter(.init(directory: directory), random: Numbers())
    try writer.add(
      [SourceShard(name: "t/0", stream: "t", number: 0), SourceShard(name: "t/1", stream: "t", number: 1)], starts: ["t/0": 0, "t/1": 10],
      now: 0)
    try writer.write([recorded("t/0", 0..<5), recorded("t/1", 10..<12)], now: 5)
    return Workspace.bytes(directory + "/segment-00000000.wcap")
  }

  /// A segment as it is, and with right checksums of its header and of the frames that are found.
  static let captureSegment = FuzzTarget(
    "capture-segment", words: jsonWords + ["WFRM", "WEIRCAP1", "\"shards\":[", "\"position\":", "\"partition\":"],
    seeds: { [try segment()] }
  ) { input in
    for bytes in [input, resealed(input)] {
      _ = Workspace.directory("capture")
      _ = Workspace.file("capture/segment-00000000.wcap", bytes)
      guard let capture = try? LiveCapture(Workspace.path + "/capture") else { continue }
      _ = try? capture.firstBytes(count: 1 << 20)
      for shard in capture.shards.indices {
        var at = 0
        while let block = try? capture.block(ofShard: shard, at: at) {
          use(block)
          at += 1
        }
      }
      _ = capture.steps(after: [:], bytes: 100)
    }
  }

  private static func resealed(_ input: [UInt8]) -> [UInt8] {
    var bytes = input
    func number(_ at: Int) -> Int { (0..<4).reversed().reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }
    func put(_ sum: UInt32, _ at: Int) { for i in 0..<4 { bytes[at + i] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * i)) } }
    guard bytes.count > 16, 16 + number(8) <= bytes.count else { return bytes }
    put(checksum(bytes[16..<16 + number(8)]), 12)
    var at = 16 + number(8)
    while at + 64 <= bytes.count, at + 64 + number(at + 8) <= bytes.count {
      put(checksum(bytes[at + 8..<at + 64 + number(at + 8)]), at + 4)
      at += 64 + number(at + 8)
    }
    return bytes
  }

  /// CRC-32 as ISO 3309 has it.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { sum, byte in (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in sum >> 1 ^ (sum & 1 == 1 ? 0xEDB8_8320 : 0) } }
  }

  /// A plain capture: lines or other framings, gzip or zstd. Its blocks in their order are its bytes.
  static let captureFile = FuzzTarget(
    "capture-file", words: ["\n", "\r\n", "{}", "}{", "[{", ",", "\"", "\u{1F}\u{8B}", "PAR1"],
    seeds: {
      let text = Array((0..<20).map { "{\"n\":\($0)}\n" }.joined().utf8)
      return [text, Compressed.gzip, Compressed.zstd, Compressed.gzip + Compressed.gzip, Compressed.zstd + Compressed.zstd]
    }
  ) { input in
    let path = Workspace.file("capture.ndjson", input)
    _ = try? CaptureSource.check([path])
    for framing in [nil, .concatenated, .array] as [JSONFormat.Framing?] { try wait { try await follow(path, framing, of: input) } }
  }

  private static func follow(_ path: String, _ framing: JSONFormat.Framing?, of input: [UInt8]) async throws {
    let source = try CaptureSource(
      files: [path], cutBytes: 100, blockBytes: 64, blockRows: 5, framing: JSONFormat(framing).captureFraming)
    var bytes: [UInt8] = []
    var position: Int64 = 0
    // A small file may hold gigabytes: a part of them is enough.
    events: for _ in 0..<2000 {
      let event: SourceEvent
      do { event = try await source.next() } catch { break }
      switch event {
      case .block(let raw, _):
        expect(raw.position == position, "a block at \(raw.position), not at \(position)")
        if case .spans(let offset, let length) = raw.framing {
          for row in offset.indices { expect(Int(offset[row]) + Int(length[row]) <= raw.count, "a record beyond its block") }
        }
        bytes += UnsafeBufferPointer(start: raw.text.base, count: raw.count)
        position += Int64(raw.count)
      case .cut(let at, _): expect(at == position, "a cut at \(at), not at \(position)")
      case .end:
        let isPlain = !input.starts(with: [0x1F, 0x8B]) && !input.starts(with: [0x28, 0xB5, 0x2F, 0xFD])
        if isPlain { expect(bytes == input || bytes == input + [0x0A], "other bytes than those of the file") }
        break events
      case .caughtUp, .outOfRange, .closed: expect(false, "a capture says nothing of a live shard")
      }
    }
    await source.close()
  }

  /// `{"n":1}` and a line end, three times.
  private enum Compressed {
    static let gzip: [UInt8] = [
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 83, 178, 50, 172, 229, 170, 6, 209, 70, 80, 218, 184, 150, 11, 0, 158, 129, 72, 22, 24,
      0, 0, 0,
    ]
    static let zstd: [UInt8] = [
      40, 181, 47, 253, 36, 24, 165, 0, 0, 96, 123, 34, 110, 34, 58, 49, 125, 10, 50, 51, 125, 10, 2, 0, 32, 197, 218, 194, 5, 146, 241, 99,
      179,
    ]
  }
}
