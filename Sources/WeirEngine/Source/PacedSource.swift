import WeirCore

/// Hands out a source's blocks at the times at which their records would arrive at a steady rate.
///
/// Open loop: the schedule is fixed before the first record, so a reader that falls behind does not slow the arrivals down, and its
/// latencies show all of the wait. A block comes when its last record is due.
package actor PacedSource: RecordSource {
  private let source: any RecordSource
  private let nanosecondsPerRecord: Double
  private let clock: any Clock
  private let meter: LatencyMeter
  private let stop: Flag
  private var start: Int64?
  private var records: Int64 = 0

  /// - Parameters:
  ///   - rate: records a second.
  ///   - stop: raised when the run is to end: from then on nothing waits, so that the next cut comes soon.
  package init(_ source: any RecordSource, rate: Double, clock: any Clock, meter: LatencyMeter, stop: Flag = Flag()) {
    self.source = source
    self.stop = stop
    nanosecondsPerRecord = 1e9 / rate
    self.clock = clock
    self.meter = meter
  }

  package func next() async throws -> SourceEvent {
    let event = try await source.next()
    guard case .block(let block, _) = event else { return event }
    let start = self.start ?? clock.monotonicNanoseconds
    self.start = start
    let count = PacedSource.count(block)
    let (first, last) = (due(records + 1, start), due(records + count, start))
    records += count
    meter.arrives(through: block.position + Int64(block.count), records: count, first: first, last: last)
    await stop.wait(until: last, clock)
    return event
  }

  package func close() async { await source.close() }

  private func due(_ record: Int64, _ start: Int64) -> Int64 { start + Int64(Double(record) * nanosecondsPerRecord) }

  private static func count(_ block: RawBlock) -> Int64 {
    if case .spans(let offset, _) = block.framing { return Int64(offset.count) }
    let text = UnsafeBufferPointer(start: block.text.base, count: block.count)
    let ends = text.reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) }
    return Int64(ends) + (text.last == 0x0A ? 0 : 1)
  }
}
