import Testing
import WeirCore

@testable import WeirEngine

@Suite struct WatchTests {
  @Test func observationsThatAreSpreadCountEachRecordOnce() {
    for count in [1, 2, 7, 8, 9, 1000] as [Int64] {
      var histogram = Histogram(bounds: [1, 2, 3])
      histogram.observe(from: 0, to: 4, count: count)
      #expect(histogram.total == count)
      #expect(histogram.counts.reduce(0, +) <= count)
    }
    var histogram = Histogram(bounds: [1, 2, 3])
    histogram.observe(from: 0, to: 3, count: 800)
    #expect(abs(histogram.sum - 1200) < 1e-6 && histogram.counts.reduce(0, +) == 800)
  }

  @Test func timeToLossIsWhatIsLeftByTheRateOfDeletion() {
    var forecast = TrimForecast()
    #expect(forecast.seconds(position: 10) == nil)
    forecast.saw(low: 100, at: 0)
    #expect(forecast.seconds(position: 110) == nil)
    forecast.saw(low: 100, at: 10_000_000_000)
    #expect(forecast.seconds(position: 110) == .infinity)
    forecast.saw(low: 300, at: 20_000_000_000)
    #expect(forecast.seconds(position: 350) == 5)
    #expect(forecast.seconds(position: 200) == 0)
    forecast.saw(low: 0, at: 21_000_000_000)
    #expect(forecast.seconds(position: 5) == nil)
  }

  @Test func timeOfALaneIsSplitAmongWhatItWasAt() {
    let reading = LaneReading(shard: "t/0", now: 0)
    reading.begin(at: 5, watermark: 0, now: 10)
    reading.enter(.working, now: 25)
    reading.consumed(records: 3, bytes: 30, through: 8, watermark: 7, now: 30)
    reading.enter(.bounded, now: 40)
    let lane = reading.value(now: 100)
    #expect(lane.spentNanoseconds == [15, 60, 0, 0, 15, 0])
    #expect((lane.position, lane.records, lane.bytes, lane.watermark, lane.stillNanoseconds) == (8, 3, 30, 7, 70))
    reading.consumed(records: 0, bytes: 0, through: 8, watermark: 7, now: 110)
    #expect(reading.value(now: 120).stillNanoseconds == 90)
    reading.end(now: 130)
    #expect(!reading.value(now: 140).isHeld && reading.value(now: 140).spentNanoseconds[1] == 90)
  }
}
