import Testing
import WeirCore
import WeirOperators

@testable import WeirEngine
@testable import WeirConfiguration

/// No window of a table begins before the year 1 or ends after 9999.
@Suite struct EventTimeBoundsTests {
  private func plan(_ windows: String...) throws -> Plan {
    let tables = windows.enumerated().map { "  g\($0): {by: [k], window: {\($1)}, measure: {c: count()}}\n" }.joined()
    return try loadPipeline(
      yaml:
        "pipeline: p\nsource: {capture: {stream: s}}\nrecord: {fields: {k: string, t: timestamp_us!}, time: {field: t, out_of_order: 1s}}\nsilver: {}\n"
        + (windows.isEmpty ? "" : "gold:\n\(tables)"), file: "p.yaml"
    ).plan
  }

  private func prepared(_ plan: Plan, _ times: [Int64]) -> PreparedBlock {
    let records = times.map { Array("{\"k\":\"a\",\"t\":\($0)}".utf8) }
    return BlockPreparer(CompiledPlan(plan, lookups: []), nil).prepare(RawBlock(records: records))
  }

  @Test(arguments: [
    ["tumbling: 10s"], ["hopping: 60s, every: 7.5s"], ["tumbling: 7d"], ["hopping: 14d, every: 7d"], ["tumbling: 36500d"],
    ["tumbling: 1us"],
    ["tumbling: 3s", "hopping: 60s, every: 1s", "tumbling: 1d"],
  ])
  func `a record is rejected exactly if one of its windows reaches out of the years 1 to 9999`(_ windows: [String]) throws {
    let range = TimestampText.range
    let plan = try plan(windows[0], windows.count > 1 ? windows[1] : windows[0], windows.count > 2 ? windows[2] : windows[0])
    let sizes = plan.gold.map(\.window)
    var offsets: Set<Int64> = [0, 1, 1_000_000]
    for window in sizes {
      for length in [window.sizeMicroseconds, window.slideMicroseconds] {
        offsets.formUnion([length - 1, length, length + 1, 2 * length, length / 2])
      }
    }
    var times: [Int64] = []
    for offset in offsets.sorted() { times += [range.lowerBound + offset, range.upperBound - offset].filter(range.contains) }
    let block = prepared(plan, times)
    for (row, time) in times.enumerated() {
      // By the definition of windows, and not by that of panes.
      let isOutside = sizes.contains { window in
        var start = CivilTime.floorDivide(time, window.slideMicroseconds) * window.slideMicroseconds
        while start > time - window.sizeMicroseconds {
          if start < range.lowerBound || start + window.sizeMicroseconds > range.upperBound { return true }
          start -= window.slideMicroseconds
        }
        return false
      }
      #expect(block.rejections[row]?.stage == (isOutside ? .time : nil), "\(CivilTime.text(ofMicroseconds: time)) in \(windows)")
      #expect(block.decoded.valid[row] == !isOutside)
      #expect((block.columns.verdict[row] == PreparedBlock.Verdict.rejected) == isOutside)
    }
  }

  @Test func `without windows every time of these years is accepted`() throws {
    let block = prepared(try plan(), [TimestampText.range.lowerBound, TimestampText.range.upperBound])
    #expect(block.rejections.isEmpty)
  }

  @Test func `the reason names time and table, and the record does not move the watermark`() throws {
    let block = prepared(try plan("tumbling: 10s"), [0, TimestampText.range.upperBound])
    #expect(
      block.rejections[1]?.reason
        == "event time 9999-12-31T23:59:59.999999Z is in a window of gold.g0 that is not within the years 1 to 9999")
    #expect(block.decoded.valid == [true, false])
  }
}
