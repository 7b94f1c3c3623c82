import WeirCore
import WeirOperators
import WeirProtocol

/// Whose store it is: one ledger's. The marks of lanes and entries in it name no ledger, so those of two would contradict each other.
enum StateOwnership {
  private static let prefix = "owner/"

  /// - Parameter ledgerID: nil: no ledger's.
  /// - Throws: `foreign_table` when a table of the store belongs to another ledger.
  static func check(_ state: any StateTableReader, _ ledgerID: String?, _ plan: Plan) async throws {
    let id = ledgerID.map { Array($0.utf8) }
    for (name, owner) in try await state.listMeta(prefix: prefix) where isTable(name) && owner != id {
      throw WeirError(
        .foreignTable,
        "the state table \(name.dropFirst(prefix.count)) in the store belongs to another ledger (\(String(decoding: owner, as: UTF8.self)))",
        advice:
          "Choose \(.otherStore): each pipeline has its own. If two pipelines shared this store, remove it: each pipeline rebuilds its own tables. If the lake of this state table was lost, restore it from a copy."
      )
    }
  }

  /// The owners of lanes are workers: see ``FlushMark/owner(_:)``.
  private static func isTable(_ name: String) -> Bool {
    let rest = name.dropFirst(prefix.count)
    return !ShardName.hasParts(String(rest)) && !rest.hasPrefix("_")
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

  private static func name(_ spec: StateSpec) -> String { prefix + spec.name }
}
