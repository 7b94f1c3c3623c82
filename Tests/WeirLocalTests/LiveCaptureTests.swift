import Foundation
import Testing
import WeirCore

@testable import WeirLocal

@Suite struct LiveCaptureTests {
  private struct Numbers: RandomSource { func next() -> UInt64 { 7 } }

  private func directory() -> String { NSTemporaryDirectory() + "weir-capture-\(UUID().uuidString)" }

  /// Records `positions` of a shard, with a null value, a null key and headers among them.
  private func block(_ shard: String, _ positions: Range<Int64>, next: Int64? = nil) -> RecordedBlock {
    var block = RecordedBlock(shard: shard, first: positions.lowerBound, next: next ?? positions.upperBound)
    for position in positions {
      let (key, value) = (Array("k\(position)".utf8), Array("value \(position)".utf8))
      block.positions.append(position)
      block.timestamps.append(1_700_000_000_000 + position)
      block.keyLength.append(position % 3 == 0 ? -1 : Int32(key.count))
      block.valueLength.append(position % 5 == 1 ? -1 : Int32(value.count))
      block.headerCount.append(position % 2 == 0 ? 2 : 0)
      if position % 3 != 0 { block.text += key }
      if position % 5 != 1 { block.text += value }
      if position % 2 == 0 {
        block.headers += [.init(nameLength: 1, valueLength: 2), .init(nameLength: 1, valueLength: -1)]
        block.text += Array("aXYa".utf8)
      }
    }
    block.timeKind = .created
    return block
  }

  private let shards = [SourceShard(name: "t/0", stream: "t", number: 0), SourceShard(name: "t/1", stream: "t", number: 1)]

  private func make(_ directory: String, rollBytes: Int64 = 1 << 20) throws -> LiveCaptureWriter {
    let writer = try LiveCaptureWriter(.init(directory: directory, rollBytes: rollBytes), random: Numbers())
    try writer.add(shards, starts: ["t/0": 0, "t/1": 10], now: 0)
    return writer
  }

  private func events(_ capture: LiveCapture, _ steps: [[RecordedRange]]) async throws -> [String] {
    let source = capture.source(steps)
    var all: [String] = []
    while true {
      switch try await source.next() {
      case .block(let raw, _):
        let details = try #require(raw.details)
        guard case .spans(let offset, let length) = raw.framing else { continue }
        for (row, position) in details.positions.enumerated() {
          let value = withExtendedLifetime(raw) {
            String(decoding: UnsafeBufferPointer(start: raw.text.base + Int(offset[row]), count: Int(length[row])), as: UTF8.self)
          }
          let key = details.key(row, in: raw.text).map { String(decoding: $0.bytes, as: UTF8.self) } ?? "-"
          all.append("\(details.shard) \(position) \(key) \(value) \(details.headers(row) ?? "-")")
        }
      case .cut(let number, _): all.append("cut \(number)")
      case .caughtUp, .outOfRange, .closed: Issue.record("a capture says nothing of a live shard")
      case .end:
        await source.close()
        return all
      }
    }
  }

