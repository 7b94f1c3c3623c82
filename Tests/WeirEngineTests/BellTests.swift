import Synchronization
import Testing
import WeirTesting

@Suite(.timeLimit(.minutes(10))) struct BellTests {
  private final class Count: Sendable { let value = Atomic(0) }

  @Test func aConditionIsLookedAtWheneverItIsRung() async {
    let (bell, count) = (Bell(), Count())
    async let came = bell.until { count.value.load(ordering: .relaxed) >= 1000 }
    for _ in 0..<1000 {
      count.value.add(1, ordering: .relaxed)
      bell.ring()
    }
    #expect(await came)
  }

  @Test func whatWasRungBeforeTheWaitIsNotMissed() async {
    let bell = Bell()
    let seen = bell.rung
    bell.ring()
    await bell.wait(after: seen)
    #expect(bell.rung == seen + 1)
  }

  @Test func aWaitForWhatNeverComesEndsWithItsTask() async {
    let bell = Bell()
    let task = Task { await bell.until { false } }
    await Task.yield()
    task.cancel()
    #expect(await task.value == false)
    #expect(
      await Task {
        withUnsafeCurrentTask { $0?.cancel() }; return await bell.until { false }
      }.value == false, "also if it was cancelled before")
  }
}
