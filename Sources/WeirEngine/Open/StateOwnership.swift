import WeirCore
import WeirOperators
import WeirProtocol

/// Whose state table it is.
enum StateOwnership {
  /// - Parameter ledgerID: nil: no ledger's.
  /// - Throws: `foreign_table` when the store belongs to another ledger.
  static func check(_ state: any StateTableReader, _ ledgerID: String?, _ plan: Plan) async throws {
    for spec in plan.state {
      guard let owner = try await state.readMeta(name(spec)), owner != ledgerID.map({ Array($0.utf8) }) else { continue }
      throw WeirError(
        .foreignTable,
        "the state table \(spec.name) belongs to another ledger (\(String(decoding: owner, as: UTF8.self)))",
        advice:
          "Choose \(.otherStore), or another name for the state table. If the lake of this state table was lost, restore it from a copy."
      )
    }
  }

  /// - Throws: `foreign_table` when the store belongs to another ledger.
  static func claim(_ state: any StateTable, _ genesis: Genesis, _ plan: Plan) async throws {
    try await check(state, genesis.ledgerID, plan)
    for spec in plan.state {
      try await state.writeMeta([
        (name(spec), Array(genesis.ledgerID.utf8)), ("schema/\(spec.name)", StateSchema.encode(spec)),
      ])
    }
  }

  private static func name(_ spec: StateSpec) -> String { "owner/\(spec.name)" }
}
