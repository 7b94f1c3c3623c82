import Foundation
import Testing

@testable import WeirKafka

/// Figures, not claims: run by hand against a broker in a process of its own.
/// ```
/// weir mock-kafka --topic rates:64 < /dev/zero ...      # keep its stdin open
/// WEIR_KAFKA_RATES=host:port swift test -c release ... --filter RateTests
/// ```
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["WEIR_KAFKA_RATES"] != nil))
struct RateTests {
  let environment = ProcessInfo.processInfo.environment
  var topic: String { environment["WEIR_KAFKA_RATES_TOPIC"] ?? "rates" }
  var connection: KafkaConnection { KafkaConnection(brokers: environment["WEIR_KAFKA_RATES"]!) }

  @Test(arguments: [KafkaProducerSettings.Reports.failures, .all]) func produceRate(_ reports: KafkaProducerSettings.Reports) async throws {
    var settings = KafkaProducerSettings(connection: connection)
    settings.reports = reports
    let producer = try KafkaProducer(settings)
    let partitions = try await partitions().count
    let total = 1_500_000
    let value = [UInt8](repeating: UInt8(ascii: "x"), count: 200)
    let watch = Stopwatch()
    var batch = KafkaBatch(topic: topic)
    for round in 0..<(total / 5_000) {
      batch.removeAll()
      value.withUnsafeBytes { value in
        for _ in 0..<5_000 { batch.append(key: nil, value: value, partition: round % partitions) }
      }
      try producer.sendBlocking(batch)
    }
    try await producer.flush(within: 60_000_000_000)
    watch.report("produce (reports: \(reports))", records: producer.counts.delivered, bytes: total * 200)
    await producer.close()
  }

  @Test(arguments: [1, 16, 64], [1]) func consumeRate(_ queueMegabytes: Int, _ threads: Int) async throws {
    var settings = KafkaConsumerSettings(connection: connection, topics: [topic], group: TestCluster.uniqueName("rates"))
    settings.queueBytesPerPartition = queueMegabytes << 20
    settings.readerThreads = threads
    let consumer = try KafkaConsumer(settings)
    let bounds = try await consumer.watermarks(of: try await partitions())
    let watch = Stopwatch()
    let readers = try await consumer.assign(bounds.mapValues(\.low))
    let sums = try await withThrowingTaskGroup(of: (Int, Int, Int).self) { group in
      for reader in readers {
        group.addTask { try await RateTests.drain(reader, to: bounds[reader.partition]!.high) }
      }
      return try await group.reduce((0, 0, 0)) { ($0.0 + $1.0, $0.1 + $1.1, $0.2 + $1.2) }
    }
    watch.report(
      "consume (queue \(queueMegabytes) MiB, \(threads) threads, \(readers.count) partitions, \(sums.2) blocks)", records: sums.0,
      bytes: sums.1)
    await consumer.close()
  }

  private static func drain(_ reader: KafkaPartitionReader, to high: Int64) async throws -> (Int, Int, Int) {
    var sum = (0, 0, 0)
    while true {
      switch try await reader.next() {
      case .block(let block):
        sum = (sum.0 + block.count, sum.1 + block.raw.count, sum.2 + 1)
        if block.next >= high { return sum }
      case .caughtUp(let next) where next < high: continue
      default: return sum
      }
    }
  }

  private func partitions() async throws -> [KafkaPartition] {
    let consumer = try KafkaConsumer(KafkaConsumerSettings(connection: connection, topics: [topic], group: "rates"))
    let found = try await consumer.partitions(of: topic)
    await consumer.close()
    return found
  }
}

/// Wall time, and CPU time by the names of threads.
private struct Stopwatch {
  private let began = KafkaClient.now
  private let threads = Stopwatch.cpu()

  func report(_ what: String, records: Int, bytes: Int) {
    let seconds = Double(KafkaClient.now - began) / 1e9
    let millions = Double(records) / 1e6
    print(
      String(
        format: "%@: %.2f M records in %.2f s = %.2f M/s, %.0f MB/s", what, millions, seconds, millions / seconds,
        Double(bytes) / 1e6 / seconds))
    var sum = 0.0
    for (name, ticks) in Stopwatch.cpu().sorted(by: { $0.key < $1.key }) {
      let spent = Double(ticks - (threads[name] ?? 0)) / 100
      if spent < 0.02 { continue }
      sum += spent
      print(String(format: "    %@ %.2f s CPU = %.0f ns a record", name, spent, spent * 1e9 / Double(records)))
    }
    print(String(format: "    in all %.2f s CPU = %.0f ns a record", sum, sum * 1e9 / Double(records)))
  }

  private static func cpu() -> [String: Int] {
    var result: [String: Int] = [:]
    for task in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
      guard let text = try? String(contentsOfFile: "/proc/self/task/\(task)/stat", encoding: .utf8),
        let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
      else { continue }
      let fields = text[text.index(after: close)...].split(separator: " ")
      let name = String(text[text.index(after: open)..<close])
      result[name, default: 0] += (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
    }
    return result
  }
}
