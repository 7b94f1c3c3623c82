import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirKafka

/// What a load has sent so far; written by its thread, read by others.
package final class LoadCounts: Sendable {
  private let sentRecords = Atomic<Int64>(0)
  private let behind = Atomic<Int64>(0)
  private let behindMost = Atomic<Int64>(0)
  private let newest = Atomic<Int64>(0)

  var sent: Int64 { sentRecords.load(ordering: .acquiring) }
  /// Nanoseconds by which the newest record left later than it was due; and the most so far.
  var behindNanoseconds: Int64 { behind.load(ordering: .relaxed) }
  var behindMaxNanoseconds: Int64 { behindMost.load(ordering: .relaxed) }

  /// When the newest record left, nanoseconds from the start.
  var elapsedNanoseconds: Int64 { newest.load(ordering: .relaxed) }

  /// - Parameters:
  ///   - now: from the start; `due`: when the newest of them was.
  func sent(_ records: Int64, at now: Int64, due: Int64) {
    let nanoseconds = max(0, now - due)
    newest.store(now, ordering: .relaxed)
    sentRecords.store(records, ordering: .releasing)
    behind.store(nanoseconds, ordering: .relaxed)
    if nanoseconds > behindMost.load(ordering: .relaxed) { behindMost.store(nanoseconds, ordering: .relaxed) }
  }
}

/// What a load is sent by.
package protocol LoadSender: AnyObject, Sendable {
  var counts: LoadCounts { get }
  /// Records of the whole load.
  var total: Int64 { get }
  /// Records that were handed over, by partition. After ``run(isInterrupted:)``.
  var sentTo: [Int64] { get }
  /// Monotonic nanoseconds of the load's beginning. After ``prepare()``.
  var startedAt: Int64 { get }
  func prepare()
  func run(isInterrupted: () -> Bool) throws
  /// Records a second that are due at a moment of the load.
  func rate(at seconds: Double) -> Double
}

/// Sends what a plan says when it says it, on one thread: an open loop.
///
/// It waits for no answer. Where it, the client or the brokers cannot keep up, records leave late, and count from when they were due.
package final class LoadDriver: LoadSender, @unchecked Sendable {
  // Unchecked: `run` is called once, by one thread; all else is constant or locked.
  private static let restMicroseconds: UInt32 = 250
  /// Records that are stamped before they are handed over.
  private static let chunkMax = 4096

  let plan: LoadPlan
  let templates: LoadTemplates
  package let counts = LoadCounts()
  /// nil: nobody watches.
  private let meter: LatencyMeter?
  private let producer: KafkaProducer
  private let topic: String
  /// The offset of the first record in each partition.
  private let bases: [Int64]
  private let clock: any Clock
  private let batches: [KafkaPointers]
  /// Records handed over, by partition.
  package private(set) var sentTo: [Int64]
  /// Records by the millisecond of the load at which they were due.
  private(set) var dueIn: [Int32]
  /// When record 0 was due at the earliest: monotonic nanoseconds, and UTC milliseconds since 1970.
  package var startedAt: Int64 { beginning.monotonic }
  var startedMilliseconds: Int64 { beginning.milliseconds }
  private var beginning = LoadBeginning()

  package init(
    plan: LoadPlan, templates: LoadTemplates, producer: KafkaProducer, topic: String, bases: [Int64], meter: LatencyMeter?, clock: any Clock
  ) {
    self.plan = plan
    self.templates = templates
    self.producer = producer
    self.topic = topic
    self.bases = bases
    self.meter = meter
    self.clock = clock
    batches = bases.map { _ in KafkaPointers(capacity: LoadDriver.chunkMax) }
    sentTo = [Int64](repeating: 0, count: bases.count)
    dueIn = [Int32](repeating: 0, count: Int(plan.seconds * 1000) + 2)
  }

  package var total: Int64 { plan.total }

  package func rate(at seconds: Double) -> Double { plan.rate(at: seconds) }

  /// Fixes when the load begins: the next millisecond of the wall clock.
  package func prepare() { beginning = LoadBeginning(after: clock) }

  /// Sends everything, or stops when it is interrupted. Blocks.
  package func run(isInterrupted: () -> Bool) throws {
    var sent: Int64 = 0
    while sent < plan.total, !isInterrupted() {
      let now = clock.monotonicNanoseconds - startedAt
      let due = plan.due(after: now)
      guard due > sent else {
        // The driver's own thread; the report shows how late records leave.
        usleep(LoadDriver.restMicroseconds)
        continue
      }
      let count = min(Int(due - sent), LoadDriver.chunkMax, templates.count)
      try send(first: sent, count: count)
      sent += Int64(count)
      counts.sent(sent, at: clock.monotonicNanoseconds - startedAt, due: plan.time(of: sent))
    }
  }

  /// Stamps and hands over records `first ..< first + count`.
  private func send(first: Int64, count: Int) throws {
    var done = 0
    while done < count {
      let from = first + Int64(done)
      let even = plan.even(from: from + 1, count: count - done)
      let (begin, end) = (plan.time(of: from + 1), plan.time(of: from + Int64(even)))
      stamp(from, even, begin, even > 1 ? (end - begin) / Int64(even - 1) : 0)
      done += even
    }
    let (begin, end) = (plan.time(of: first + 1), plan.time(of: first + Int64(count)))
    for (partition, batch) in batches.enumerated() where batch.count > 0 {
      // Told first: the records may be visible before the call returns.
      sentTo[partition] += Int64(batch.count)
      meter?.arrives(
        shard: partition, through: bases[partition] + sentTo[partition], records: Int64(batch.count), first: startedAt + begin,
        last: startedAt + end)
      try producer.sendBlocking(batch, to: topic, partition: Int32(partition))
      batch.removeAll()
    }
  }

  /// Records `first ..< first + count` are due from `begin` on, each a `step` behind the one before.
  private func stamp(_ first: Int64, _ count: Int, _ begin: Int64, _ step: Int64) {
    var millisecond: Int64 = -1
    var number = Int(first % Int64(templates.count))
    let text = templates.text
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 13) { digits in
      templates.all.withUnsafeBufferPointer { all in
        for i in 0..<count {
          let due = begin + step * Int64(i)
          if due / 1_000_000 != millisecond {
            millisecond = due / 1_000_000
            var rest = startedMilliseconds + millisecond
            for at in stride(from: 12, through: 0, by: -1) {
              digits[at] = UInt8(ascii: "0") + UInt8(rest % 10)
              rest /= 10
            }
          }
          dueIn[min(Int(millisecond), dueIn.count - 1)] += 1
          let template = all[number]
          templates.stamp(template, number: first + Int64(i), microseconds: due / 1000, time: digits.baseAddress!)
          batches[template.partition].append(
            key: text + template.key, keyLength: template.keyLength, value: text + template.start, valueLength: template.length)
          number += 1
          if number == all.count { number = 0 }
        }
      }
    }
  }
}
