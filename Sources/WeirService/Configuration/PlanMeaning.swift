import Foundation
import WeirCore

/// What a plan means, without its settings: paths, codec, sizes, intervals. Two plans with equal meaning may share a ledger.
enum PlanMeaning {
  /// Deterministic: keys sorted at every level.
  static func text(_ plan: Plan) -> String {
    var plan = plan
    plan.lake = LakeSpec()
    plan.store = StoreSpec()
    plan.quarantine = QuarantineSpec()
    plan.source.kafka?.settings = KafkaSettingsSpec()
    for i in plan.lookups.indices { plan.lookups[i].file = "" }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let data = try? encoder.encode(plan) else { preconditionFailure("a plan is Codable") }
    return String(decoding: data, as: UTF8.self)
  }

  /// ``text(_:)`` as a document.
  static func json(_ plan: Plan) throws -> JSONValue { try JSONValue(parsing: text(plan).utf8) }

  static func hash(_ plan: Plan) -> ContentHash { ContentHash(of: Array(text(plan).utf8)) }

  /// The parts that differ, in words: at most `limit` of them.
  static func changes(from old: JSONValue, to new: JSONValue, limit: Int = 8) -> [String] {
    var found: [String] = []
    compare(old, new, "", &found)
    return Array(found.prefix(limit))
  }

  private static func compare(_ a: JSONValue?, _ b: JSONValue?, _ path: String, _ found: inout [String]) {
    if a == b { return }
    switch (a, b) {
    case (.object(let x)?, .object(let y)?):
      let names = (x.map(\.name) + y.map(\.name)).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
      for name in names where name != "text" || !names.contains("node") {
        compare(a?[name], b?[name], path.isEmpty ? name : "\(path).\(name)", &found)
      }
    case (.array(let x)?, .array(let y)?):
      for i in 0..<max(x.count, y.count) {
        let label = (i < x.count ? x[i] : y[i])["name"]?.string ?? "\(i)"
        compare(i < x.count ? x[i] : nil, i < y.count ? y[i] : nil, "\(path).\(label)", &found)
      }
    default: found.append("\(path): \(short(a)) -> \(short(b))")
    }
  }

  private static func short(_ v: JSONValue?) -> String {
    guard let v else { return "nothing" }
    let text = v["name"]?.string ?? v["text"]?.string ?? v.text
    return text.count > 60 ? text.prefix(57) + "…" : text
  }
}
