import Foundation
import Synchronization
import Testing
import WeirCore
import WeirKafka
import WeirTesting

@testable import WeirCapture
@testable import WeirCommands
@testable import WeirReport

/// A topic of a pattern that is deleted under a capture.
@Suite(.timeLimit(.minutes(5))) struct GoneShardsTests {
  @Test func eachShardIsReportedOnceWhenItGoesAndWhenItIsBack() {
    func shards(_ numbers: Int...) -> [SourceShard] { numbers.map { SourceShard(name: "t\($0)/0", stream: "t\($0)", number: 0) } }
    var gone = GoneShards()
    let known = shards(1, 2, 3)
    #expect(gone.see(shards(1, 2, 3, 4), known: known) == ([], []) && gone.names == [])
    #expect(gone.see(shards(2), known: known) == (["t1/0", "t3/0"], []) && gone.names == ["t1/0", "t3/0"])
    #expect(gone.see(shards(2), known: known) == ([], []))
    #expect(gone.see(shards(2, 3), known: known) == ([], ["t3/0"]) && gone.names == ["t1/0"])
  }

  /// What a capture says, line by line; its tests wait for lines.
  private final class Lines: Sendable {
    private let all = Mutex((text: "", waiters: [(words: String, CheckedContinuation<Void, Never>)]()))

    var text: String { all.withLock(\.text) }
    var console: Console { Console { bytes, _ in self.add(String(decoding: bytes, as: UTF8.self)) } }

    private func add(_ more: String) {
      let due = all.withLock { all in
        all.text += more
        let due = all.waiters.filter { all.text.contains($0.words) }
        all.waiters.removeAll { all.text.contains($0.words) }
        return due
      }
      for (_, waiter) in due { waiter.resume() }
    }

    func wait(for words: String) async {
      await withCheckedContinuation { waiter in
        let isThere = all.withLock { all in
          if !all.text.contains(words) { all.waiters.append((words, waiter)) }
          return all.text.contains(words)
        }
        if isThere { waiter.resume() }
      }
    }
  }

  private func send(_ count: Int, to topic: String, _ broker: MockBroker) async throws {
    let producer = try KafkaProducer(KafkaProducerSettings(connection: KafkaConnection(brokers: broker.bootstrap)))
    var batch = KafkaBatch(topic: topic)
    for i in 0..<count { batch.append(key: nil, value: Array("{\"id\":\"\(i)\"}".utf8), partition: 0) }
    try await producer.send(batch)
    try await producer.flush(within: 60_000_000_000)
    await producer.close()
  }

  @Test func aCaptureSaysThatAShardIsGoneWhenItIsAndInItsSummaryAndWhenItIsResumed() async throws {
    let directory = NSTemporaryDirectory() + "weir-gone-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let broker = try MockBroker()
    for topic in ["qa-1", "qa-2"] {
      try broker.createTopic(topic, partitions: 1)
      try await send(60, to: topic, broker)
    }
    let pipeline = directory + "/p.yaml"
    try """
    pipeline: p
    source: {kafka: {brokers: "\(broker.bootstrap)", topics: ["^qa-"], stream: s, group: g, refresh: 500ms}}
    record: {fields: {id: string!}}
    bronze: {}
    """.write(toFile: pipeline, atomically: true, encoding: .utf8)
    var options = CaptureOptions(out: directory + "/capture")
    options.pipeline = pipeline
    (options.json, options.flush) = (true, "20ms")
    let wanted = options
    @Sendable func capture(until count: Int64, _ lines: Lines) async throws -> Int32 {
      var options = wanted
      options.count = count
      return try await CaptureCommand.run(options, console: lines.console)
    }

    let first = Lines()
    async let code = capture(until: 121, first)
    // All that there is was read: one record is left until the end.
    await first.wait(for: "\"records\":120}")
    #expect(!first.text.contains("GONE"))
    broker.deleteTopic("qa-2")
    await first.wait(for: "GONE: the source no longer has qa-2/0 (")
    try await send(1, to: "qa-1", broker)
    #expect(try await code == 0)
    #expect(first.text.ranges(of: "GONE").count == 1 && first.text.contains("\"gone\":[\"qa-2/0\"]"), "\(first.text)")

    let second = Lines()
    async let again = capture(until: 122, second)
    await second.wait(for: "GONE: the source no longer has qa-2/0 (")
    try await send(1, to: "qa-1", broker)
    #expect(try await again == 0)
    #expect(second.text.ranges(of: "GONE").count == 1 && second.text.contains("\"gone\":[\"qa-2/0\"]"), "\(second.text)")
    #expect(second.text.contains("\"records\":122"))
  }
}
