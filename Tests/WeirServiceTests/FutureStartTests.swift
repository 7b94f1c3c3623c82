import Testing

@testable import WeirRuntime

@Suite struct FutureStartTests {
  @Test func `only a start in the future has a notice, which says what is read`() {
    #expect(FutureStart.onKafka(10, now: 10) == nil && FutureStart.onKinesis(10, now: 10) == nil)
    #expect(FutureStart.onKafka(11, now: 10)?.contains("read from their end") == true)
    #expect(FutureStart.onKinesis(11, now: 10)?.contains("are not read") == true)
  }
}
