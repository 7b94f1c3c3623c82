import Foundation
import WeirCore

/// What a plan means, without its settings: paths, codec, sizes, intervals. Two plans with equal meaning may share a ledger.
package enum PlanMeaning {
  /// Deterministic: keys sorted at every level.
  package static func text(_ plan: Plan) -> String {
    var plan = plan
    plan.lake = LakeSpec()
    plan.store = StoreSpec()
    plan.admin = nil
    plan.worker = nil
    plan.quarantine = QuarantineSpec()
    plan.sinks = nil
    plan.catalog = nil
    plan.record.registry = nil
    plan.source.settings = plan.source.settings.meaning
    for i in (plan.severalInputs?.others ?? []).indices {
      plan.severalInputs?.others[i].record.registry = nil
      if let settings = plan.severalInputs?.others[i].source.settings { plan.severalInputs?.others[i].source.settings = settings.meaning }
    }
    for i in plan.lookups.indices {
      (plan.lookups[i].file, plan.lookups[i].format, plan.lookups[i].refreshMicroseconds) = ("", nil, nil)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let data = try? encoder.encode(plan) else { preconditionFailure("a plan is Codable") }
    return String(decoding: data, as: UTF8.self)
  }

  /// ``text(_:)`` as a document.
  package static func json(_ plan: Plan) throws -> JSONValue { try JSONValue(parsing: text(plan).utf8) }

  package static func hash(_ plan: Plan) -> ContentHash { ContentHash(of: Array(text(plan).utf8)) }

  /// The parts that differ, in the words of the pipeline file: at most `limit` lines.
  /// - Parameter types: of the settings that the plans may have.
  package static func changes(from old: JSONValue, to new: JSONValue, types: AdapterTypes, limit: Int = 8) -> [String] {
    PlanChanges.lines(from: old, to: new, types, limit: limit)
  }
}
