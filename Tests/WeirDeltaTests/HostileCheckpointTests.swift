import Testing
import WeirCore

@testable import WeirDelta

/// Every byte of a checkpoint changed or cut: an error, or the same snapshot.
struct HostileCheckpointTests {
  private func read(_ bytes: [UInt8]) throws -> String? {
    var snapshot = DeltaSnapshot()
    do {
      try CheckpointReader(bytes, path: "hostile").forEachGroup { (actions) throws(WeirError) in
        try snapshot.apply(actions, version: 12, path: "hostile")
      }
    } catch {
      #expect(["corrupt", "foreign_table"].contains(error.code) && error.message.contains("hostile"), "\(error)")
      return nil
    }
    return snapshot.text
  }

  private func checkpoint() async throws -> [UInt8] {
    let sample = try await SampleTable(commits: 13)
    return try Checkpoint(try #require(try await sample.table.snapshot())).encode()
  }

  @Test func everyCutIsRefused() async throws {
    let bytes = try await checkpoint()
    for count in 0..<bytes.count { #expect(try read(Array(bytes[..<count])) == nil, "cut to \(count) bytes") }
  }

  @Test(arguments: 0..<8)
  func everyFlippedBitIsRefusedOrWithoutEffect(bit: Int) async throws {
    let bytes = try await checkpoint()
    let whole = try #require(try read(bytes))
    var harmless = 0
    for at in bytes.indices {
      var broken = bytes
      broken[at] ^= 1 << UInt8(bit)
      guard let text = try read(broken) else { continue }
      let isSame = text == whole
      #expect(isSame, "byte \(at) of \(bytes.count)")
      harmless += 1
    }
    #expect(harmless < bytes.count)
  }

  @Test func noiseIsRefused() async throws {
    let bytes = try await checkpoint()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      var broken = bytes
      let start = Int.random(in: 0..<bytes.count, using: &random)
      let count = Int.random(in: 1...min(64, bytes.count - start), using: &random)
      for at in start..<start + count { broken[at] = UInt8.random(in: 0...255, using: &random) }
      _ = try read(broken)
    }
  }
}
