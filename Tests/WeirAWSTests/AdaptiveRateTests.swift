import Testing

@testable import WeirAWS

struct AdaptiveRateTests {
  @Test func `until a service throttles every request starts`() {
    var rate = AdaptiveRate()
    for i in 0..<10_000 {
      #expect(rate.take() == nil)
      rate.record(isThrottled: false, at: Double(i) / 1000)
    }
  }

  @Test func `throttling lowers the rate to 0.7 of the measured one, and time raises it`() {
    var rate = AdaptiveRate()
    for i in 0..<1000 { rate.record(isThrottled: false, at: Double(i) / 100) }
    #expect(abs(rate.measured - 100) < 2)
    rate.record(isThrottled: true, at: 10)
    #expect(abs(rate.rate - 70) < 2)
    var last = rate.rate
    for i in 1...100 {
      rate.record(isThrottled: false, at: 10 + Double(i) / 70)
      #expect(rate.rate >= last - 0.01 || rate.rate <= 2 * rate.measured + 0.01)
      last = rate.rate
    }
    #expect(last > 80)
  }

  @Test func `a client that is throttled at once continues with more than the least rate`() {
    var rate = AdaptiveRate()
    for i in 0..<50 { rate.record(isThrottled: false, at: Double(i) / 1000) }
    rate.record(isThrottled: true, at: 0.05)
    #expect(rate.rate > 50)
  }

  @Test func `requests wait in their order, and less when the rate grows or one gives up`() throws {
    var rate = AdaptiveRate()
    for i in 0..<20 { rate.record(isThrottled: false, at: Double(i) / 10) }
    rate.record(isThrottled: true, at: 2)
    let tokens = (0..<10).compactMap { _ in rate.take() }
    try #require(tokens.count == 10)
    let waits = tokens.map { rate.wait(for: $0, at: 2) }
    #expect(waits == waits.sorted())
    #expect(abs(waits[9] - 10 / rate.rate) < 0.001)
    rate.giveBack()
    #expect(rate.wait(for: tokens[9], at: 2) < waits[9])
    let later = rate.wait(for: tokens[9], at: 3)
    #expect(abs(later - (9 - rate.rate) / rate.rate) < 0.001)
    #expect(rate.wait(for: tokens[0], at: 3) == 0)
  }

  @Test func `after a pause no more than one second's requests start at once`() {
    var rate = AdaptiveRate()
    for i in 0..<1000 { rate.record(isThrottled: false, at: Double(i) / 100) }
    rate.record(isThrottled: true, at: 10)
    var started = 0
    while started < 1000, let token = rate.take(), rate.wait(for: token, at: 1000) == 0 { started += 1 }
    #expect(Double(started) <= rate.rate + 1)
    #expect(started > 60)
  }
}
