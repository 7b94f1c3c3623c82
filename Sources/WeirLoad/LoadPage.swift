import Foundation
import WeirCore
import WeirEngine
import WeirReport

/// The report of a load as one HTML file with its charts inside; it loads nothing from anywhere.
package enum LoadPage {
  private static let (width, height, margin) = (860.0, 260.0, 54.0)

  private struct Line {
    var name: String
    var color: String
    var points: [(x: Double, y: Double)]
  }

  package static func html(_ result: LoadResult) -> String {
    let moments = result.moments
    let rates = chart(
      "Records per second", "s", "/s",
      [
        Line(name: "due", color: "#9aa0a6", points: moments.map { ($0.seconds, $0.wanted) }),
        Line(name: "sent", color: "#1a73e8", points: moments.map { ($0.seconds, $0.sent) }),
      ])
    let seen = moments.compactMap { moment in moment.latency.map { (moment.seconds, $0) } }
    let latency = chart(
      "Latency from scheduled send to visible state", "s", "ms",
      [
        Line(name: "p50", color: "#188038", points: seen.map { ($0.0, Double($0.1.p50) / 1e6) }),
        Line(name: "p99", color: "#e37400", points: seen.map { ($0.0, Double($0.1.p99) / 1e6) }),
        Line(name: "max", color: "#d93025", points: seen.map { ($0.0, Double($0.1.max) / 1e6) }),
      ])
    let behind = chart(
      "Send delay of the newest record", "s", "ms",
      [Line(name: "behind schedule", color: "#9334e6", points: moments.map { ($0.seconds, $0.behindMilliseconds) })])
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><title>weir load: \(escaped(result.title))</title><style>
      body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#202124}
      table{border-collapse:collapse}td,th{padding:.2em 1em .2em 0;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
      svg{width:100%;height:auto;margin:1em 0}text{font:12px system-ui,sans-serif;fill:#5f6368}
      .good{color:#188038}.bad{color:#d93025}
      </style></head><body>
      <h1>\(escaped(result.title))</h1>
      <p class="\(result.isGood ? "good" : "bad")">\(escaped(result.verdict))</p>
      <table>\(rows(result))</table>
      \(rates)
      \(result.latency == nil ? "" : latency + percentiles(result.histogram))
      \(behind)
      \(checks(result))
      </body></html>

      """
  }

  private static func rows(_ result: LoadResult) -> String {
    var all = [
      ("sent", Human.count(result.sent)), ("acknowledged", Human.count(result.delivered)), ("failed", Human.count(result.failed)),
      ("time", Human.seconds(result.seconds)), ("rate", Human.rate(Double(result.sent) / max(1e-3, result.seconds))),
      ("maximum send delay", Human.fixed(result.behindMaxMilliseconds, 1) + " ms"),
    ]
    if let l = result.latency {
      all += [("p50", l.p50), ("p90", l.p90), ("p99", l.p99), ("p99.9", l.p999), ("max", l.max)].map { ($0, LoadReport.ms($1) + " ms") }
    }
    if let samples = result.samples { all.append(("rows looked up", "\(Human.count(samples.rows)), \(samples.stale) not visible yet")) }
    return all.map { "<tr><th>\($0)</th><td class=\"n\">\($1)</td></tr>" }.joined()
  }

  private static func checks(_ result: LoadResult) -> String {
    guard !result.findings.isEmpty else { return "" }
    let rows = result.findings.map { f in
      "<tr><td>\(escaped(f.place))</td>"
        + [f.checked, f.lost, f.duplicate, f.disordered].map { "<td class=\"n\">\(Human.count($0))</td>" }.joined()
        + "<td>\(escaped(f.note ?? ""))</td></tr>"
    }
    return
      "<h2>Checks</h2><table><tr><th></th><th>checked</th><th>lost</th><th>duplicate</th><th>disordered</th><th></th></tr>\(rows.joined())</table>"
  }

  /// Latency by percentile, the nines evenly spaced.
  private static func percentiles(_ histogram: LatencyHistogram) -> String {
    var points: [(x: Double, y: Double)] = []
    var nines = 0.0
    while nines <= 5 {
      let share = 1 - pow(10, -nines)
      points.append((nines, Double(histogram.percentile(max(share, 1e-9))) / 1e6))
      nines += 0.1
    }
    return chart(
      "Latency by percentile (1: 90 %, 2: 99 %, 3: 99.9 % …)", "nines", "ms", [Line(name: "latency", color: "#1a73e8", points: points)])
  }

  private static func chart(_ title: String, _ xUnit: String, _ yUnit: String, _ lines: [Line]) -> String {
    let all = lines.flatMap(\.points)
    guard let last = all.map(\.x).max(), all.count > 1 else { return "" }
    let top = max(1e-9, (all.map(\.y).max() ?? 1) * 1.08)
    let (w, h) = (width - margin * 1.5, height - margin * 1.3)
    func x(_ value: Double) -> String { Human.fixed(margin + value / max(last, 1e-9) * w, 1) }
    func y(_ value: Double) -> String { Human.fixed(margin * 0.6 + h - value / top * h, 1) }
    var out = "<h2>\(escaped(title))</h2><svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\">"
    for i in 0...4 {
      let value = top * Double(i) / 4
      out += "<line x1=\"\(x(0))\" x2=\"\(x(last))\" y1=\"\(y(value))\" y2=\"\(y(value))\" stroke=\"#e8eaed\"/>"
      out += "<text x=\"\(Int(margin) - 6)\" y=\"\(y(value))\" text-anchor=\"end\" dy=\"4\">\(short(value))</text>"
      let moment = last * Double(i) / 4
      out += "<text x=\"\(x(moment))\" y=\"\(Int(height) - 12)\" text-anchor=\"middle\">\(short(moment)) \(i == 4 ? xUnit : "")</text>"
    }
    for (i, line) in lines.enumerated() {
      let points = line.points.map { "\(x($0.x)),\(y($0.y))" }.joined(separator: " ")
      out += "<polyline fill=\"none\" stroke=\"\(line.color)\" stroke-width=\"1.6\" points=\"\(points)\"/>"
      out += "<text x=\"\(Int(margin) + 8 + i * 110)\" y=\"16\" style=\"fill:\(line.color)\">\(escaped(line.name)) (\(yUnit))</text>"
    }
    return out + "</svg>"
  }

  private static func short(_ value: Double) -> String {
    value >= 1e6
      ? Human.fixed(value / 1e6, 1) + "M"
      : value >= 1e3 ? Human.fixed(value / 1e3, 0) + "k" : value >= 10 ? Human.fixed(value, 0) : Human.fixed(value, 1)
  }

  private static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(
      of: "\"", with: "&quot;")
  }
}
