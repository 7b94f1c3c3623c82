import WeirCore
import WeirKafka

/// Reads back what the topic still holds of a load: each partition must hold its records once, in the order in which they were sent.
package struct TopicCheck {
  let consumer: KafkaConsumer
  let templates: LoadTemplates
  let run: UInt32
  let clock: any Clock

  package init(consumer: KafkaConsumer, templates: LoadTemplates, run: UInt32, clock: any Clock) {
    self.consumer = consumer
    self.templates = templates
    self.run = run
    self.clock = clock
  }

  package func check(topic: String, bases: [Int64], sentTo: [Int64]) async throws -> LoadFindings {
    var findings = LoadFindings(place: "topic/\(topic)")
    let partitions = bases.indices.filter { sentTo[$0] > 0 }.map { KafkaPartition(topic, Int32($0)) }
    let bounds = try await consumer.watermarks(of: partitions)
    var starts: [KafkaPartition: Int64] = [:]
    var trimmed: Int64 = 0
    for partition in partitions {
      let base = bases[Int(partition.number)]
      let low = max(base, bounds[partition]?.low ?? base)
      starts[partition] = low
      trimmed += low - base
    }
    for reader in try await consumer.assign(starts) {
      let number = Int(reader.partition.number)
      let (base, sent) = (bases[number], sentTo[number])
      var reading = TopicReading(order: templates.ofPartition[number], expected: (starts[reader.partition] ?? 0) - base, sent: sent)
      // To the topic's end: a record that is there twice lies between, and the last one behind as many places as were sent. What the
      // broker says of the end may be too low.
      let end = max(bounds[reader.partition]?.high ?? 0, base + sent)
      try await read(reader, from: starts[reader.partition] ?? 0, end: end, into: &reading)
      reading.finish(&findings)
    }
    if trimmed > 0 { findings.note = "the broker has already dropped \(trimmed) records" }
    return findings
  }

  /// Records that seem to be missing at the end are asked for again before they are called lost.
  private func read(_ first: KafkaPartitionReader, from: Int64, end: Int64, into reading: inout TopicReading) async throws {
    var (reader, next) = (first, from)
    for _ in 1..<ShardCheck.endAsksMax {
      next = try await pass(reader, from: next, end: end, into: &reading)
      if next >= end, reading.isWhole { return }
      await clock.sleep(nanoseconds: ShardCheck.pauseNanoseconds)
      try await consumer.release([reader.partition])
      guard let again = try await consumer.assign([reader.partition: next]).first else { return }
      reader = again
    }
    _ = try await pass(reader, from: next, end: end, into: &reading)
  }

  /// - Returns: how far it read.
  private func pass(_ reader: KafkaPartitionReader, from: Int64, end: Int64, into reading: inout TopicReading) async throws -> Int64 {
    var next = from
    while next < end || !reading.isWhole {
      switch try await reader.next() {
      case .block(let block):
        for row in 0..<block.count where block.offsets[row] < end || !reading.isWhole {
          reading.take(place(block.value(row), reading))
        }
        next = block.next
      case .caughtUp(let reached): return max(next, reached)
      case .outOfRange, .closed: return next
      }
    }
    return next
  }

  private func place(_ value: [UInt8]?, _ reading: TopicReading) -> Int64? {
    guard let value else { return nil }
    let template = templates.all[0]
    let at = template.id - template.start
    guard value.count >= at + LoadTemplates.idBytes, let id = LoadTemplates.read(id: value[at..<at + LoadTemplates.idBytes]), id.run == run,
      let place = reading.places[Int32(id.number % Int64(templates.count))]
    else { return nil }
    return id.number / Int64(templates.count) * Int64(reading.places.count) + Int64(place)
  }
}

/// What was found of one partition's records so far: each has its place among those that were sent. Pure.
struct TopicReading {
  /// Places after a gap that are remembered as left out.
  private static let missingMax: Int64 = 100_000

  /// The place of a record among those of its partition, by template; missing: it is none of this load.
  private(set) var places: [Int32: Int] = [:]
  private(set) var expected: Int64
  private let sent: Int64
  /// Left out so far: they may come later.
  private var missing: Set<Int64> = []
  private var found = LoadFindings(place: "")

  init(order: [Int32], expected: Int64, sent: Int64) {
    for (place, template) in order.enumerated() { places[template] = place }
    self.expected = expected
    self.sent = sent
  }

  /// The last record that was sent was found.
  var isWhole: Bool { expected >= sent }

  /// - Parameter place: nil: the record is another program's.
  mutating func take(_ place: Int64?) {
    found.checked += 1
    guard let place else {
      found.note = "another producer wrote to the topic meanwhile"
      return
    }
    if place > expected {
      found.lost += place - expected
      for left in expected..<min(place, expected + TopicReading.missingMax) { missing.insert(left) }
    } else if place < expected {
      let isLate = missing.remove(place) != nil
      found.disordered += isLate ? 1 : 0
      found.lost -= isLate ? 1 : 0
      found.duplicate += isLate ? 0 : 1
    }
    expected = max(expected, place + 1)
  }

  func finish(_ findings: inout LoadFindings) {
    findings.checked += found.checked
    findings.lost += found.lost + max(0, sent - expected)
    findings.disordered += found.disordered
    findings.duplicate += found.duplicate
    findings.note = found.note ?? findings.note
  }
}
