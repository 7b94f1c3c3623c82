import Foundation
import Testing
import WeirCore
import WeirTesting

@testable import WeirLocal

/// Captures of sources that count their records, and whose shards are split and merged.
struct CountedCaptureTests {
  private struct Numbers: RandomSource { func next() -> UInt64 { 7 } }

  private static let parent = SourceShard(name: "s/0", stream: "s", number: 0, hashRange: HashRange(0, 99))
  private static let children = [
    SourceShard(name: "s/1", stream: "s", number: 1, parents: ["s/0"], hashRange: HashRange(0, 49)),
    SourceShard(name: "s/2", stream: "s", number: 2, parents: ["s/0"], hashRange: HashRange(50, 99)),
  ]
  private static let start = ShardPoint.start(at: SequenceNumber(UInt128(0)))

  private func temporary() -> String { NSTemporaryDirectory() + "weir-counted-\(UUID().uuidString)" }

  private func writer(_ directory: String) throws -> LiveCaptureWriter {
    try LiveCaptureWriter(.init(directory: directory), random: Numbers())
  }

  /// Two records of each outer one.
  private func block(_ shard: String, _ positions: Range<Int64>, from digits: UInt128) -> RecordedBlock {
    var block = RecordedBlock(shard: shard, first: positions.lowerBound, next: positions.upperBound)
    for (i, position) in positions.enumerated() {
      block.positions.append(position)
      block.sequences.append(SequenceNumber(digits + UInt128(i / 2), sub: UInt64(i % 2)))
      block.timestamps.append(1_700_000_000_000)
      block.keyLength.append(1)
      block.valueLength.append(1)
      block.headerCount.append(0)
      block.text += Array("kv".utf8)
    }
    block.timeKind = .appended
    return block
  }

  private func ranges(_ capture: LiveCapture, after positions: [String: Int64] = [:], bytes: Int64 = 1 << 20) -> [[String]] {
    capture.steps(after: positions, bytes: bytes).map { step in
      step.map { "\($0.shard) \($0.from)..<\($0.to)\($0.children.map { " ends: \($0.map(\.name))" } ?? "")" }
    }
  }

  @Test func `the source's numbers come back, and a writer continues after the last one`() async throws {
    let directory = temporary()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var first: LiveCaptureWriter? = try writer(directory)
    try first?.add([Self.parent], starts: ["s/0": Self.start], now: 0)
    #expect(first?.point(of: "s/0") == Self.start)
    try first?.write([block("s/0", 0..<5, from: 1000)], now: 1)
    first = nil
    let again = try writer(directory)
    // The fifth record is the first of its outer record: one of that is consumed.
    #expect(again.point(of: "s/0") == ShardPoint(ordinal: 5, sequence: SequenceNumber(1002, sub: 1)))
    let capture = try LiveCapture(directory)
    #expect(capture.countsRecords && capture.shards == [Self.parent])
    let source = capture.source(capture.steps(after: [:], bytes: 1 << 20))
    let event = try await source.next()
    await source.close()
    guard case .block(let raw, _) = event else {
      Issue.record("no block")
      return
    }
    #expect(raw.details?.sequences == block("s/0", 0..<5, from: 1000).sequences)
    #expect(raw.details?.isAppendTime == true)
  }

  @Test func `a shard's end comes after its records and before those of its children, whichever run takes it`() throws {
    let directory = temporary()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var first: LiveCaptureWriter? = try writer(directory)
    try first?.add([Self.parent], starts: ["s/0": Self.start], now: 0)
    try first?.write([block("s/0", 0..<4, from: 1000)], now: 1)
    let starts = ["s/1": Self.start, "s/2": Self.start]
    try first?.end("s/0", children: Self.children, starts: starts, now: 2)
    try first?.end("s/0", children: Self.children, starts: starts, now: 2)
    #expect(first?.points == starts && first?.ended == ["s/0"])
    try first?.write([block("s/1", 0..<2, from: 2000), block("s/2", 0..<2, from: 3000)], now: 3)
    first = nil
    let again = try writer(directory)
    #expect(Set(again.points.keys) == ["s/1", "s/2"])
    try again.write([block("s/1", 2..<4, from: 2001)], now: 4)
    let capture = try LiveCapture(directory)
    #expect(capture.shards == [Self.parent] + Self.children)
    let end = #"s/0 0..<4 ends: ["s/1", "s/2"]"#
    #expect(ranges(capture) == [[end], ["s/1 0..<4", "s/2 0..<2"]])
    #expect(
      ranges(capture, bytes: 1) == [["s/0 0..<4"], [#"s/0 4..<4 ends: ["s/1", "s/2"]"#], ["s/1 0..<2"], ["s/2 0..<2"], ["s/1 2..<4"]])
    #expect(ranges(capture, after: ["s/0": 4, "s/1": 2]).last == ["s/1 2..<4", "s/2 0..<2"])
  }

  @Test func `what was lost takes no positions, and comes with the next records`() throws {
    let directory = temporary()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let writer = try writer(directory)
    try writer.add([Self.parent], starts: ["s/0": Self.start], now: 0)
    try writer.write([block("s/0", 0..<4, from: 1000)], now: 1)
    let place = ShardPoint(ordinal: 4, sequence: SequenceNumber(5000))
    try writer.note(lost: "a to b", of: "s/0", upTo: place, now: 2)
    #expect(writer.point(of: "s/0") == place)
    try writer.write([block("s/0", 4..<6, from: 5000)], now: 3)
    let steps = try LiveCapture(directory).steps(after: [:], bytes: 1)
    #expect(steps.flatMap(\.self).map(\.gaps) == [[], [RecordedGap(position: 4, reason: "a to b")]])
    // The rest of a shard that the source has dropped.
    try writer.note(lost: "the rest", of: "s/0", upTo: try #require(writer.point(of: "s/0")), now: 4)
    try writer.end("s/0", children: Self.children, starts: ["s/1": Self.start, "s/2": Self.start], now: 5)
    let last = try LiveCapture(directory).steps(after: [:], bytes: 1).flatMap(\.self).last
    #expect(last?.gaps == [RecordedGap(position: 6, reason: "the rest")] && last?.children == Self.children)
  }

  @Test func `a capture of a source with dense positions is as it was`() throws {
    let directory = temporary()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let writer = try writer(directory)
    try writer.add([SourceShard(name: "t/0", stream: "t", number: 0)], starts: ["t/0": 3], now: 0)
    let header = try SegmentFile(try #require(try SegmentFile.paths(in: directory).first)).header
    let text = String(decoding: header.bytes.dropFirst(16), as: UTF8.self)
    #expect(text.contains(#""format":1"#) && !text.contains("sequence") && !text.contains("ended"))
  }
}
