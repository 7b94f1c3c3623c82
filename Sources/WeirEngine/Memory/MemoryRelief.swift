import WeirCore
import WeirProtocol

/// Word that a worker leaves when it stops for its memory within an epoch: the next run that begins at the same entry commits a smaller
/// epoch first, half as large each time, and does not fail in the same way again. A hint, no part of the ledger.
enum MemoryRelief {
  /// How often to halve the bound of the first epoch after this entry.
  static func halvings(_ store: any ObjectStore, _ layout: LedgerLayout, at entry: Int64) async -> Int {
    guard let bytes = try? await store.get(path(layout)), let word = try? JSONValue(parsing: bytes), word["entry"]?.int == entry,
      let halvings = word["halvings"]?.int, (0...halvingsMax).contains(halvings)
    else { return 0 }
    return Int(halvings)
  }

  /// Leaves a note about an error that a smaller epoch may avoid. A failure to write it is ignored: the error itself is reported.
  static func leave(_ error: any Error, _ store: any ObjectStore, _ layout: LedgerLayout, at entry: Int64) async {
    guard (error as? WeirError)?.code == .memoryExceeded else { return }
    let halvings = min(halvingsMax, Int64(await self.halvings(store, layout, at: entry)) + 1)
    let word = JSONValue.members(["entry": .int(entry), "halvings": .int(halvings)])
    try? await store.replace(NewObject(path: path(layout), bytes: word.bytes))
  }

  private static let halvingsMax: Int64 = 16
  private static func path(_ layout: LedgerLayout) -> String { layout.prefix + "memory.json" }
}
