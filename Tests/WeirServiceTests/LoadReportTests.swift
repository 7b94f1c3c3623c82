import Synchronization
import Testing
import WeirCore
import WeirEngine

@testable import WeirCommands
@testable import WeirLoad
@testable import WeirReport

/// The report of `weir load`: its verdict, its axes and its comparison.
struct LoadReportTests {
  private func result(_ change: (inout LoadResult) -> Void = { _ in }) -> LoadResult {
    var result = LoadResult(title: "orders at 100/s to <t>")
    (result.sent, result.delivered, result.seconds, result.isSettled) = (1000, 1000, 10, true)
    for n in 1...1000 { result.histogram.add(Int64(n) * 1_000_000) }
    result.latency = .init(result.histogram)
    result.moments = (1...10).map {
      LoadMoment(seconds: Double($0), wanted: 100, sent: 100, behindMilliseconds: 1, latency: result.latency)
    }
    result.findings = [LoadFindings(place: "state/t", checked: 1000), LoadFindings(place: "topic/t", checked: 1000)]
    change(&result)
    return result
  }

  @Test func `each kind of fault fails the load, and a limit moves what is a fault`() {
    #expect(result().isGood)
    let faulty: [(String, (inout LoadResult) -> Void)] = [
      ("acknowledged", { $0.delivered = 999 }), ("acknowledged", { $0.failed = 1 }), ("lost", { $0.findings[0].lost = 1 }),
      ("duplicate", { $0.findings[1].duplicate = 1 }), ("disordered", { $0.findings[1].disordered = 1 }),
      ("visible", { $0.isSettled = false }), ("looked up", { $0.samples = .init(rows: 2, stale: 1) }),
      ("--max-p99", { $0.limits.p99Nanoseconds = 900_000_000 }),
      ("no latency", { ($0.limits.p99Nanoseconds, $0.latency) = (1_000_000_000_000, nil) }),
    ]
    for (word, change) in faulty {
      let one = result(change)
      #expect(
        !one.isGood && one.faults.count == 1 && one.faults[0].contains(word) && one.verdict.hasPrefix("FAIL "), "\(word): \(one.faults)")
    }
    #expect(result { $0.limits.p99Nanoseconds = 1_100_000_000 }.isGood)
    #expect(result { ($0.limits.lost, $0.findings[0].lost, $0.delivered) = (5, 5, 995) }.isGood)
    #expect(!result { ($0.limits.lost, $0.findings[0].lost) = (5, 6) }.isGood)
  }

  @Test func `the verdict is the first line for people`() {
    let out = Mutex("")
    let console = Console { bytes, descriptor in if descriptor == 1 { out.withLock { $0 += String(decoding: bytes, as: UTF8.self) } } }
    LoadReport(console: console, json: false).end(result { ($0.failed, $0.isSettled) = (3, false) })
    let lines = out.withLock { $0 }.split(separator: "\n")
    #expect(lines[0] == "FAIL         3 of 1,000 records were not acknowledged" && lines[1].contains("did not become visible"))
    #expect(
      lines.contains { $0.contains("p50 ") && $0.contains("p90 ") && $0.contains("p99 ") && $0.contains("p99.9 ") && $0.contains("max ") })
  }

  @Test func `ticks of an axis are round, few, and reach the maximum`() {
    for max in [0.003, 0.7, 1, 4.2, 9.99, 10, 47, 99, 101, 1234, 99_999, 2_500_000] {
      let ticks = AxisTicks(max: max)
      let last = ticks.values.last ?? 0
      #expect((3...6).contains(ticks.values.count) && last >= max && last - ticks.step < max, "\(max): \(ticks.values)")
      var digit = ticks.step
      while digit < 0.999 { digit *= 10 }
      while digit > 9.99 { digit /= 10 }
      #expect([1, 2, 5].contains { abs(digit - $0) < 1e-6 }, "\(max): step \(ticks.step)")
      let texts = ticks.values.map(ticks.text)
      #expect(Set(texts).count == texts.count && texts[0] == "0", "\(texts)")
    }
    #expect(
      AxisTicks(max: 47).values == [0, 20, 40, 60]
        && AxisTicks(max: 99_999).values.map(AxisTicks(max: 99_999).text) == ["0", "50k", "100k"])
  }

  @Test func `an earlier report is read from JSON and from the page, and compared`() throws {
    let before = result { ($0.seconds, $0.facts.seed, $0.facts.version) = (20, 1, "0.0.9 </script>") }
    let json = LoadReport.json(before).text
    let page = LoadPage.html(before)
    #expect(page.components(separatedBy: LoadComparison.pageEnd).count == 2, "data ends the script")
    for text in ["{\"event\":\"progress\"}\n" + json + "\n", page] {
      let now = result { $0.facts.seed = 2 }
      let comparison = LoadComparison(now, earlier: try LoadComparison.earlier(text, file: "f"))
      let rate = try #require(comparison.rows.first { $0.name == "rate" })
      #expect(rate.earlier == 50 && rate.now == 100 && rate.change == "+100 %")
      #expect(
        comparison.rows.map(\.name) == ["rate", "p50", "p90", "p99", "p99.9", "max", "send delay", "lost", "duplicate", "disordered"])
      #expect(comparison.differences.contains("seed: 1 → 2") && comparison.differences.count == 2, "\(comparison.differences)")
    }
    for wrong in ["", "{}", "[1]", "<html></html>", "{\"event\":\"done\"}"] {
      let error = #expect(throws: WeirError.self) { try LoadComparison.earlier(wrong, file: "f") }
      #expect(error?.code == .config)
    }
  }

  @Test func `the page names its percentiles, and escapes what it shows`() {
    let page = LoadPage.html(result())
    for name in ["p50", "p90", "p99", "p99.9"] { #expect(page.contains(">\(name)</span>"), "\(name)") }
    #expect(!page.contains(">p99.99</span>"), "1,000 records show no p99.99")
    #expect(!page.contains("<t>") && page.contains("&lt;t>"))
  }

  @Test func `the chart of the rate ends with the last record, and that of the latency with the last visible one`() {
    // The last interval is half after the end: 50 per second, although every record was sent on time.
    let late = LoadMoment(seconds: 10.5, wanted: 0, sent: 50, behindMilliseconds: 0, latency: result().latency)
    let page = LoadPage.html(result { $0.moments.append(late) })
    let lines = page.components(separatedBy: "<polyline ").dropFirst().map { $0.prefix { $0 != "/" } }
    #expect(lines.count == 7 && page.components(separatedBy: "<figure>").count == 5)
    #expect(lines.prefix(2).allSatisfy { $0.hasSuffix("1000.0,0.0\"") }, "\(lines.prefix(2))")
    #expect(lines[2].components(separatedBy: ",").count == 12, "eleven points")
    // A load that is shorter than a moment still has its chart.
    let short = LoadPage.html(result { ($0.seconds, $0.moments) = (0.5, Array($0.moments.prefix(2))) })
    #expect(short.contains("Records per second"))
  }

  @Test func `names of options are not broken in the page`() {
    let page = LoadPage.html(result { $0.facts.command = "weir load --max-p99 1ms --topic a<b" })
    #expect(page.contains("weir load <span class=\"o\">--max-p99</span> 1ms <span class=\"o\">--topic</span> a&lt;b"))
    #expect(page.contains("state/<wbr>t"))
  }

  @Test func `a command line is shown as a shell reads it, without the values of options of the client`() {
    #expect(
      LoadRun.command(["load", "--topic", "a b", "--option", "sasl.password=x=y", "--option=k=v", "--stream", "it's"])
        == "weir load --topic 'a b' --option sasl.password=… --option=k=… --stream 'it'\\''s'")
  }
}
