import WeirCore
import WeirOperators

/// Event times whose windows all are within the years 1 to 9999: the times that readers of tables have.
///
/// Decoders refuse times outside of these years, but a window may reach over their ends: the last second of 9999 is in a window that ends in
/// the year 10000, which Python, for one, cannot read. Such a record is quarantined like one with a wrong clock: its time is valid, cannot be
/// used, and does not count towards the watermark. Every plan with windows has its own bounds, whichever of them a record matches.
struct EventTimeBounds: Sendable {
  private let bounds: [(table: String, times: ClosedRange<Int64>)]
  private let all: ClosedRange<Int64>

  /// nil: the plan has no windows.
  init?(_ plan: Plan) {
    guard !plan.gold.isEmpty else { return nil }
    bounds = plan.gold.map { ($0.name, WindowKinds.kind(of: $0.window).times(within: TimestampText.range)) }
    all = bounds.reduce(TimestampText.range) { $0.clamped(to: $1.times) }
  }

  /// Rejects the valid records of a block whose times are outside.
  func apply(to decoded: inout DecodedBlock, times: [Int64]) {
    guard !times.allSatisfy(all.contains) else { return }
    for row in 0..<decoded.count where decoded.valid[row] && !all.contains(times[row]) {
      decoded.valid[row] = false
      // Left out, it is not rejected as well: it only does not count.
      guard !decoded.isDropped(row) else { continue }
      decoded.rejections.append((row, Rejection(stage: .time, reason: reason(times[row]))))
    }
    decoded.rejections.sort { $0.row < $1.row }
  }

  private func reason(_ time: Int64) -> String {
    let table = bounds.first { !$0.times.contains(time) }?.table ?? ""
    return "event time \(CivilTime.text(ofMicroseconds: time)) is in a window of gold.\(table) that is not within the years 1 to 9999"
  }
}
