import Foundation
import WeirCore
import WeirEngine
import WeirReport

/// The report of a load as one HTML file with its charts inside; it loads nothing from anywhere.
package enum LoadPage {
  /// Percentiles that the axis of the last chart names, and the share of records above each.
  private static let percentiles: [(name: String, above: Double)] =
    [("p50", 0.5), ("p90", 0.1), ("p99", 0.01), ("p99.9", 0.001), ("p99.99", 1e-4), ("p99.999", 1e-5)]

  package static func html(_ result: LoadResult, comparedWith comparison: LoadComparison? = nil) -> String {
    let word = result.isGood ? "PASS" : "FAIL"
    let rest = result.verdict.dropFirst(word.count).drop { $0 == " " }
    let more = result.faults.dropFirst().map { "<li>\(escaped($0))</li>" }.joined()
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
      <meta name="color-scheme" content="light dark"><title>\(word): weir load, \(escaped(result.title))</title><style>\(style)</style></head><body>
      <p class="verdict"><strong class="\(result.isGood ? "good" : "bad")">\(word)</strong> \(escaped(String(rest)))</p>
      \(more.isEmpty ? "" : "<ul>\(more)</ul>")
      <h1>\(escaped(result.title))</h1>
      \(table(rows(result)))
      \(compared(comparison))
      \(charts(result))
      \(checks(result))
      <h2>About this run</h2>
      \(table(result.facts.rows, isText: true))
      \(LoadComparison.pageStart)\(LoadReport.json(result).text.replacingOccurrences(of: "<", with: "\\u003c"))\(LoadComparison.pageEnd)
      </body></html>

      """
  }

  private static let style = """
    :root{--text:#202124;--weak:#5f6368;--grid:#e8eaed;--back:#fff;--good:#188038;--bad:#c5221f;--c0:#80868b;--c1:#1a73e8;--c2:#188038;--c3:#b06000;--c4:#c5221f;--c5:#8430ce}
    @media(prefers-color-scheme:dark){:root{--text:#e8eaed;--weak:#bdc1c6;--grid:#3c4043;--back:#17181a;--good:#81c995;--bad:#f28b82;--c0:#9aa0a6;--c1:#8ab4f8;--c2:#81c995;--c3:#fdd663;--c4:#f28b82;--c5:#d7aefb}}
    *{box-sizing:border-box}
    body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:1em auto;padding:0 1em;color:var(--text);background:var(--back)}
    h1{font-size:1.25em;overflow-wrap:anywhere}h2{font-size:1.05em;margin:1.6em 0 .2em}
    .verdict{font-size:1.15em}.verdict strong{padding:.1em .5em;border:2px solid;border-radius:.3em}.good{color:var(--good)}.bad{color:var(--bad)}
    .wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.15em 1em .15em 0;text-align:left;vertical-align:top;font-weight:normal}
    @media(max-width:480px){.wide{font-size:.85em}td,th{padding-right:.6em}.wide td{overflow-wrap:break-word}}
    th{color:var(--weak)}th.n{text-align:right}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.t{overflow-wrap:anywhere}.o{white-space:nowrap}
    figure{margin:0}figcaption{color:var(--weak);font-size:13px}.key{margin-left:1em;white-space:nowrap}
    .key::before{content:"";display:inline-block;width:1.2em;height:3px;margin-right:.4em;vertical-align:middle;background:currentColor}
    .k0{color:var(--c0)}.k1{color:var(--c1)}.k2{color:var(--c2)}.k3{color:var(--c3)}.k4{color:var(--c4)}.k5{color:var(--c5)}
    .plot{position:relative;height:200px;margin:.6em 1.2em 2em 3.4em}.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
    .plot span{position:absolute;font-size:12px;line-height:1;color:var(--weak);white-space:nowrap}
    .y{right:100%;padding-right:.5em;transform:translateY(50%)}.x{top:100%;padding-top:.5em;transform:translateX(-50%)}
    line,polyline{fill:none;vector-effect:non-scaling-stroke;stroke-width:1.6}.grid{stroke:var(--grid);stroke-width:1}
    .c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}
    """

  private static func charts(_ result: LoadResult) -> String {
    let moments = whileSending(result)
    let seen = result.moments.compactMap { moment in moment.latency.map { (moment.seconds, $0) } }
    var charts = [
      LoadChart(
        title: "Records per second", unit: "records/s",
        lines: [
          .init(name: "scheduled", color: 0, points: moments.map { ($0.seconds, $0.wanted) }),
          .init(name: "sent", color: 1, points: moments.map { ($0.seconds, $0.sent) }),
        ])
    ]
    if result.latency != nil {
      charts.append(
        LoadChart(
          title: "Latency from scheduled send to visible state", unit: "ms",
          lines: [
            .init(name: "p50", color: 2, points: seen.map { ($0.0, Double($0.1.p50) / 1e6) }),
            .init(name: "p99", color: 3, points: seen.map { ($0.0, Double($0.1.p99) / 1e6) }),
            .init(name: "max", color: 4, points: seen.map { ($0.0, Double($0.1.max) / 1e6) }),
          ]))
      charts.append(percentileChart(result.histogram))
    }
    charts.append(
      LoadChart(
        title: "Send delay of the newest record", unit: "ms",
        lines: [.init(name: "behind schedule", color: 5, points: moments.map { ($0.seconds, $0.behindMilliseconds) })]))
    return charts.map(\.html).joined(separator: "\n")
  }

  /// Without the moments that include time after the last record was sent: a rate over such a time would look like a drop.
  private static func whileSending(_ result: LoadResult) -> [LoadMoment] {
    let sending = result.moments.filter { $0.seconds <= result.seconds }
    return sending.count > 1 ? sending : result.moments
  }

  /// Latency by percentile, each nine as wide as the one before; as many as the records can show.
  private static func percentileChart(_ histogram: LatencyHistogram) -> LoadChart {
    let most = min(5, log10(Double(max(10, histogram.records))))
    let points = stride(from: 0.0, through: most + 1e-9, by: 0.1).map { nines in
      (x: nines, y: Double(histogram.percentile(max(1 - pow(10, -nines), 1e-9))) / 1e6)
    }
    let last = points.last?.x ?? most
    let marks = percentiles.map { (x: -log10($0.above), text: $0.name) }.filter { $0.x <= last + 1e-9 }
    return LoadChart(title: "Latency by percentile", unit: "ms", lines: [.init(name: "latency", color: 1, points: points)], marks: marks)
  }

  private static func rows(_ result: LoadResult) -> [(name: String, text: String)] {
    var all = [
      ("sent", Human.count(result.sent)), ("acknowledged", Human.count(result.delivered)), ("failed", Human.count(result.failed)),
      ("time", Human.seconds(result.seconds)), ("rate", "\(Human.count(Int64(result.rate)))/s"),
      ("maximum send delay", Human.fixed(result.behindMaxMilliseconds, 1) + " ms"),
    ]
    if let latency = result.latency {
      all += LoadReport.percentiles(latency).map { ("latency \($0.name)", LoadReport.ms($0.nanoseconds) + " ms") }
    }
    if let limit = result.limits.p99Nanoseconds { all.append(("limit of p99", LoadReport.ms(limit) + " ms")) }
    if let samples = result.samples { all.append(("rows looked up", "\(Human.count(samples.rows)), \(samples.stale) not visible yet")) }
    return all.map { (name: $0.0, text: $0.1) }
  }

  private static func table(_ rows: [(name: String, text: String)], isText: Bool = false) -> String {
    let kind = isText ? "t" : "n"
    let cells = rows.map { row in
      "<tr><th>\(escaped(row.name))</th><td class=\"\(kind)\">\(isText ? words(row.text) : escaped(row.text))</td></tr>"
    }
    return "<table>\(cells.joined())</table>"
  }

  /// Text in which the name of an option is not broken at its hyphens.
  private static func words(_ text: String) -> String {
    text.split(separator: " ", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("--") && $0.count < 24 ? "<span class=\"o\">\(escaped(String($0)))</span>" : escaped(String($0)) }
      .joined(separator: " ")
  }

  private static func compared(_ comparison: LoadComparison?) -> String {
    guard let comparison else { return "" }
    let rows = comparison.rows.map { row in
      "<tr><th>\(row.name)\(row.unit.isEmpty ? "" : ", \(row.unit)")</th>"
        + [LoadComparison.text(row.earlier), LoadComparison.text(row.now), row.change ?? ""].map { "<td class=\"n\">\($0)</td>" }.joined()
        + "</tr>"
    }
    let notes = comparison.differences.map { "<li>\(escaped($0))</li>" }.joined()
    return """
      <h2>Compared with an earlier run</h2><div class="wide"><table><tr><th></th><th class="n">earlier</th><th class="n">now</th><th class="n">change</th></tr>\(rows.joined())</table></div>
      \(notes.isEmpty ? "" : "<p>The runs differ in more than the figures:</p><ul>\(notes)</ul>")
      """
  }

  private static func checks(_ result: LoadResult) -> String {
    guard !result.findings.isEmpty else { return "" }
    let rows = result.findings.map { f in
      "<tr><td>\(escaped(f.place).replacingOccurrences(of: "/", with: "/<wbr>"))</td>"
        + [f.checked, f.lost, f.duplicate, f.disordered].map { "<td class=\"n\">\(Human.count($0))</td>" }.joined()
        + "<td>\(escaped(f.note ?? ""))</td></tr>"
    }
    return
      "<h2>Checks</h2><div class=\"wide\"><table><tr><th></th><th class=\"n\">checked</th><th class=\"n\">lost</th><th class=\"n\">duplicate</th><th class=\"n\">disordered</th><th></th></tr>\(rows.joined())</table></div>"
  }

  static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(
      of: "\"", with: "&quot;")
  }
}
