import WeirConfiguration
import WeirCore
import WeirProtocol

/// The lookups that a ledger keeps.
enum KeptLookups {
  /// Bytes by the lookup's name; those that are damaged are left out.
  /// - Parameter lake: of the command line.
  /// - Throws: what the lake throws.
  static func of(_ file: String, lake: String?) async throws -> [String: [UInt8]] {
    guard let sketch = try LoadedPipeline.withoutLookups(file: file, sections: .withClients)?.pipeline else { return [:] }
    let wiring = try await Wiring(try Places(sketch, lake: lake, store: nil), withState: false, isLooking: true)
    defer { wiring.threads.stop() }
    let layout = LedgerLayout(pipeline: sketch.plan.pipeline)
    guard
      let ledger = try await Ledger.open(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random, allowsHoles: true)
    else { return [:] }
    var kept: [String: [UInt8]] = [:]
    for (name, version) in await ledger.fold.lookups {
      guard let bytes = try await wiring.lake.get(version.path), ContentHash(of: bytes).hex == version.hash else { continue }
      kept[name] = bytes
    }
    return kept
  }
}
