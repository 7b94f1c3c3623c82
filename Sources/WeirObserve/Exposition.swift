import WeirCore
import WeirEngine

/// Text in Prometheus's exposition format, version 0.0.4.
struct Exposition {
  enum Kind: String { case counter, gauge, histogram }

  private(set) var bytes: [UInt8] = []
  private let names: Metric.Names
  /// Of every sample, except under old names.
  private let common: [(String, String)]
  private var name = ""
  private var old: Metric.Old?
  /// The family does not exist under these names.
  private var isLeftOut = false

  init(names: Metric.Names = .current, common: [(String, String)] = []) {
    self.names = names
    self.common = names == .current ? common : []
  }

  /// Begins a family: its samples follow.
  mutating func family(_ metric: Metric) { family(metric.row) }

  mutating func family(_ row: Metric.Row) {
    old = names == .old ? row.old : nil
    guard let name = names == .old ? row.old?.name : row.name else {
      isLeftOut = true
      return
    }
    isLeftOut = false
    self.name = name
    let isRenamed = row.name != nil && row.name != name
    write(
      "# HELP \(name) \(Exposition.help(isRenamed ? "Old name of \(row.name ?? "")." : row.help))\n# TYPE \(name) \(row.kind.rawValue)\n")
  }

  mutating func sample(_ value: Double, _ labels: [(String, String)] = []) { line("", labels, Exposition.text(value)) }
  mutating func sample(_ value: some BinaryInteger, _ labels: [(String, String)] = []) { line("", labels, String(value)) }

  mutating func sample(_ histogram: Histogram, _ labels: [(String, String)] = []) {
    var below: Int64 = 0
    for (bound, count) in zip(histogram.bounds, histogram.counts) {
      below += count
      line("_bucket", labels, String(below), bound: Exposition.text(bound))
    }
    line("_bucket", labels, String(histogram.total), bound: "+Inf")
    line("_sum", labels, Exposition.text(histogram.sum))
    line("_count", labels, String(histogram.total))
  }

  private mutating func line(_ suffix: String, _ labels: [(String, String)], _ value: String, bound: String? = nil) {
    guard !isLeftOut else { return }
    write(name)
    write(suffix)
    var isFirst = true
    for (label, value) in common { pair(label, value, &isFirst) }
    for (label, value) in labels { pair(old?.labels[label] ?? label, value, &isFirst) }
    for (label, value) in old?.constant ?? [] { pair(label, value, &isFirst) }
    if let bound { pair("le", bound, &isFirst) }
    write(isFirst ? " " : "} ")
    write(value)
    write("\n")
  }

  private mutating func pair(_ label: String, _ value: String, _ isFirst: inout Bool) {
    write(isFirst ? "{" : ",")
    isFirst = false
    write(label)
    write("=\"")
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\\"), UInt8(ascii: "\""): bytes += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      default: bytes.append(byte)
      }
    }
    write("\"")
  }

  private mutating func write(_ text: String) { bytes += text.utf8 }

  private static func help(_ text: String) -> String { text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n") }

  static func text(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
  }
}
