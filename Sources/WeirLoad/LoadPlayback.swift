import Foundation
import WeirCore
import WeirEngine
import WeirKafka
import WeirLocal

/// Plays a capture of a live stream into a topic: each record to its partition, with its key, headers and distance in time to the first,
/// divided by a speed. An open loop, as ``LoadDriver``.
package final class LoadPlayback: LoadSender, @unchecked Sendable {
  // Unchecked: `run` is called once, by one thread; all else is constant or locked.
  private static let restMicroseconds: UInt32 = 250
  private static let chunkMax = 4096

  /// Where a shard stands: its frame at hand and the next of its records.
  private struct Cursor {
    var frame = 0
    var row = 0
    var records: [(key: [UInt8]?, value: [UInt8]?, headers: [(name: String, value: [UInt8]?)])] = []
    var times: [Int64] = []
  }

  package let counts = LoadCounts()
  package private(set) var sentTo: [Int64]
  package private(set) var startedAt: Int64 = 0
  private let capture: LiveCapture
  private let speed: Double
  private let meter: LatencyMeter?
  private let producer: KafkaProducer
  private let bases: [Int64]
  private let clock: any Clock
  private var cursors: [Cursor]
  private var batch: KafkaBatch
  /// The smallest time of the capture's first records.
  private var origin = Int64.max

  /// - Parameter bases: of the topic's partitions; a shard goes to the partition of its number.
  package init(
    _ capture: LiveCapture, speed: Double, producer: KafkaProducer, topic: String, bases: [Int64], meter: LatencyMeter?, clock: any Clock
  ) throws {
    guard capture.shards.allSatisfy({ $0.number < bases.count }), Set(capture.shards.map(\.stream)).count == 1 else {
      throw WeirError(
        .config,
        "the capture contains \(capture.shards.count) partitions of \(Set(capture.shards.map(\.stream)).count) topics, and \(topic) has \(bases.count)",
        advice: "Play a capture of one topic into a topic with the same number of partitions.")
    }
    self.capture = capture
    self.speed = speed
    self.meter = meter
    self.producer = producer
    self.bases = bases
    self.clock = clock
    batch = KafkaBatch(topic: topic)
    sentTo = [Int64](repeating: 0, count: bases.count)
    cursors = capture.shards.map { _ in Cursor() }
    for shard in cursors.indices {
      try fill(shard)
      origin = min(origin, cursors[shard].times.first { $0 >= 0 } ?? .max)
    }
    guard origin < .max else { throw WeirError(.config, "the capture contains no records with a time", advice: "Choose another capture.") }
  }

  package var total: Int64 { capture.records }

  package func rate(at seconds: Double) -> Double { 0 }

  package func prepare() { startedAt = clock.monotonicNanoseconds }

  package func run(isInterrupted: () -> Bool) throws {
    var sent: Int64 = 0
    while sent < total, !isInterrupted() {
      let now = clock.monotonicNanoseconds - startedAt
      var latest: Int64 = 0
      var taken: Int64 = 0
      for shard in cursors.indices { taken += try send(shard, due: now, latest: &latest) }
      guard taken > 0 else {
        if cursors.allSatisfy({ $0.times.isEmpty }) { return }
        // The driver's own thread, as in LoadDriver.
        usleep(LoadPlayback.restMicroseconds)
        continue
      }
      sent += taken
      counts.sent(sent, at: clock.monotonicNanoseconds - startedAt, due: latest)
    }
  }

  /// Nanoseconds from the start to when a record is due.
  private func due(_ milliseconds: Int64) -> Int64 { Int64(Double(max(0, milliseconds - origin)) * 1e6 / speed) }

  private func send(_ shard: Int, due now: Int64, latest: inout Int64) throws -> Int64 {
    let partition = capture.shards[shard].number
    var (count, first) = (Int64(0), Int64(0))
    while count < LoadPlayback.chunkMax, cursors[shard].row < cursors[shard].times.count {
      let row = cursors[shard].row
      let time = due(cursors[shard].times[row])
      guard time <= now else { break }
      let record = cursors[shard].records[row]
      batch.append(key: record.key, value: record.value, headers: record.headers, partition: partition)
      if count == 0 { first = time }
      latest = max(latest, time)
      count += 1
      cursors[shard].row += 1
      if cursors[shard].row == cursors[shard].times.count { try fill(shard) }
    }
    guard count > 0 else { return 0 }
    sentTo[partition] += count
    meter?.arrives(
      shard: partition, through: bases[partition] + sentTo[partition], records: count, first: startedAt + first, last: startedAt + latest)
    try producer.sendBlocking(batch)
    batch.removeAll()
    return count
  }

  /// Takes the shard's next frame that holds records.
  private func fill(_ shard: Int) throws {
    cursors[shard].row = 0
    cursors[shard].records.removeAll(keepingCapacity: true)
    cursors[shard].times = []
    while cursors[shard].times.isEmpty, let block = try capture.block(ofShard: shard, at: cursors[shard].frame) {
      cursors[shard].frame += 1
      cursors[shard].times = block.timestamps
      block.forEachRecord { _, key, value, headers in
        cursors[shard].records.append((key.map(Array.init), value.map(Array.init), headers))
      }
    }
  }
}
