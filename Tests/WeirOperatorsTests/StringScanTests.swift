import CScanNEON
import CWeirScan
import Testing

@testable import WeirOperators

/// The versions of the byte scan against a loop over the bytes written apart, and so against each other.
@Suite struct StringScanTests {
  private typealias Scan = (UnsafePointer<UInt8>, UnsafePointer<UInt8>) -> UnsafePointer<UInt8>?

  private static func versions() -> [(name: String, scan: Scan)] {
    var all: [(name: String, scan: Scan)] = [
      ("chosen", { weir_scan_string($0, $1) }), ("scalar", { weir_scan_string_scalar($0, $1) }), ("NEON", { scan_neon($0, $1) }),
    ]
    #if arch(x86_64)
      all.append(("SSE2", { weir_scan_string_sse2($0, $1) }))
    #endif
    return all
  }

  /// Where a string's run of plain bytes ends, by the definition.
  private func expected(_ text: ArraySlice<UInt8>) -> Int {
    text.firstIndex { $0 == 0x22 || $0 == 0x5C || $0 < 0x20 || $0 > 0x7F } ?? text.endIndex
  }

  private func compare(_ bytes: [UInt8], from start: Int, to end: Int) {
    let want = expected(bytes[start..<end])
    bytes.withUnsafeBufferPointer { buffer in
      let base = buffer.baseAddress!
      for version in StringScanTests.versions() {
        let found = version.scan(base + start, base + end).map { $0 - base }
        #expect(found == want, "\(version.name), \(start)..<\(end) of \(bytes[start..<end])")
      }
    }
  }

  @Test func theNEONVersionIsCompiledHere() {
    #expect(scan_neon_is_there() == 1, "Scripts/setup --tests installs SIMDe (libsimde-dev), whose NEON this test needs")
  }

  /// Each of the 256 bytes at each place of 40, behind plain bytes, with the end before, at and after it.
  @Test func everyVersionStopsAtTheSameByteOfEveryKindAtEveryPlace() {
    for byte in 0...255 as ClosedRange<UInt8> {
      for place in 0..<40 {
        var bytes = [UInt8](repeating: 0x61, count: 40 + 16)
        bytes[place] = byte
        for end in [place, place + 1, 40] where end <= 40 { compare(bytes, from: 0, to: end) }
      }
    }
  }

  /// Bytes after the end steer nothing: the slack is full of bytes that would end a run.
  @Test func bytesAfterTheEndAreNoPartOfTheText() {
    for count in 0..<48 {
      let bytes = [UInt8](repeating: 0x7A, count: count) + [UInt8](repeating: 0x22, count: 16)
      compare(bytes, from: 0, to: count)
    }
  }

  @Test func everyVersionFindsTheSameOverRandomText() {
    var state: UInt64 = 42
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    for _ in 0..<3_000 {
      let count = Int(next() % 200)
      // Mostly plain, so that runs are long; all alignments.
      let bytes = (0..<count + 16).map { _ in next() % 24 == 0 ? UInt8(truncatingIfNeeded: next()) : UInt8(0x20 + next() % 95) }
      let start = Int(next() % 17)
      if start <= count { compare(bytes, from: start, to: count) }
    }
  }
}
