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
    #expect(lane.spentNanoseconds == [.reading: 15, .bounded: 60, .working: 15])
    #expect((lane.position, lane.records, lane.bytes, lane.watermark, lane.stillNanoseconds) == (8, 3, 30, 7, 70))
    reading.consumed(records: 0, bytes: 0, through: 8, watermark: 7, now: 110)
    #expect(reading.value(now: 120).stillNanoseconds == 90)
    reading.end(now: 130)
    #expect(!reading.value(now: 140).isHeld && reading.value(now: 140).spentNanoseconds[.bounded] == 90)
  }

  @Test func shardsAreShownInOrderWhateverOfThemIsKnownAndForgottenWhenNothingIs() {
    var shards = ShardStandings(shardsMax: 4)
    func bounds(_ high: Int64) -> ShardBounds { ShardBounds(low: .offset(0), high: .offset(high)) }
    shards.surveyed(["t/10": bounds(1), "t/9": bounds(2), "t/2": bounds(3)], at: 0)
    shards.change("t/1", isOwn: true) { $0.reading = LaneReading(shard: "t/1", now: 0) }
    shards.sort()
    #expect(shards.inOrder.map(\.name) == ["t/1", "t/2", "t/9", "t/10"])
    #expect(shards["t/9"]?.bounds == bounds(2) && shards["t/1"]?.reading != nil && shards["t/3"] == nil)
    // There are too many: only those of the worker are added.
    shards.change("t/3") { $0.bounds = bounds(4) }
    shards.change("t/4", isOwn: true) { $0.reading = LaneReading(shard: "t/4", now: 0) }
    shards.surveyed(["t/9": bounds(5)], at: 1)
    shards.sort()
    #expect(shards.inOrder.map(\.name) == ["t/1", "t/4", "t/9"])
    #expect(shards["t/9"]?.bounds == bounds(5) && shards["t/4"]?.bounds == nil && shards["t/10"] == nil)
  }
}
