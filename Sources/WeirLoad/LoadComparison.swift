import WeirCore
import WeirReport

/// The figures of a load next to those of an earlier one.
package struct LoadComparison: Sendable {
  struct Row: Sendable {
    var name: String
    var unit: String
    var earlier: Double
    var now: Double

    /// `+12 %`; nil: it was 0.
    var change: String? {
      guard earlier > 0 else { return nil }
      let percent = (now / earlier - 1) * 100
      return (percent < 0 ? "" : "+") + Human.fixed(percent, abs(percent) < 10 ? 1 : 0) + " %"
    }
  }

  private(set) var rows: [Row] = []
  /// What differs between the two but the figures.
  private(set) var differences: [String] = []

  /// Where a page keeps the figures.
  static let (pageStart, pageEnd) = ("<script type=\"application/json\" id=\"weir-load\">", "</script>")

  /// Reads an earlier report: what `--json` printed, or the page of `--html`.
  /// - Throws: `config` where it is neither.
  package static func earlier(_ text: String, file: String) throws(WeirError) -> JSONValue {
    var lines = text.split(separator: "\n").map(String.init)
    if let start = text.range(of: pageStart), let end = text[start.upperBound...].range(of: pageEnd) {
      lines = [String(text[start.upperBound..<end.lowerBound])]
    }
    for line in lines.reversed() {
      if let json = try? JSONValue(parsing: Array(line.utf8)), json["event"]?.string == "done", json["records_per_second"] != nil {
        return json
      }
    }
    throw WeirError(
      .config, "--compare \(file): this is not a report of `weir load`",
      advice: "Name the file that `weir load --json` or `weir load --html` wrote.")
  }

  package init(_ result: LoadResult, earlier: JSONValue) {
    let now = LoadReport.json(result)
    func add(_ name: String, _ unit: String, _ value: (JSONValue) -> Double?) {
      if let before = value(earlier), let after = value(now) { rows.append(Row(name: name, unit: unit, earlier: before, now: after)) }
    }
    add("rate", "/s") { LoadComparison.number($0["records_per_second"]) }
    for name in ["p50", "p90", "p99", "p99.9", "max"] { add(name, "ms") { LoadComparison.number($0["latency_ms"]?[name]) } }
    add("send delay", "ms") { LoadComparison.number($0["behind_schedule_max_ms"]) }
    for name in ["lost", "duplicate", "disordered"] {
      add(name, "") { json in
        guard let checks = json["checks"]?.array, !checks.isEmpty else { return nil }
        return checks.map { LoadComparison.number($0[name]) ?? 0 }.max()
      }
    }
    let texts: [(String, (JSONValue) -> String?)] =
      [("load", { $0["load"]?.string })] + ["version", "host", "seed"].map { name in (name, { $0["run"]?[name]?.string }) }
    for (name, text) in texts where text(earlier) != text(now) {
      differences.append("\(name): \(text(earlier) ?? "unknown") → \(text(now) ?? "unknown")")
    }
  }

  private static func number(_ value: JSONValue?) -> Double? {
    switch value {
    case .int(let number)?: Double(number)
    case .number(let text)?: Double(text)
    default: nil
    }
  }

  /// A figure with as many digits as people need.
  static func text(_ value: Double) -> String {
    value == value.rounded() || value >= 1000 ? Human.count(Int64(value.rounded())) : Human.fixed(value, 1)
  }

  /// For people.
  var lines: [String] {
    func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
    let table = rows.map { row in
      "  " + row.name.padding(toLength: 12, withPad: " ", startingAt: 0) + padded(LoadComparison.text(row.earlier), 12)
        + padded(LoadComparison.text(row.now), 12) + " " + row.unit.padding(toLength: 3, withPad: " ", startingAt: 0)
        + padded(row.change ?? "", 8)
    }
    return ["compared           earlier         now"] + table + differences.map { "  differs      \($0)" }
  }

  var json: JSONValue {
    .members([
      "figures": .array(
        rows.map {
          .members(["name": .string($0.name), "earlier": .number(Human.fixed($0.earlier, 3)), "now": .number(Human.fixed($0.now, 3))])
        }), "differences": .array(differences.map { .string($0) }),
    ])
  }
}
