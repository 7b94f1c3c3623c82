import Glibc
import Synchronization
import Testing
import WeirCore

@testable import WeirKafka

/// The cluster that tests run against: the mock over TCP, or with `WEIR_TEST_KAFKA=host:port` a real one.
final class TestCluster: Sendable {
  let mock: MockBroker?
  let bootstrap: String

  /// - Parameter needsMock: the test breaks brokers, which it cannot do to a real cluster.
  init(needsMock: Bool = false, brokers: Int = 1) throws {
    if !needsMock, let address = getenv("WEIR_TEST_KAFKA") {
      mock = nil
      bootstrap = String(cString: address)
    } else {
      let broker = try MockBroker(brokers: brokers)
      mock = broker
      bootstrap = broker.bootstrap
    }
  }

  private static let counter = Atomic<Int>(0)

  /// A name that no other test and no other run uses.
  static func uniqueName(_ prefix: String) -> String {
    let number = counter.add(1, ordering: .relaxed).newValue
    return "weir-test-\(prefix)-\(getpid())-\(time(nil))-\(number)"
  }

  func topic(_ prefix: String, partitions: Int) async throws -> String {
    let name = TestCluster.uniqueName(prefix)
    if let mock {
      try mock.createTopic(name, partitions: partitions)
    } else {
      let producer = try KafkaProducer(producerSettings)
      try await producer.createTopic(name, partitions: partitions)
      await producer.close()
    }
    return name
  }

  var producerSettings: KafkaProducerSettings { KafkaProducerSettings(connection: KafkaConnection(brokers: bootstrap)) }

  func consumerSettings(_ topics: [String], group: String? = nil) -> KafkaConsumerSettings {
    var connection = KafkaConnection(brokers: bootstrap)
    connection.options = ["fetch.wait.max.ms": "10"]
    return KafkaConsumerSettings(connection: connection, topics: topics, group: group ?? TestCluster.uniqueName("group"))
  }

  /// Sends `count` records of `size` bytes to each partition; record `i` of partition `p` begins with `p:i;`.
  func fill(_ topic: String, partitions: Int, from: Int = 0, count: Int, size: Int = 0, batchBytes: Int = 1 << 16) async throws {
    var settings = producerSettings
    settings.batchBytes = batchBytes
    let producer = try KafkaProducer(settings)
    var batch = KafkaBatch(topic: topic)
    for partition in 0..<partitions {
      for index in from..<from + count {
        batch.append(key: nil, value: TestCluster.value(partition, index, size), partition: partition)
      }
      try await producer.send(batch)
      batch.removeAll()
    }
    try await producer.flush(within: 60_000_000_000)
    #expect(producer.counts.delivered == partitions * count)
    await producer.close()
  }

  static func value(_ partition: Int, _ index: Int, _ size: Int) -> [UInt8] {
    var value = Array("\(partition):\(index);".utf8)
    while value.count < size { value.append(UInt8(ascii: "a") + UInt8(value.count % 26)) }
    return value
  }

  /// Prints what this run cannot show: never skipped in silence.
  static func notShown(_ what: String) {
    print("NOT SHOWN by the mock broker (run with WEIR_TEST_KAFKA=host:port): \(what)")
  }
}

/// What was read of one partition, checked as it comes: each offset once, in order, with the value sent there.
struct Reading {
  let partition: KafkaPartition
  var next: Int64 = 0
  var gaps: [KafkaGap] = []

  init(_ partition: KafkaPartition) { self.partition = partition }

  mutating func take(_ block: KafkaBlock) {
    #expect(block.partition == partition)
    gaps += block.gaps
    for row in 0..<block.count {
      let prefix = Array("\(partition.number):\(next);".utf8)
      guard block.offsets[row] == next, block.value(row)?.starts(with: prefix) == true else {
        Issue.record("\(partition): offset \(block.offsets[row]) where \(next) was to come")
        return
      }
      next += 1
    }
    #expect(block.next == next)
  }
}

/// Ends a test that cannot go on.
struct Unexpected: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Numbers that look random, the same in each run.
struct TestRandom: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed &* 2_862_933_555_777_941_757 &+ 3_037_000_493 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

extension KafkaConsumer {
  /// Readers from where the readings are.
  func readers(of readings: [Reading]) async throws -> [KafkaPartitionReader] {
    try await assign(Dictionary(uniqueKeysWithValues: readings.map { ($0.partition, $0.next) }))
  }
}
