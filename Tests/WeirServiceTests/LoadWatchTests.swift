import Foundation
import Testing
import WeirCore
import WeirEngine
import WeirLMDB
import WeirLocal

@testable import WeirConfiguration
@testable import WeirLoad

struct LoadWatchTests {
  private static let yaml = """
    pipeline: p
    source: {kafka: {brokers: "h:1", topic: t, group: g}}
    record:
      key: user_id
      time: {field: event_time}
      fields: {user_id: string!, event_time: timestamp_ms!}
    state:
      users: {by: [user_id], measure: {n: count()}}
    """

  /// A watch over a table of the test's own that has a mark and no rows; what it found after each of the marks stood for some looks.
  private func found(marks: [Int64], looks: Int) async throws -> (samples: LoadWatch.Samples, reached: [Bool]) {
    let path = NSTemporaryDirectory() + "weir-watch-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let table = try LMDBStateTable(path: path, thread: BlockingThreads(count: 1))
    let plan = try loadPipeline(yaml: LoadWatchTests.yaml, file: "p.yaml").plan
    let templates = try LoadTemplates(GeneratorSettings(.adEvents), count: 50, run: 1, partitions: 1, partitioner: .murmur2)
    let watch = try LoadWatch(
      store: path, hasLaneState: true, check: StateCheck(plan), templates: templates, shards: ["t/0": 0], bases: [0],
      meter: LatencyMeter(shards: 1),
      clock: SystemClock())
    var reached: [Bool] = []
    for mark in marks {
      try await table.writeMeta([("flushed/t/0", Array("0 \(mark)".utf8))])
      let left = Countdown(looks)
      try await watch.run(until: { left.isOver })
      reached.append(await watch.hasReached([10]))
    }
    return (await watch.samples, reached)
  }

  @Test func rowsThatAMarkVouchesForAndAreNotThereAreTold() async throws {
    let (samples, reached) = try await found(marks: [10], looks: 20)
    #expect(samples.stale == 1 && samples.firstStale?.contains("counts 0") == true && reached == [true])
  }

  @Test func whatWasTakenBackWithItsMarkIsNeitherMissingNorReached() async throws {
    // Fewer looks than to the first sample while the mark stands, many behind that.
    let (samples, reached) = try await found(marks: [10, 0], looks: 15)
    #expect(samples.stale == 0 && reached == [true, false])
  }
}

/// Is over after it was asked so often.
private final class Countdown: @unchecked Sendable {
  // Unchecked: asked by one task.
  private var left: Int
  init(_ left: Int) { self.left = left }
  var isOver: Bool {
    left -= 1
    return left < 0
  }
}
