import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirKinesis

/// Sends what a plan says into a Kinesis stream, as ``LoadDriver`` sends it to a topic: an open loop, on one thread.
///
/// Its batches wait in a bounded queue for the tasks that put them. Where these cannot keep up the thread waits, and records leave late.
package final class StreamLoad: LoadSender, LoadOutlet, @unchecked Sendable {
  // Unchecked: `run` is called once, by one thread; all else is constant or locked.
  private static let restMicroseconds: UInt32 = 250
  private static let requestsAtOnce = 16
  /// Batches that wait.
  private static let batchesMax = 64
  /// Of a batch that is packed into aggregates.
  private static let packedMax = 10_000
  private static let lookNanoseconds: Int64 = 1_000_000

  private struct Waiting {
    var batches: [[KinesisPutter.Entry]] = []
    var underway = 0
    var isFinished = false
    /// What ended the tasks that put is in the load's own end.
    var hasFailed = false
  }

  package let counts = LoadCounts()
  package var startedAt: Int64 { beginning.monotonic }
  private var startedMilliseconds: Int64 { beginning.milliseconds }
  private var beginning = LoadBeginning()
  private let plan: LoadPlan
  private let templates: LoadTemplates
  private let putter: KinesisPutter
  private let spreads: Bool
  private let lingerNanoseconds: Int64
  private let clock: any Clock
  private let waiting = Mutex(Waiting())

  /// - Parameters:
  ///   - templates: of one partition.
  ///   - spreads: each record has an explicit hash key, which spreads them evenly over the shards, whatever their keys are.
  ///   - linger: milliseconds that a record waits at most for others of its request.
  package init(
    plan: LoadPlan, templates: LoadTemplates, putter: KinesisPutter, spreads: Bool = false, linger: Int = 0, clock: any Clock
  ) {
    (self.plan, self.templates, self.putter, self.spreads, self.clock) = (plan, templates, putter, spreads, clock)
    lingerNanoseconds = Int64(linger).saturatingProduct(1_000_000)
  }

  package var total: Int64 { plan.total }
  /// Which shard gets a record is not known before it is stored.
  package var sentTo: [Int64] { [counts.sent] }
  package func rate(at seconds: Double) -> Double { plan.rate(at: seconds) }

  package func prepare() { beginning = LoadBeginning(after: clock) }

  /// Hands everything over, or stops when it is interrupted. Blocks.
  package func run(isInterrupted: () -> Bool) throws {
    defer { waiting.withLock { $0.isFinished = true } }
    var sent: Int64 = 0
    let most = Int64(putter.aggregates ? StreamLoad.packedMax : KinesisPutter.recordsMax)
    while sent < plan.total, !isInterrupted() {
      let now = clock.monotonicNanoseconds - startedAt
      let due = plan.due(after: now)
      let isFull = due - sent >= most || due == plan.total
      guard due > sent, isFull || now - plan.time(of: sent + 1) >= lingerNanoseconds,
        waiting.withLock({ $0.batches.count < StreamLoad.batchesMax })
      else {
        // The driver's own thread; the report shows how late records leave.
        usleep(StreamLoad.restMicroseconds)
        continue
      }
      let batch = made(first: sent, count: Int(min(due - sent, most)))
      sent += Int64(batch.count)
      waiting.withLock { $0.batches.append(batch) }
      counts.sent(sent, at: clock.monotonicNanoseconds - startedAt, due: plan.time(of: sent))
    }
  }

  /// Records from `first` on, at most as many, and as many bytes as a request has.
  private func made(first: Int64, count: Int) -> [KinesisPutter.Entry] {
    var batch: [KinesisPutter.Entry] = []
    var bytes = 0
    for number in first..<first + Int64(count) {
      let template = templates.all[Int(number % Int64(templates.count))]
      guard batch.isEmpty || bytes + template.length + template.keyLength <= KinesisPutter.bytesMax else { break }
      bytes += template.length + template.keyLength
      let due = plan.time(of: number + 1)
      let digits = Array(String(startedMilliseconds + due / 1_000_000).utf8)
      digits.withUnsafeBufferPointer { digits in
        guard let base = digits.baseAddress, digits.count == 13 else { return }
        templates.stamp(template, number: number, microseconds: due / 1000, time: base)
      }
      let text = UnsafePointer(templates.text)
      batch.append(
        .init(
          key: String(decoding: UnsafeBufferPointer(start: text + template.key, count: template.keyLength), as: UTF8.self),
          data: Array(UnsafeBufferPointer(start: text + template.start, count: template.length)),
          explicitHash: spreads ? StreamLoad.spread(number) : nil))
    }
    return batch
  }

  /// The multiples of the golden ratio's part of 2^128: any number of them in a row lies evenly in the range (Knuth, The Art of Computer
  /// Programming, volume 3, section 6.4, theorem S).
  private static func spread(_ number: Int64) -> UInt128 {
    UInt128(truncatingIfNeeded: number) &* (UInt128(0x9E37_79B9_7F4A_7C15) << 64 | UInt128(0xF39C_C060_5CED_C835))
  }

  // MARK: Delivery

  package var delivery: LoadDelivery {
    let put = putter.counts
    return LoadDelivery(
      sent: counts.sent, delivered: Int64(put.delivered), failed: Int64(put.failed), repeated: Int64(put.repeated))
  }

  package func carry() async throws {
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<StreamLoad.requestsAtOnce { group.addTask { try await self.put() } }
        try await group.waitForAll()
      }
    } catch {
      waiting.withLock { $0.hasFailed = true }
      throw error
    }
  }

  private func put() async throws {
    while true {
      let (batch, isOver) = waiting.withLock { waiting -> ([KinesisPutter.Entry]?, Bool) in
        guard !waiting.batches.isEmpty else { return (nil, waiting.isFinished) }
        waiting.underway += 1
        return (waiting.batches.removeFirst(), false)
      }
      if isOver || Task.isCancelled { return }
      guard let batch else {
        await clock.sleep(nanoseconds: StreamLoad.lookNanoseconds)
        continue
      }
      defer { waiting.withLock { $0.underway -= 1 } }
      try await putter.put(batch)
    }
  }

  package func flush(within nanoseconds: Int64) async throws {
    let ends = clock.monotonicNanoseconds.saturatingSum(nanoseconds)
    while waiting.withLock({ !$0.hasFailed && (!$0.batches.isEmpty || $0.underway > 0) }) {
      guard clock.monotonicNanoseconds < ends else {
        throw WeirError(.unavailable, "\(delivery.waiting) of \(delivery.sent) records are not acknowledged yet")
      }
      await clock.sleep(nanoseconds: StreamLoad.lookNanoseconds)
    }
  }
}
