import WeirCore
import WeirOperators
import WeirProtocol

/// Reads again everything that the ledger names and the tables' logs, and compares. May run while a worker runs.
package enum LedgerVerify {
  package typealias Result = VerifyResult

  /// - Parameter state: nil: it is not compared.
  /// - Throws: when there is no ledger. What does not agree, or could not be read, is in the result.
  package static func run(
    _ compiled: CompiledPlan, state: (any StateTableReader)?, environment: EngineEnvironment
  ) async throws -> Result {
    var result = Result()
    let ledger: Ledger
    do {
      ledger = try await LedgerOpening.toLookAt(compiled.plan, environment)
    } catch let error as WeirError where error.code != .config {
      result.add(error)
      return result
    }
    let lake = environment.lake
    let fold = await ledger.fold
    let entries = try await chain(ledger, fold, lake, &result)
    // The tables first: their logs say which files another program removed.
    var removed: Set<String> = []
    let verified = VerifiedLedger(ledger, fold: fold, entries: entries, lake: lake)
    for table in compiled.followedTables {
      try await result.part { try await environment.tables.verify(table, with: verified, &$0, removed: &removed) }
    }
    try await blobSizes(ledger, entries, lake, &result)
    for entry in entries { try await contents(entry, ledger, lake, removed: removed, &result) }
    try await result.part { result in
      for pin in try await lake.list(ledger.layout.schemas) where SchemaPin.isName(pin.path) {
        guard case .bytes(let bytes) = try await result.look(lake, pin.path), !SchemaPin.isIntact(bytes) else { continue }
        result.problems.append("\(pin.path): it is not the schema that was written there")
      }
    }
    if let sinks = compiled.plan.sinks { try await result.part { _ in try await SinkMarker.check(sinks, ledger, lake) } }
    if let state { try await StateVerify.run(compiled, state, environment: environment, ledger, fold: fold, &result) }
    return result
  }

  /// Files that are not the ledger's, and are named.
  private static let othersMax = 5

  /// Entries in order: own hashes, chain. An entry after a gap was cut off from the ledger by a loss.
  private static func chain(
    _ ledger: Ledger, _ fold: LedgerFold, _ lake: any ObjectStore, _ result: inout Result
  ) async throws -> [LedgerEntry] {
    var entries: [LedgerEntry] = []
    for number in 0...fold.number {
      try await result.part { result in
        // Collection takes entries oldest first: what is left has no gap, and must be right.
        guard let entry = try await ledger.read(number) else {
          // A worker may collect meanwhile: then the one before it is gone, too.
          var isLost = try await number > ledger.collectedThrough()
          if !isLost, let last = entries.last { isLost = try await ledger.read(last.number) != nil }
          if isLost {
            result.problems.append("\(ledger.layout.entry(number)): missing")
          }
          return
        }
        if let last = entries.last, last.number == number - 1, entry.previousHash != last.hash {
          result.problems.append("\(ledger.layout.entry(number)): does not follow the entry before it")
        }
        result.entries += 1
        result.bytes += Int64(entry.bytes.count)
        entries.append(entry)
      }
    }
    try await result.part { result in
      for error in try await ledger.markerErrors() { result.add(error) }
    }
    try await result.part { result in
      let listed = try await lake.list(ledger.layout.entries)
      // A worker may have committed meanwhile.
      let head = try await ledger.refresh().number
      let others = listed.filter { LedgerLayout.number(in: $0.path) == nil }
      result.notices += others.prefix(othersMax).map { "\($0.path): not an entry of the ledger; ignored" }
      if others.count > othersMax { result.notices.append("\(others.count - othersMax) more files there that are not entries; ignored") }
      if let first = listed.first(where: { LedgerLayout.number(in: $0.path) ?? -1 > head }) {
        result.problems.append("\(ledger.layout.entry(head + 1)): missing, although later entries are there (\(first.path))")
      }
    }
    return entries
  }

  private static func refs(_ entry: LedgerEntry) -> [BlobRef] {
    let states = entry.lanes.compactMap(\.state)
    return states.flatMap { [$0.base] + $0.deltas } + (entry.partials.map { [$0] } ?? [])
  }

  /// Where the last part of the entry's own blob ends: it has nothing after that.
  private static func blobEnd(_ entry: LedgerEntry, _ path: String) -> Int64 {
    refs(entry).filter { $0.path == path }.map { $0.offset + $0.length }.max() ?? 0
  }

  private static func blobSizes(
    _ ledger: Ledger, _ entries: [LedgerEntry], _ lake: any ObjectStore, _ result: inout Result
  ) async throws {
    try await result.part { result in
      let blobs = try await lake.list(ledger.layout.blobs)
      let sizes = Dictionary(blobs.map { ($0.path, $0.bytes) }) { first, _ in first }
      for entry in entries {
        let path = ledger.layout.blob(attempt: entry.commitID, name: "state")
        if let size = sizes[path], size != blobEnd(entry, path) {
          result.problems.append("\(path): \(size) bytes, entry \(entry.number) wrote \(blobEnd(entry, path))")
        }
      }
    }
  }

  /// Data files and blobs of one entry.
  /// - Parameter removed: data files that another program removed from their tables.
  private static func contents(
    _ entry: LedgerEntry, _ ledger: Ledger, _ lake: any ObjectStore, removed: Set<String>, _ result: inout Result
  ) async throws {
    for file in entry.tables.flatMap(\.files) {
      result.files += 1
      switch try await result.look(lake, file.path) {
      case .unread: break
      case .missing where removed.contains(file.path): break
      case .missing: result.problems.append("\(file.path): missing (entry \(entry.number) names it)")
      case .bytes(let bytes):
        if Int64(bytes.count) != file.bytes || ContentHash(of: bytes).hex != file.hash {
          result.problems.append("\(file.path): its bytes are not those that entry \(entry.number) names")
        }
      }
    }
    for ref in refs(entry) {
      result.blobs += 1
      let path = ref.path
      switch try await result.look(lake, path, (ref.offset, Int(clamping: ref.length))) {
      case .unread: break
      case .missing: try await missing(path, entry, ledger, "entry \(entry.number) names it", &result)
      case .bytes(let bytes):
        if ContentHash(of: bytes).hex != ref.hash {
          result.problems.append(
            "\(path): bytes \(ref.offset) to \(ref.offset &+ ref.length) are not those that entry \(entry.number) names")
        }
      }
    }
    for (name, hash, path) in entry.lanes.flatMap(\.decisions).compactMap(\.namedLookup) {
      result.blobs += 1
      switch try await result.look(lake, path) {
      case .unread: break
      case .missing: try await missing(path, entry, ledger, "the lookup \(name) of entry \(entry.number)", &result)
      case .bytes(let bytes):
        if ContentHash(of: bytes).hex != hash {
          result.problems.append("\(path): its bytes are not the lookup \(name) of entry \(entry.number)")
        }
      }
    }
  }

  /// A worker may have collected the entry and what only it named since the entry was read.
  private static func missing(
    _ path: String, _ entry: LedgerEntry, _ ledger: Ledger, _ what: String, _ result: inout Result
  ) async throws {
    try await result.part { result in
      if try await entry.number > ledger.collectedThrough() { result.problems.append("\(path): missing (\(what))") }
    }
  }
}
