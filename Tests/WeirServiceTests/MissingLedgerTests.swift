import Glibc
import Testing
import WeirCore
import WeirLocal
import WeirProtocol
import WeirReport

@Suite struct MissingLedgerTests {
  private func error(root: String, advice: Wording? = nil) async -> WeirError? {
    let (threads, random) = (BlockingThreads(count: 1), SystemRandom())
    defer { threads.stop() }
    do {
      _ = try await Ledger.required(
        LedgerLayout(pipeline: "ads"), store: LocalObjectStore(root: root, threads: threads, random: random), clock: SystemClock(),
        random: random,
        advice: advice)
      return nil
    } catch { return error as? WeirError }
  }

  @Test func aLedgerThatIsNotThereIsToldWithTheLakeThatWasLookedIn() async throws {
    let error = try #require(await error(root: "/nowhere/lake/"))
    #expect(error.code == .config)
    #expect(error.message == "there is no ledger \(LedgerLayout(pipeline: "ads").prefix) in the lake /nowhere/lake")
    #expect(error.advice?.words.contains("--lake DIR") == true && error.advice?.words.contains("`weir run`") == true)
  }

  @Test func aRelativeLakeIsToldWithTheDirectoryThatItCountsFrom() async throws {
    let here = try #require(getcwd(nil, 0))
    defer { free(here) }
    let error = try #require(await error(root: "no/such/lake", advice: "--decisions takes another"))
    #expect(error.message.hasSuffix(" in the lake \(String(cString: here))/no/such/lake"))
    #expect(error.advice == "--decisions takes another")
  }
}
