import WeirCore
import WeirEngine

/// Text in Prometheus's exposition format, version 0.0.4.
struct Exposition {
  enum Kind: String { case counter, gauge, histogram }

  private(set) var bytes: [UInt8] = []
  private var name = ""

  /// Begins a family: its samples follow.
  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    self.name = name
    write("# HELP \(name) \(help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n# TYPE \(name) \(kind.rawValue)\n")
  }

  mutating func sample(_ value: Double, _ labels: [(String, String)] = []) { line(name, labels, Exposition.text(value)) }
  mutating func sample(_ value: some BinaryInteger, _ labels: [(String, String)] = []) { line(name, labels, String(value)) }

  mutating func sample(_ histogram: Histogram, _ labels: [(String, String)] = []) {
    var below: Int64 = 0
    for (bound, count) in zip(histogram.bounds, histogram.counts) {
      below += count
      line(name + "_bucket", labels + [("le", Exposition.text(bound))], String(below))
    }
    line(name + "_bucket", labels + [("le", "+Inf")], String(histogram.total))
    line(name + "_sum", labels, Exposition.text(histogram.sum))
    line(name + "_count", labels, String(histogram.total))
  }

  private mutating func line(_ name: String, _ labels: [(String, String)], _ value: String) {
    write(name)
    if !labels.isEmpty { write("{" + labels.map { "\($0.0)=\"\(Exposition.escape($0.1))\"" }.joined(separator: ",") + "}") }
    write(" \(value)\n")
  }

  private mutating func write(_ text: String) { bytes += text.utf8 }

  private static func escape(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }

  static func text(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
  }
}
