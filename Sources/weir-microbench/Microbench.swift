import Glibc

/// `weir-microbench --data DIR [--directory DIR] [--runs K] [--quick] [--json FILE]`
///
/// Measures the engine's parts alone on the benchmark's stream, one thread each, beside the limit of the machine that the
/// part is held against: the smallest share is the next part to work on. Not shipped; `Scripts/bench micro` runs it.
@main
struct Microbench {
  static func main() async throws {
    var data: String?
    var directory = "."
    var json: String?
    var runs = 5
    var isQuick = false
    var words = CommandLine.arguments.dropFirst()
    func value(_ option: String) -> String {
      guard let value = words.popFirst() else { stop("\(option) needs a value", usage) }
      return value
    }
    while let word = words.popFirst() {
      switch word {
      case "--data": data = value(word)
      case "--directory": directory = value(word)
      case "--json": json = value(word)
      case "--runs": runs = Int(value(word)) ?? 0
      case "--quick": isQuick = true
      default: stop("unknown argument \(word)", usage)
      }
    }
    guard let data, runs > 0 else { stop("--data DIR is needed, and --runs of 1 or more", usage) }

    let ids = isQuick ? 1_000_000 : 10_000_000
    let idBytes = Parts.dedupMemory(ids: ids)  // first: it watches the process's peak
    let bench = Bench(runs: runs)
    let events = AdEvents(file: data + "/one/events.ndjson", most: (isQuick ? 32 : 96) << 20)
    let parts = Parts(
      bench: bench, events: events, decoded: events.decoded(), directory: directory, dedupIDs: isQuick ? 500_000 : 4_000_000)
    parts.decoding()
    parts.expressions()
    parts.dedup()
    parts.windows()
    parts.parquet()
    try await parts.lmdb(rows: isQuick ? 50_000 : 200_000)
    parts.disk()

    print(Report.table(bench.lines, bytesARecord: Double(events.bytes) / Double(events.records)))
    print("B/s: bytes of the JSON text, whatever the part produces. One thread each, median of \(runs) runs.")
    print("dedup memory: \(Report.fixed(idBytes, 1)) bytes per id at \(ids) ids, growth included (wanted: at most 24)")
    if let json { try Report.save(bench.lines, idBytes, ids, to: json) }
  }

  static let usage = "usage: weir-microbench --data DIR [--directory DIR] [--runs K] [--quick] [--json FILE]"
}

enum Report {
  static func fixed(_ v: Double, _ digits: Int) -> String {
    var buffer = [CChar](repeating: 0, count: 64)
    let n = withVaList([v]) { vsnprintf(&buffer, 64, "%.\(digits)f", $0) }
    return String(decoding: buffer.prefix(Int(n)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func rate(_ v: Double, _ unit: String) -> String {
    let scaled: (Double, String) =
      v >= 1e9 ? (v / 1e9, "G") : v >= 1e6 ? (v / 1e6, "M") : v >= 1e3 ? (v / 1e3, "k") : (v, "")
    return fixed(scaled.0, 2) + " " + scaled.1 + unit
  }

  static func table(_ lines: [Line], bytesARecord: Double) -> String {
    let rows = lines.map { line in
      let perRecord = line.unit == "B/s" ? 1e9 / (line.rate / bytesARecord) : line.unit == "fsync/s" ? 0 : 1e9 / line.rate
      return [
        line.part, line.what, rate(line.rate, line.unit), perRecord > 0 ? fixed(perRecord, 1) : "",
        line.share.map { fixed($0 * 100, 0) + " %" } ?? "", line.limit ?? "",
        "\(fixed(line.range.low / line.rate * 100, 0))-\(fixed(line.range.high / line.rate * 100, 0)) %",
      ]
    }
    let header = ["part", "what", "median", "ns per record", "of its limit", "its limit", "runs"]
    let widths = header.indices.map { i in ([header] + rows).map { $0[i].count }.max() ?? 0 }
    func text(_ cells: [String]) -> String {
      "| " + zip(cells, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: " | ") + " |"
    }
    let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|"
    return ([text(header), rule] + rows.map(text)).joined(separator: "\n")
  }

  static func save(_ lines: [Line], _ idBytes: Double, _ ids: Int, to file: String) throws {
    func quoted(_ text: String) -> String { "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\"" }
    let objects = lines.map { line in
      "  {\"part\": \(quoted(line.part)), \"what\": \(quoted(line.what)), \"rate\": \(fixed(line.rate, 1)), \"unit\": \(quoted(line.unit)), "
        + "\"limit\": \(line.limit.map(quoted) ?? "null"), \"share\": \(line.share.map { fixed($0, 4) } ?? "null"), "
        + "\"slowest\": \(fixed(line.range.low, 1)), \"fastest\": \(fixed(line.range.high, 1))}"
    }
    let text =
      "{\n \"dedup_bytes_per_id\": \(fixed(idBytes, 2)),\n \"dedup_ids\": \(ids),\n \"lines\": [\n"
      + objects.joined(separator: ",\n") + "\n ]\n}\n"
    guard let f = fopen(file, "w") else { stop("\(file) cannot be written", "Name another file with --json") }
    fputs(text, f)
    fclose(f)
  }
}
