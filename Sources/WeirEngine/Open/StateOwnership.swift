import WeirCore
import WeirOperators
import WeirProtocol

/// Whose state table it is.
enum StateOwnership {
  /// - Throws: `foreign_table` when the store belongs to another ledger.
  static func claim(_ state: any StateTable, _ genesis: Genesis, _ plan: Plan) async throws {
    for spec in plan.state {
      let name = "owner/\(spec.name)"
      if let owner = try await state.readMeta(name), owner != Array(genesis.ledgerID.utf8) {
        throw WeirError(
          "foreign_table",
          "the state table \(spec.name) belongs to another ledger (\(String(decoding: owner, as: UTF8.self)))",
          advice: "Choose another store (--store DIR), or another name for the state table.")
      }
      try await state.writeMeta([
        (name, Array(genesis.ledgerID.utf8)), ("schema/\(spec.name)", StateSchema.encode(spec)),
      ])
    }
  }
}
