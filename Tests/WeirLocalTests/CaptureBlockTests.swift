import Foundation
import Testing
import WeirCore
import WeirLocal

/// Blocks, cuts and hashes of a capture of short and long records.
@Suite struct CaptureBlockTests {
  private struct Block: Equatable {
    var position: Int64
    var lines: Int
    var bytes: [UInt8]
    var capacity: Int
    var hash: Hash128?
  }

  private func read(
    _ path: String, start: Int64 = 0, prefix: Hash128? = nil, cut: Int64, block: Int = 4096, rows: Int = 50
  ) async throws -> (blocks: [Block], cuts: [Int64]) {
    let source = try CaptureSource(
      files: [path], startAt: start, expectedPrefix: prefix, cutBytes: cut, blockBytes: block, blockRows: rows)
    var blocks: [Block] = []
    var cuts: [Int64] = []
    while true {
      switch try await source.next() {
      case .block(let raw, _):
        let bytes = withExtendedLifetime(raw) { Array(UnsafeBufferPointer(start: raw.text.base, count: raw.count)) }
        blocks.append(
          Block(
            position: raw.position, lines: bytes.count { $0 == 0x0A }, bytes: bytes, capacity: raw.text.capacity, hash: raw.prefixHash))
      case .cut(let position, _): cuts.append(position)
      case .caughtUp, .outOfRange, .closed: Issue.record("a capture says nothing of a live shard")
      case .end:
        await source.close()
        return (blocks, cuts)
      }
    }
  }

  /// Short records, long ones, some larger than a block, and lines that are empty.
  private func capture() throws -> (path: String, text: [UInt8]) {
    let path = NSTemporaryDirectory() + "weir-blocks-" + UUID().uuidString
    var text: [UInt8] = []
    for i in 0..<400 {
      let length = i % 97 == 0 ? 15_000 : i % 5 == 0 ? 300 : i % 3
      text += [UInt8](repeating: UInt8(ascii: "a") + UInt8(i % 26), count: length) + [0x0A]
    }
    text += [UInt8](repeating: 0x0A, count: 3000)
    try Data(text).write(to: URL(fileURLWithPath: path))
    return (path, text)
  }

  @Test func blocksHoldABoundedNumberOfRecordsAndNoMoreMemoryThanTheyNeed() async throws {
    let (path, text) = try capture()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let blocks = try await read(path, cut: 1 << 20).blocks
    #expect(blocks.flatMap(\.bytes) == text)
    #expect(blocks.map(\.lines).max() == 50)
    #expect(blocks.allSatisfy { $0.capacity - TextBuffer.slack <= 2 * $0.bytes.count }, "a block may be held until its commit")
    for block in blocks {
      let end = Int(block.position) + block.bytes.count
      let expected = text[..<end].withUnsafeBytes { Hash128($0) }
      #expect(block.hash == expected, "the hash of everything through byte \(end)")
    }
  }

  @Test func aRunThatStartsAtTheEndOfAnyBlockMakesTheSameBlocksAndCuts() async throws {
    let (path, _) = try capture()
    defer { try? FileManager.default.removeItem(atPath: path) }
    let whole = try await read(path, cut: 7000)
    #expect(whole.cuts.count > 3 && whole.blocks.count > 60)
    for (i, block) in whole.blocks.enumerated() {
      let end = block.position + Int64(block.bytes.count)
      let rest = try await read(path, start: end, prefix: block.hash, cut: 7000)
      #expect(rest.blocks == Array(whole.blocks[(i + 1)...]))
      #expect(rest.cuts == whole.cuts.filter { $0 > end })
    }
  }
}
