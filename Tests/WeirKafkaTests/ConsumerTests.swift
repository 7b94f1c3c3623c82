import Synchronization
import Testing
import WeirCore

@testable import WeirKafka

@Suite(.serialized, .timeLimit(.minutes(20))) struct ConsumerTests {
  /// A lane that does not read holds up neither the others nor librdkafka's memory.
  @Test func aPartitionThatIsNotReadIsBoundedAndHoldsUpNoOther() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("pressure", partitions: 2)
    try await cluster.fill(topic, partitions: 2, count: 20_000, size: 200)
    var settings = cluster.consumerSettings([topic])
    settings.queueBytesPerPartition = 1 << 18
    settings.connection.options["fetch.message.max.bytes"] = "65536"
    let consumer = try KafkaConsumer(settings)
    var readings = (0..<2).map { Reading(KafkaPartition(topic, Int32($0))) }
    let readers = try await consumer.readers(of: readings)
    while readings[0].next < 20_000 {
      if case .block(let block) = try await readers[0].next() { readings[0].take(block) }
    }
    let unread = try #require(readers[1].queuedRecords)
    // The queue's bound, what one more fetch may bring, and the block that was made ahead.
    #expect(unread * 200 <= (1 << 18) + (1 << 17) + 65_536)
    #expect(unread > 0)
    while readings[1].next < 20_000 {
      if case .block(let block) = try await readers[1].next() { readings[1].take(block) }
    }
    await consumer.close()
  }

  @Test func theEndIsToldAndNewRecordsWakeTheReader() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("end", partitions: 1)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    let partition = KafkaPartition(topic, 0)
    let reader = try await consumer.assign([partition: 0])[0]
    guard case .caughtUp(0) = try await reader.next() else { throw Unexpected("an empty partition is at its end") }
    for round in 0..<20 {
      try await cluster.fill(topic, partitions: 1, from: round, count: 1)
      var reading = Reading(partition)
      reading.next = Int64(round)
      while reading.next <= round {
        if case .block(let block) = try await reader.next() { reading.take(block) }
      }
    }
    #expect(try await consumer.watermarks(of: [partition])[partition] == KafkaWatermarks(low: 0, high: 20))
    #expect(consumer.cachedHighWatermark(of: partition) == 20)
    await consumer.close()
    guard case .closed = try await reader.next() else { throw Unexpected("a closed reader says so") }
  }

  @Test func whoeverWaitsIsToldWhenThePartitionIsReleased() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("wait", partitions: 1)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    let partition = KafkaPartition(topic, 0)
    let reader = try await consumer.assign([partition: 0])[0]
    _ = try await reader.next()
    async let waiting = reader.next()
    while !reader.isAsked { await Task.yield() }
    try await consumer.release([partition])
    guard case .closed = try await waiting else { throw Unexpected("a released partition yields nothing") }
    await consumer.close()
  }

  @Test func anOffsetThatIsNotThereIsToldAndNotSkipped() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("range", partitions: 1)
    let partition = KafkaPartition(topic, 0)
    // The mock keeps 5 MB: 8 MB trim the beginning.
    try await cluster.fill(topic, partitions: 1, count: 8_000, size: 1_000)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    let bounds = try #require(try await consumer.watermarks(of: [partition])[partition])
    var outside = [bounds.high + 100]
    if cluster.mock != nil {
      #expect(bounds.low > 0)
      outside.append(0)
    }
    for offset in outside {
      let reader = try await consumer.assign([partition: offset])[0]
      guard case .outOfRange(offset) = try await reader.next() else {
        throw Unexpected("offset \(offset) of \(bounds) is not there")
      }
      try await consumer.release([partition])
    }
    // The owner records the gap and goes on at the first offset that is there.
    let reader = try await consumer.assign([partition: bounds.low])[0]
    var reading = Reading(partition)
    reading.next = bounds.low
    while reading.next < bounds.high {
      if case .block(let block) = try await reader.next() { reading.take(block) }
    }
    await consumer.close()
  }

  @Test func startsAreResolvedToOffsets() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("start", partitions: 2)
    try await cluster.fill(topic, partitions: 2, count: 100)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    let (one, two) = (KafkaPartition(topic, 0), KafkaPartition(topic, 1))
    #expect(try await consumer.partitions(of: topic) == [one, two])
    #expect(try await consumer.offsets(from: .earliest, of: [one, two]) == [one: 0, two: 0])
    #expect(try await consumer.offsets(from: .latest, of: [one, two]) == [one: 100, two: 100])
    #expect(try await consumer.offsets(from: .offsets([two: 7]), of: [one, two]) == [one: 0, two: 7])
    if cluster.mock == nil {
      #expect(try await consumer.offsets(from: .timestamp(1), of: [one]) == [one: 0])
    } else {
      TestCluster.notShown("beginning at a timestamp finds the first record at or after it")
    }
    // Behind the ledger, for tools that show lag.
    try await consumer.commit([one: 40])
    #expect(try await consumer.committed([one, two]) == [one: 40])
    consumer.commitBehind([two: 50], metadata: "whose it is")
    // Each look waits for the broker's answer.
    while try await consumer.committed([two])[two] != 50 {}
    #expect(try await consumer.committedWithMetadata([one, two]).mapValues(\.metadata) == [one: "", two: "whose it is"])
    await consumer.close()
  }

  /// A topic that a ledger has read cannot be removed from the pipeline: the message does not advise it.
  @Test func theErrorOfATopicThatWasDeletedSaysWhatWorks() async throws {
    let cluster = try TestCluster(needsMock: true)
    let topic = try await cluster.topic("deleted", partitions: 1)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    #expect(try await consumer.partitions().count == 1)
    cluster.mock?.deleteTopic(topic)
    let error = await #expect(throws: KafkaError.self) { try await consumer.partitions() }
    #expect(error?.advice?.contains("remove") == false && error?.advice?.remedies == [.acceptRecreated(stream: "TOPIC")])
    await consumer.close()
  }

  /// librdkafka repeats a question about the group until its time is over, also while the client leaves.
  @Test func aConsumerThatIsClosedWhileItJoinsAndIsAskedAboutItsGroupEndsSoonAndIsNotLeftBehind() async throws {
    let cluster = try TestCluster()
    let topic = try await cluster.topic("joining", partitions: 1)
    let lines = Mutex<[String]>([])
    let observer = KafkaObserver(log: { _, facility, text in lines.withLock { $0.append("\(facility) \(text)") } })
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]), observer: observer)
    try await consumer.subscribe()
    async let answer = try? await consumer.committed([KafkaPartition(topic, 0)])
    await consumer.close()
    _ = await answer
    #expect(lines.withLock { $0 }.filter { $0.contains("is abandoned") } == [])
  }

  /// A broker that answers and hands out nothing where a record is asked for, such as one whose fetch session hangs.
  @Test func aRecordThatTheBrokerDoesNotDeliverIsAbsent() async throws {
    let cluster = try TestCluster(needsMock: true)
    let topic = try await cluster.topic("silent", partitions: 1)
    try await cluster.fill(topic, partitions: 1, count: 10)
    let consumer = try KafkaConsumer(cluster.consumerSettings([topic]))
    let partition = KafkaPartition(topic, 0)
    let mock = try #require(cluster.mock)
    guard case .record(let block)? = try await consumer.peek([partition: 5])[partition] else { throw Unexpected("the record is there") }
    #expect(block.offsets == [5])
    mock.deliverNothing()
    guard case .absent? = try await consumer.peek([partition: 5], within: 1_000)[partition] else {
      throw Unexpected("what was not delivered says nothing about the topic")
    }
    await consumer.close()
  }
}
