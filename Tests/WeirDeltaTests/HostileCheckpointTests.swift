import Testing
import WeirCore
import WeirTesting

@testable import WeirDelta

/// Every byte of a checkpoint changed or cut: an error, or the same snapshot.
struct HostileCheckpointTests {
  private func read(_ bytes: [UInt8]) async throws -> String? {
    let object = ObjectInfo(path: "hostile", bytes: Int64(bytes.count), modifiedMicroseconds: 0)
    let table = DeltaTable(store: MemoryStore([object.path: bytes]), path: "t")
    let snapshot: DeltaSnapshot
    do {
      snapshot = try await table.read(DeltaLog.Candidate(version: 12, parts: [object]), DeltaSnapshot())
    } catch let error as WeirError {
      #expect([.corrupt, .foreignTable].contains(error.code) && error.message.contains("hostile"), "\(error)")
      return nil
    }
    return snapshot.text
  }

  private func checkpoint() async throws -> [UInt8] {
    let sample = try await SampleTable(commits: 13)
    return try #require(try await sample.table.snapshot()).checkpoint()
  }

  @Test func everyCutIsRefused() async throws {
    let bytes = try await checkpoint()
    for count in 0..<bytes.count { #expect(try await read(Array(bytes[..<count])) == nil, "cut to \(count) bytes") }
  }

  @Test(arguments: 0..<8)
  func everyFlippedBitIsRefusedOrWithoutEffect(bit: Int) async throws {
    let bytes = try await checkpoint()
    let whole = try #require(try await read(bytes))
    var harmless = 0
    // Another part of the bytes for each bit.
    for at in stride(from: bit, to: bytes.count, by: Cases.step(debug: 8)) {
      var broken = bytes
      broken[at] ^= 1 << UInt8(bit)
      guard let text = try await read(broken) else { continue }
      let isSame = text == whole
      #expect(isSame, "byte \(at) of \(bytes.count)")
      harmless += 1
    }
    #expect(harmless < bytes.count)
  }

  @Test func noiseIsRefusedOrWithoutEffect() async throws {
    let bytes = try await checkpoint()
    let whole = try #require(try await read(bytes))
    var random = SplitMix64(seed: 7)
    var harmless = 0
    for _ in 0..<2000 {
      var broken = bytes
      let start = Int.random(in: 0..<bytes.count, using: &random)
      let count = Int.random(in: 1...min(64, bytes.count - start), using: &random)
      for at in start..<start + count { broken[at] = UInt8.random(in: 0...255, using: &random) }
      guard let text = try await read(broken) else { continue }
      let isSame = text == whole
      #expect(isSame, "\(count) bytes at \(start)")
      harmless += 1
    }
    #expect(harmless < 200)
  }
}
