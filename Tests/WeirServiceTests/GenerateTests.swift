import Testing
import WeirCore

@testable import WeirCommands
@testable import WeirLoad
@testable import WeirReport

struct GenerateTests {
  private func lines(_ count: Int, _ change: (inout GeneratorSettings) -> Void = { _ in }, stream: EventStream = .adEvents) -> [[UInt8]] {
    var settings = GeneratorSettings(stream)
    change(&settings)
    var generator = EventGenerator(settings)
    var bytes: [UInt8] = []
    for _ in 0..<count { generator.next(into: &bytes) }
    return bytes.split(separator: 0x0A).map(Array.init)
  }

  @Test(arguments: EventStream.allCases) func theSameSeedGivesTheSameBytesAndAnotherOthers(stream: EventStream) {
    let first = lines(2_000, stream: stream)
    #expect(first == lines(2_000, stream: stream))
    #expect(first != lines(2_000, { $0.seed = 43 }, stream: stream))
    #expect(Array(first.prefix(500)) == lines(500, stream: stream), "the number of lines changes none of them")
  }

  @Test(arguments: EventStream.allCases) func withoutFaultsEveryLineIsARecordWithItsKey(stream: EventStream) throws {
    for line in lines(500, { $0.malformed = 0 }, stream: stream) {
      #expect(try JSONValue(parsing: line)[stream.key]?.string?.isEmpty == false)
    }
  }

  @Test func theSharesAreThoseAskedFor() throws {
    let all = lines(100_000) {
      $0.malformed = 0.01; $0.duplicateWithin = 1_000
    }
    let records = all.compactMap { try? JSONValue(parsing: $0) }.filter { $0["event_id"] != nil }
    #expect((800...1200).contains(all.count - records.count), "\(all.count - records.count) malformed")
    let ids = Set(records.compactMap { $0["event_id"]?.string })
    #expect((1_700...2_300).contains(records.count - ids.count), "\(records.count - ids.count) duplicates")
    let hot = records.count { Int($0["user_id"]!.string!.dropFirst())! < 1_000 }
    #expect((0.19...0.23).contains(Double(hot) / Double(records.count)))
    // A first occurrence is never more than 2 s behind the largest time before it.
    var largest: Int64 = 0
    var seen = Set<String>()
    for record in records {
      let time = try #require(record["event_time"]?.int)
      if seen.insert(record["event_id"]!.string!).inserted { #expect(time >= largest - 2_000) }
      largest = max(largest, time)
    }
  }

  @Test func whatNoStreamCanBeLikeIsRefused() {
    let changes: [(inout GeneratorSettings) -> Void] = [
      { $0.lateMilliseconds = -1 }, { $0.lateMilliseconds = .max }, { $0.malformed = 1 }, { $0.skew = .nan }, { $0.duplicates = 1.1 },
      { $0.rate = 0 },
    ]
    for (number, change) in changes.enumerated() {
      var settings = GeneratorSettings(.clicks)
      change(&settings)
      let error = #expect(throws: WeirError.self) { try GenerateCommand.run(settings, count: 0, out: "/dev/null", console: Console()) }
      #expect(error?.code == .config, "change \(number)")
    }
  }
}
