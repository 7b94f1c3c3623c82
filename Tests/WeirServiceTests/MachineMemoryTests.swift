import Testing

@testable import WeirRuntime

@Suite struct MachineMemoryTests {
  /// proc(5): size, resident, resident with a file behind them, ... in pages.
  @Test(arguments: [("100 50 20 1 0 2 0\n", 30), ("9 8 8\n", 0), ("7 6 5", nil), ("", nil), ("12\n", nil)] as [(String, Int64?)])
  func anonymousPagesAreTheResidentOnesWithoutAFile(_ text: String, _ pages: Int64?) {
    let found = Array(text.utf8).withUnsafeBytes { MachineMemory.anonymousPages($0[...]) }
    #expect(found == pages)
  }

  @Test func thisProcessHasAnonymousPages() throws {
    #expect(try #require(MachineMemory.anonymousBytes()) > 1 << 20)
  }
}
