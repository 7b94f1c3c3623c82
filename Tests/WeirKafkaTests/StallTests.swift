import Testing
import WeirCore
import WeirTesting

@testable import WeirKafka

/// Readers that stall. A broker's answers take nearly all of the time, so the topics, each on a cluster of its own, are read at the same time.
@Suite(.timeLimit(.minutes(20))) struct StallTests {
  /// Gap-free topics through 1,000 stalls and reassignments: each offset exactly once, in order, no gap reported. Half of
  /// the records come while it is read.
  @Test(arguments: Cases.seeds(4..<8, debugStep: 4))
  func everyOffsetArrivesOnceThroughAThousandStallsAndReassignments(seed: UInt64) async throws {
    let cluster = try TestCluster()
    let partitions = 4
    let changes = 250
    let half = 4_000
    let topic = try await cluster.topic("stalls", partitions: partitions)
    try await cluster.fill(topic, partitions: partitions, count: half, size: 60)
    var settings = cluster.consumerSettings([topic])
    settings.blockBytes = 1 << 13
    settings.queueRecordsPerPartition = 1_000
    settings.queueBytesPerPartition = 1 << 17
    let consumer = try KafkaConsumer(settings)
    let looker = try KafkaConsumer(cluster.consumerSettings([topic]))
    async let filled: Void = cluster.fill(topic, partitions: partitions, from: half, count: half, size: 60)

    var random = TestRandom(seed)
    var readings = (0..<partitions).map { Reading(KafkaPartition(topic, Int32($0))) }
    var readers = try await consumer.readers(of: readings)
    var stalls = 0
    var reassignments = 0
    while stalls + reassignments < changes || readings.contains(where: { $0.next < 2 * half }) {
      let part = Int.random(in: 0..<partitions, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0 where stalls + reassignments < changes:
        stalls += 1
        // Nothing is read for as long as a broker takes to answer a few questions of another client; its records come meanwhile.
        for _ in 0..<Int.random(in: 1...3, using: &random) { _ = try await looker.watermarks(of: [readings[part].partition]) }
      case 1 where stalls + reassignments < changes:
        reassignments += 1
        try await consumer.release([readings[part].partition])
        let again = try await consumer.assign([readings[part].partition: readings[part].next])
        readers[part] = again[0]
      default:
        if readings[part].next < 2 * half, case .block(let block) = try await readers[part].next() {
          readings[part].take(block)
        }
      }
    }
    try await filled
    for reading in readings {
      #expect(reading.next == Int64(2 * half))
      #expect(reading.gaps.isEmpty)
    }
    #expect(readers.allSatisfy { $0.repeatedRecords == 0 })
    print("read through \(stalls) stalls and \(reassignments) reassignments")
    await looker.close()
    await consumer.close()
  }
}
