import Foundation
import Testing
import WeirCore
@testable import WeirService

struct ConfigurationTests {
  private static let good = """
    pipeline: p
    source: {capture: {stream: s}}
    record:
      format: json
      key: user
      time: {field: t, out_of_order: 2s}
      fields: {id: string!, user: string, t: timestamp_ms!, n: int64, amount: "decimal(12,2)"}
    dedup: {id: id, within: 10s}
    silver: {partition_by: day(t)}
    gold:
      g:
        by: [user]
        window: {tumbling: 10s, lateness: 5s}
        measure: {rows: count(), total: sum(amount)}
    state:
      st: {by: [user], measure: {rows: count()}}
    """

  private func problems(_ from: String, _ to: String) -> [Diagnostic] {
    let yaml = ConfigurationTests.good.replacingOccurrences(of: from, with: to)
    do {
      return try loadPipeline(yaml: yaml, file: "p.yaml").warnings
    } catch { return error.diagnostics }
  }

  @Test func theGoodFileIsGood() { #expect(problems("", "").isEmpty) }

  @Test func everyMistakeIsToldWithPlaceReasonAndTheNearestName() {
    let cases: [(from: String, to: String, code: String, line: Int, column: Int, suggestion: String?)] = [
      ("dedup:", "dedupe:", "unknown_key", 8, 1, "dedup"),
      ("key: user", "key: usr", "unknown_column", 5, 8, "user"),
      ("n: int64", "n: int46", "bad_type", 7, 60, "int64"),
      ("within: 10s", "within: 10x", "bad_duration", 8, 25, nil),
      ("tumbling: 10s", "tumbling: 0s", "impossible_window", 13, 24, nil),
      ("sum(amount)", "sum(amout)", "expression", 14, 41, "amount"),
      ("sum(amount)", "\"quantile(amount, 0.5)\"", "not_yet", 14, 37, nil),
      ("capture: {stream: s}", "kinesis: {stream: t}", "not_yet", 2, 10, nil),
      ("day(t)", "day(n)", "type_mismatch", 9, 24, nil),
      ("day(t)", "day(tt)", "unknown_column", 9, 24, "t"),
      ("measure: {rows: count(), total", "measure: {rows: count(), user", "duplicate_name", 14, 30, nil),
    ]
    for item in cases {
      let found = problems(item.from, item.to)
      #expect(found.count == 1, "\(item.to): \(found.map(\.text))")
      guard let first = found.first else { continue }
      #expect(first.code == item.code && first.line == item.line && first.column == item.column, "\(first.text)")
      #expect(first.suggestion == item.suggestion, "\(first.text)")
    }
  }

  @Test func hoppingWindowsMustFit() {
    let window = "{tumbling: 10s, lateness: 5s}"
    #expect(problems(window, "{hopping: 60s, every: 7s}").first?.code == "impossible_window")
    #expect(problems(window, "{hopping: 60s}").first?.code == "impossible_window")
    #expect(problems(window, "{hopping: 60s, every: 5s}").isEmpty)
  }

  @Test func thePlansMeaningChangesWithMeaningAlone() throws {
    func meaning(_ from: String, _ to: String) throws -> JSONValue {
      let yaml = ConfigurationTests.good.replacingOccurrences(of: from, with: to)
      return try PlanMeaning.json(try loadPipeline(yaml: yaml, file: "p.yaml").plan)
    }
    let base = try meaning("", "")
    #expect(try meaning("silver:", "lake: {path: ./elsewhere, codec: snappy, flush: {bytes: 1MiB}}\nsilver:") == base)
    let changed = try meaning("tumbling: 10s", "tumbling: 60s")
    #expect(changed != base)
    #expect(PlanMeaning.changes(from: base, to: changed).first == "gold.g.window.sizeMicroseconds: 10000000 -> 60000000")
  }
}

/// Habits as a test: what the tree must not hold.
struct TidyTests {
  @Test func sourcesKeepTheHouseRules() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let logic = ["WeirCore", "WeirOperators", "WeirProtocol", "WeirParquet", "WeirDelta", "WeirEngine"]
    let banned = ["import Foundation", "Date()", "Task.detached", "Task.sleep", " Task {", "UUID()", "print(", "ContinuousClock", ".random(in"]
    for module in logic {
      let folder = root.appendingPathComponent("Sources/\(module)")
      for case let file as URL in FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)! where file.pathExtension == "swift" {
        let text = try String(contentsOf: file, encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count <= 600, "\(file.lastPathComponent) has \(lines.count) lines: one idea each")
        for line in lines where !line.drop(while: { $0 == " " }).hasPrefix("//") {
          for word in banned { #expect(!line.contains(word), "\(module)/\(file.lastPathComponent): \(line)") }
        }
      }
    }
  }
}
