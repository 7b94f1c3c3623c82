import Foundation
import Testing

@testable import WeirLocal

@Suite struct DirectWriteTests {
  /// A device may take less than it is given, and a signal may come in between: on a disk that is nearly full both happen.
  @Test(arguments: [[3 << 20], [1, 4095, 0, 1 << 20, 7, (1 << 20) + 5, 0, 12_288], [5_000, 5_000, 5_000]])
  func aFileThatIsWrittenInShortPartsHoldsItsBytesInOrder(_ sizes: [Int]) throws {
    let path = NSTemporaryDirectory() + "weir-direct-" + UUID().uuidString
    defer { try? FileManager.default.removeItem(atPath: path) }
    let descriptor = open(path, O_CREAT | O_RDWR, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var value: UInt32 = 1
    let pieces = sizes.map { size in
      (0..<size).map { _ -> UInt8 in
        value = value &* 1_664_525 &+ 1_013_904_223
        return UInt8(truncatingIfNeeded: value >> 24)
      }
    }
    let all = pieces.flatMap { $0 }
    var calls = 0
    var written = [UInt8](repeating: 0, count: all.count)
    let done = try DirectWrite.write(descriptor, pieces, path) { _, bytes, count, offset in
      calls += 1
      if calls % 3 == 0 {
        errno = EINTR
        return -1
      }
      let some = calls % 2 == 0 ? count : min(count, 4096 * (calls % 5 + 1))
      written.withUnsafeMutableBytes { $0.baseAddress!.advanced(by: Int(offset)).copyMemory(from: bytes, byteCount: some) }
      return some
    }
    // 0: the file system of the temporary directory knows no direct writes, and nothing was tried.
    if calls > 0 { #expect(done == all.count / 4096 * 4096) }
    #expect(written[..<done] == all[..<done])
  }
}