  @Test func recordsComeBackWholeByAnyRangesAcrossFramesAndSegments() async throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var writer: LiveCaptureWriter? = try make(directory, rollBytes: 300)
    for i in 0..<Int64(6) { try writer?.write([block("t/0", i * 4..<i * 4 + 4), block("t/1", 10 + i * 3..<13 + i * 3)], now: i) }
    writer = nil
    let capture = try LiveCapture(directory)
    #expect(capture.bounds == ["t/0": ShardBounds(low: 0, high: 24), "t/1": ShardBounds(low: 10, high: 28)] && capture.records == 42)
    #expect(try SegmentFile.paths(in: directory).count > 2)
    let found = try await events(
      capture, [[.init(shard: "t/0", from: 3, to: 9)], [.init(shard: "t/1", from: 10, to: 11), .init(shard: "t/0", from: 9, to: 10)]])
    let wanted = (Int64(3)..<9).map { line("t/0", $0) } + ["cut 0", line("t/1", 10), line("t/0", 9), "cut 1"]
    #expect(found == wanted)
  }

  /// The doubt belongs to the first records that come after it, whichever run of a replay takes them.
  @Test func whyAShardCouldNotBeVerifiedIsInTheCaptureAndComesWithItsNextRecords() async throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var writer: LiveCaptureWriter? = try make(directory)
    try writer?.write([block("t/0", 0..<4), block("t/1", 10..<13)], now: 1)
    try writer?.note(unverified: ["t/0": "compacted", "u/9": "not here"], now: 2)
    #expect(
      try LiveCapture(directory).steps(after: [:], bytes: 1 << 20).flatMap { $0 }.map(\.unverified) == [[], []], "no record followed")
    try writer?.write([block("t/0", 4..<8), block("t/1", 13..<16)], now: 3)
    writer = nil
    let again = try LiveCaptureWriter(.init(directory: directory), random: Numbers())
    try again.write([block("t/0", 8..<9)], now: 4)
    let capture = try LiveCapture(directory)
    #expect(capture.steps(after: [:], bytes: 1 << 20).flatMap { $0 }.map(\.unverified) == [["compacted"], []])
    #expect(capture.steps(after: ["t/0": 4, "t/1": 10], bytes: 1).flatMap { $0 }.map(\.unverified) == [[], ["compacted"], [], []])
    #expect(capture.steps(after: ["t/0": 8, "t/1": 16], bytes: 1).flatMap { $0 }.map(\.unverified) == [[]])
  }

  @Test func aSegmentThatIsMissingOrRenamedIsSeenByWhoReadsAndByWhoGoesOn() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    // Each segment begins a shard of its own, so that nothing but its number tells of those before.
    for number in 0..<Int64(3) {
      let shard = SourceShard(name: "t/\(number)", stream: "t", number: Int(number))
      var writer: LiveCaptureWriter? = try LiveCaptureWriter(.init(directory: directory, rollBytes: 1), random: Numbers())
      try writer?.add([shard], starts: [shard.name: 0], now: number)
      try writer?.write([block(shard.name, 0..<4)], now: number)
      writer = nil
    }
    let paths = try SegmentFile.paths(in: directory)
    let last = try #require(paths.last)
    func refused(_ words: String) {
      for attempt in [{ _ = try LiveCapture(directory) }, { _ = try make(directory) }] {
        let error = #expect(throws: WeirError.self) { try attempt() }
        #expect(
          error?.code == .corrupt && error?.message.contains(words) == true && error?.message.contains(last) == true,
          "\(String(describing: error))")
      }
    }
    let renamed = directory + "/" + LiveCaptureFormat.fileName(Int64(paths.count))
    try FileManager.default.moveItem(atPath: paths[0], toPath: paths[0] + ".aside")
    #expect(throws: WeirError.self) { _ = try LiveCapture(directory) }
    for path in paths.dropFirst().dropLast() { try FileManager.default.removeItem(atPath: path) }
    refused("segment \(paths.count - 1) of the capture, in the place of segment 0")
    try FileManager.default.moveItem(atPath: paths[0] + ".aside", toPath: paths[0])
    refused("in the place of segment 1:")
    try FileManager.default.removeItem(atPath: last)
    try FileManager.default.copyItem(atPath: paths[0], toPath: renamed)
    #expect(throws: WeirError.self) { _ = try LiveCapture(directory) }
  }

  /// Microseconds or nanoseconds by mistake: as a time of arrival they are none, and no arithmetic meets them.
  @Test(
    arguments: [
      (0, 0), (1_700_000_000_000, 1_700_000_000_000_000), (253_402_300_799_999, 253_402_300_799_999_000),
      (253_402_300_800_000, nil), (9_223_372_036_854_775, nil), (9_223_372_036_854_776, nil), (1_700_000_000_000_000_000, nil),
      (4_611_686_018_427_387_904, nil), (Int64.max, nil), (-1, nil), (Int64.min, nil),
    ] as [(Int64, Int64?)])
  func aTimestampThatIsNoTimeOfTheseYearsIsNoArrival(milliseconds: Int64, arrival: Int64?) {
    var block = RecordedBlock(shard: "t/0", first: 0, next: 1)
    block.positions = [0]
    block.timestamps = [milliseconds]
    (block.keyLength, block.valueLength, block.headerCount) = ([-1], [2], [0])
    block.text = Array("{}".utf8)
    #expect(block.raw(in: 0..<1)?.details?.arrivals == [arrival ?? RecordDetails.noArrival])
  }

  private func line(_ shard: String, _ p: Int64) -> String {
    let headers = p % 2 == 0 ? "[[\"a\",\"XY\"],[\"a\",null]]" : "-"
    return "\(shard) \(p) \(p % 3 == 0 ? "-" : "k\(p)") \(p % 5 == 1 ? "" : "value \(p)") \(headers)"
  }

  @Test func stepsAfterAnyPositionsTogetherReadEverythingBehindThemOnce() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let writer = try make(directory)
    for i in 0..<Int64(6) { try writer.write([block("t/0", i * 4..<i * 4 + 4), block("t/1", 10 + i * 3..<13 + i * 3)], now: i) }
    let capture = try LiveCapture(directory)
    let all = capture.steps(after: [:], bytes: 600)
    #expect(all.count > 2)
    for stop in 0...all.count {
      var positions: [String: Int64] = [:]
      for range in all[..<stop].joined() { positions[range.shard] = range.to }
      #expect(capture.steps(after: positions, bytes: 600) == Array(all[stop...]), "going on behind step \(stop) gives the same steps")
    }
  }

  @Test func aFlippedBitInAnyByteIsRefusedOrIsTheTornEnd() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var writer: LiveCaptureWriter? = try make(directory)
    try writer?.write([block("t/0", 0..<5)], now: 0)
    try writer?.write([block("t/0", 5..<9)], now: 0)
    writer = nil
    let path = try #require(try SegmentFile.paths(in: directory).first)
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    let good = try LiveCapture(directory)
    let blocks = [try good.block(0), try good.block(1)].map { FramePayload.encode($0) }
    for byte in 0..<whole.count {
      let bit = byte * 8 + byte % 8
      var bytes = whole
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      try bytes.write(to: URL(fileURLWithPath: path))
      do {
        let capture = try LiveCapture(directory)
        let found = try capture.frames.indices.map { FramePayload.encode(try capture.block($0)) }
        // Only the last frame is taken for a torn end if it is no frame any more, and told.
        #expect(capture.tornBytes > 0 && found == [blocks[0]], "bit \(bit)")
      } catch { #expect([.corrupt, .config].contains((error as? WeirError)?.code), "bit \(bit): \(error)") }
    }
  }

  @Test func aWriterThatWasCutOffAnywhereGoesOnBehindTheLastWholeFrame() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var writer: LiveCaptureWriter? = try make(directory)
    var ends: [Int: Int64] = [:]
    let path = directory + "/" + LiveCaptureFormat.fileName(0)
    ends[try Data(contentsOf: URL(fileURLWithPath: path)).count] = 0
    for i in 0..<Int64(3) {
      try writer?.write([block("t/0", i * 3..<i * 3 + 3)], now: 0)
      ends[try Data(contentsOf: URL(fileURLWithPath: path)).count] = i * 3 + 3
    }
    writer = nil
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    let first = try #require(ends.keys.min())
    for size in first...whole.count {
      try whole.prefix(size).write(to: URL(fileURLWithPath: path))
      let again = try LiveCaptureWriter(.init(directory: directory), random: Numbers())
      let wanted = ends.filter { $0.key <= size }.values.max()
      #expect(again.positions["t/0"] == wanted && again.records == wanted, "cut at \(size)")
      #expect(again.keptFile == nil, "cut at \(size): an unfinished write is no damage")
    }
  }

  @Test func whatLiesBehindADamagedPlaceIsKeptWhenTheWriterGoesOn() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var writer: LiveCaptureWriter? = try make(directory)
    let path = directory + "/" + LiveCaptureFormat.fileName(0)
    let start = try Data(contentsOf: URL(fileURLWithPath: path)).count
    for i in 0..<Int64(4) { try writer?.write([block("t/0", i * 3..<i * 3 + 3)], now: 0) }
    writer = nil
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[start + 70] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    let again = try LiveCaptureWriter(.init(directory: directory), random: Numbers())
    let kept = try #require(again.keptFile)
    #expect(try Data(contentsOf: URL(fileURLWithPath: kept)) == bytes[start...], "what was captured is not thrown away")
    #expect(again.positions["t/0"] == 0 && again.records == 0 && again.tornBytes == Int64(bytes.count - start))
    #expect(try LiveCapture(directory).records == 0)
  }

  @Test func whatWasLostAndWhatCameBehindItAreWrittenTogether() throws {
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let writer = try make(directory)
    var lost = RecordedBlock(shard: "t/0", first: 0, next: 7)
    lost.isLost = true
    try writer.write([lost, block("t/0", 7..<9), block("t/1", 10..<12), block("t/0", 9..<10)], now: 0)
    #expect(writer.positions == ["t/0": 10, "t/1": 12] && writer.records == 5)
    let capture = try LiveCapture(directory)
    #expect(capture.records == 5 && capture.bounds["t/0"] == ShardBounds(low: 0, high: 10))
    #expect(capture.steps(after: [:], bytes: 1 << 20).first?.first { $0.shard == "t/0" }?.lost == [0..<7])
    #expect(throws: WeirError.self) { try writer.write([block("t/0", 11..<12)], now: 0) }
  }

  /// What a later run compares with the source: the last record, and one that was there before it.
  @Test func aCaptureRemembersRecordsOfEachShardOverSegmentsAndRuns() throws {
    let path = directory()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let before = Fingerprint(position: 9, timestamp: nil, checksum: Hash128(low: 1, high: 2))
    do {
      let writer = try LiveCaptureWriter(.init(directory: path, rollBytes: 1), random: Numbers())
      try writer.add(shards, starts: ["t/0": 0, "t/1": 10], before: ["t/1": before], now: 0)
      try writer.write([block("t/0", 0..<4), block("t/1", 10..<12)], now: 0)
      #expect(writer.identities["t/0"]?.anchor == block("t/0", 0..<4).fingerprint(0))
      // In a segment of its own, and nothing of t/1 in it.
      try writer.write([block("t/0", 4..<6)], now: 0)
      var outcome = ShardCheck.Outcome()
      outcome.newest = block("t/0", 4..<6).fingerprint(1)
      writer.adopt(outcome, of: "t/0")
      try writer.write([block("t/0", 6..<9)], now: 0)
    }
    let again = try LiveCaptureWriter(.init(directory: path), random: Numbers())
    #expect(
      again.identities["t/0"]
        == ShardIdentity(
          last: block("t/0", 6..<9).fingerprint(2), anchor: block("t/0", 4..<6).fingerprint(1), older: [block("t/0", 0..<4).fingerprint(0)!]
        ))
    #expect(again.identities["t/1"] == ShardIdentity(last: block("t/1", 10..<12).fingerprint(1), anchor: before))
  }

  @Test(arguments: [1, 40, 100, 1 << 20]) func aLargeFrameIsHandedOutInBlocksOfTheSameRecords(_ bytesMax: Int) throws {
    var block = RecordedBlock(shard: "t/0", first: 0, next: 30)
    block.timeKind = .created
    for row in 0..<30 as Range<Int64> {
      let (key, value) = ("k\(row)", row % 7 == 0 ? "" : String(repeating: "v", count: Int(row)))
      block.positions.append(row)
      block.timestamps.append(1_700_000_000_000 + row)
      block.keyLength.append(row % 5 == 0 ? -1 : Int32(key.utf8.count))
      block.valueLength.append(row % 11 == 0 ? -1 : Int32(value.utf8.count))
      block.headerCount.append(UInt32(row % 3))
      block.text += (row % 5 == 0 ? [] : Array(key.utf8)) + (row % 11 == 0 ? [] : Array(value.utf8))
      for header in 0..<row % 3 {
        block.headers.append(.init(nameLength: 2, valueLength: 1))
        block.text += Array("h\(header)\(row % 10)".utf8)
      }
    }
    func rows(_ raw: RawBlock) -> [String] {
      guard case .spans(let offset, let length) = raw.framing, let details = raw.details else { return [] }
      return offset.indices.map { row in
        let value = withExtendedLifetime(raw) {
          StringRef(start: UnsafePointer(raw.text.base) + Int(offset[row]), count: Int(length[row])).description
        }
        let key = details.key(row, in: raw.text)?.description ?? "-"
        return
          "\(details.positions[row]) \(details.arrivals[row]) \(key) \(details.isTombstone(row)) \(value) \(details.headers(row) ?? "-")"
      }
    }
    for range in [0..<30, 3..<17, 29..<40, 40..<50] as [Range<Int64>] {
      let pieces = block.pieces(in: range, bytesMax: bytesMax)
      #expect(pieces.flatMap(rows) == block.raw(in: range).map(rows) ?? [])
      #expect(pieces.flatMap(rows).count == range.clamped(to: 0..<30).count)
      #expect(pieces.allSatisfy { $0.count <= bytesMax || $0.details?.positions.count == 1 })
    }
    #expect(block.raw(in: 4..<5).map(rows)?.first?.hasPrefix("4 1700000000004000 k4 false vvvv [[\"h0\"") == true)
  }

  /// A live source's block gives the same, or every resumed capture would be refused.
  @Test func aRecordInACaptureHasTheFingerprintThatItHasAtTheSource() throws {
    let block = block("t/0", 0..<20)
    let raw = try #require(block.raw(in: 0..<20))
    for row in 0..<20 { #expect(block.fingerprint(row) == raw.fingerprint(row) && block.fingerprint(row) != nil) }
    #expect(Set((0..<20).map { block.fingerprint($0)?.checksum }).count > 10)
  }

  /// Numbers that no writer writes, under valid checksums: what does not throw must be fit for use, since a trap ends the test process.
  @Test func hostileNumbersInASegmentAreRefusedOrHarmless() async throws {
    let source = directory()
    defer { try? FileManager.default.removeItem(atPath: source) }
    do {
      let writer = try make(source)
      try writer.write([block("t/0", 0..<4), block("t/1", 10..<13)], now: 1)
    }
    let name = LiveCaptureFormat.fileName(0)
    let bytes = try #require(FileManager.default.contents(atPath: source + "/" + name).map(Array.init))
    let length = bytes[8..<12].reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONValue(parsing: bytes[16..<16 + length])
    let frames = Array(bytes[(16 + length)...])
    var segments: [[UInt8]] = []
    for number in [0, 1, -1, 1 << 31, 1 << 53, 1 << 62, (1 << 62) + 1, .max - 1, .max, .min] as [Int64] {
      for mutant in mutants(header, .int(number)) {
        let json = mutant.bytes
        var out = ByteWriter()
        for byte in LiveCaptureFormat.magic { out.write(byte) }
        out.write(UInt32(json.count))
        out.write(json.withUnsafeBytes { LiveCaptureFormat.checksum($0) })
        segments.append(out.bytes + json + frames)
      }
      for (at, size) in [(8, 4), (12, 4), (16, 8), (24, 8), (32, 4), (36, 4), (40, 4)] {
        var frame = Array(frames[..<64])
        for i in 0..<size { frame[at + i] = UInt8(truncatingIfNeeded: number >> Int64(8 * i)) }
        let payloadBytes = frames[8..<12].reversed().reduce(0) { $0 << 8 | Int($1) }
        let payload = Array(frames[64..<64 + payloadBytes])
        if let parsed = FrameHeader(frame) { frame = parsed.bytes(crc: parsed.sum(payload)) }
        segments.append(Array(bytes[..<(16 + length)]) + frame + Array(frames[64...]))
      }
    }
    let directory = directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    for segment in segments {
      try? FileManager.default.removeItem(atPath: directory)
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try Data(segment).write(to: URL(fileURLWithPath: directory + "/" + name))
      if let capture = try? LiveCapture(directory) {
        _ = try? await events(capture, capture.steps(after: [:], bytes: 10))
        _ = try? capture.firstBytes(count: 1000)
      }
      let writer = try? LiveCaptureWriter(.init(directory: directory), random: Numbers())
      if let writer {
        try? writer.add(shards + [SourceShard(name: "t/2", stream: "t", number: 2)], starts: [:], now: 5)
        try? writer.write([block("t/2", 0..<3)], now: .max / 2)
      }
    }
  }

  private func mutants(_ value: JSONValue, _ number: JSONValue) -> [JSONValue] {
    var all: [JSONValue] = []
    switch value {
    case .int: all.append(number)
    case .array(let items):
      for i in items.indices {
        for mutant in mutants(items[i], number) {
          var changed = items
          changed[i] = mutant
          all.append(.array(changed))
        }
      }
    case .object(let members):
      for i in members.indices {
        for mutant in mutants(members[i].value, number) {
          var changed = members
          changed[i].value = mutant
          all.append(.object(changed))
        }
      }
    default: break
    }
    return all
  }

  @Test func clocksAndFilesMayStateAnyYear() {
    for seconds in [Int.min, -1, 0, 9_300_000_000, 253_402_300_800, Int.max / 1_000_000, Int.max] {
      let time = timespec(tv_sec: seconds, tv_nsec: 999_999_999)
      let micros = SystemClock.microseconds(time)
      #expect(abs(micros) <= Bounds.time)
      _ = (SystemClock.nanoseconds(time), CivilTime.text(ofMicroseconds: micros))
    }
    // 2264, beyond 64 bits of nanoseconds.
    #expect(SystemClock.microseconds(timespec(tv_sec: 9_300_000_000, tv_nsec: 5000)) == 9_300_000_000_000_005)
    for micros in [Int64.min, Int64.min + 1, -1, 0, Int64.max] { _ = CivilTime.text(ofMicroseconds: micros) }
    #expect(CivilTime.text(ofMicroseconds: -1) == "1969-12-31T23:59:59.999999Z")
  }
}
