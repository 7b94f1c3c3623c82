import Synchronization
import WeirCore

/// The ledger's snapshot pointer as one worker knows it: the number of the newest snapshot.
///
/// The pointer is a row of markers, numbered without gaps from 0, made by put-if-absent and never overwritten or deleted (DESIGN section 4).
/// Each names a snapshot, and one with a larger number than the marker before it. A worker that knows marker `i` asks for `i + 1` and
/// expects nothing: one read, whatever the ledger holds, and no listing.
///
/// A snapshot that has no marker counts where it is seen: its worker stopped before it wrote the marker, or was of an older version. A worker
/// of an older version writes no markers and may delete entries, but it stops at the first entry of the current format. So the snapshots are
/// listed until this worker has seen such an entry, and never again.
final class SnapshotPointer: Sendable {
  /// Markers that no ledger reaches.
  private static let numberMax: Int64 = 1 << 40

  private struct Known {
    /// Number of the newest marker; -1: there is none.
    var marker: Int64 = -1
    /// The snapshot that it names; -1 without one.
    var marked: Int64 = -1
    /// The newest snapshot that was listed; -1 without one.
    var listed: Int64 = -1
    /// The markers were looked for from the first one on.
    var isOpen = false
    var hasCurrentEntry = false

    mutating func advance(_ number: Int64, _ snapshot: Int64) {
      if number > marker { (marker, marked) = (number, snapshot) }
    }
  }

  private let layout: LedgerLayout
  private let store: any ObjectStore
  private let known = Mutex(Known())

  init(_ layout: LedgerLayout, _ store: any ObjectStore) { (self.layout, self.store) = (layout, store) }

  /// An entry of the current format is in the ledger: workers of older versions stop at it.
  func saw(_ entry: LedgerEntry) {
    if entry.format >= LedgerFormat.current { known.withLock { $0.hasCurrentEntry = true } }
  }

  /// The number of the newest snapshot now; -1 without one.
  /// - Throws: `ledger_corrupt` for a marker that is damaged or missing, and what the store throws.
  func read() async throws -> Int64 {
    if !known.withLock({ $0.isOpen }) { try await open() }
    if !known.withLock({ $0.hasCurrentEntry }) { try await list() }
    try await follow()
    return known.withLock { max($0.marked, $0.listed) }
  }

  /// Makes sure that a marker names a snapshot, or a newer one. Before it returns, nothing that the snapshot covers may be deleted.
  /// - Parameter rest: waits between tries.
  /// - Throws: `storage` when the store does not say whether the marker was written.
  func move(to snapshot: Int64, rest: (_ tries: Int) async -> Void) async throws {
    var tries = 0
    while true {
      _ = try await read()
      let (marker, marked) = known.withLock { ($0.marker, $0.marked) }
      if marked >= snapshot {
        // Perhaps another worker's, or of a put whose reply was lost: not durable yet.
        return try await store.sync(layout.pointer(marker))
      }
      let next = marker + 1
      // A worker that stopped within its put may have left the one before visible and not durable: after a crash of the machine there
      // would be a hole before this one.
      if marker >= 0 { try await store.sync(layout.pointer(marker)) }
      switch await store.putIfAbsent(NewObject(path: layout.pointer(next), bytes: SnapshotPointer.bytes(snapshot))) {
      case .created: return known.withLock { $0.advance(next, snapshot) }
      // Another worker's: the next turn reads it.
      case .exists: tries += 1
      case .unknown:
        tries += 1
        await rest(tries)
      }
      guard tries < CommitMachine.triesMax else {
        throw WeirError(.storage, "the marker \(layout.pointer(next)) could not be written")
      }
    }
  }

  // MARK: Markers

  /// Reads all markers, each of which must be whole and name a newer snapshot than the one before it.
  /// - Returns: an error for each marker that is not.
  /// - Throws: what the store throws.
  func errors() async throws -> [WeirError] {
    var errors: [WeirError] = []
    var (next, newest): (Int64, Int64) = (0, -1)
    for object in try await store.list(layout.pointers) {
      guard let number = LedgerLayout.number(in: object.path) else { continue }
      if number > next { errors.append(lost(layout.pointer(next), object.path)) }
      next = number + 1
      let path = layout.pointer(number)
      let bytes = try await store.get(path)
      do {
        guard let snapshot = try SnapshotPointer.snapshot(in: bytes, path) else { continue }
        if snapshot <= newest { errors.append(SnapshotPointer.broken(path)) }
        newest = max(newest, snapshot)
      } catch { errors.append(error) }
    }
    return errors
  }

  /// Reads on from the newest marker that is known.
  private func follow() async throws {
    var number = known.withLock { $0.marker } + 1
    while let snapshot = try await marker(number) {
      known.withLock { $0.advance(number, snapshot) }
      number += 1
    }
  }

  /// Finds the newest marker. They have no gaps, so doubling and halving finds it with few reads; the listing from there on shows a marker
  /// that was lost.
  private func open() async throws {
    var (low, high): (Int64, Int64) = (-1, 0)
    while try await isThere(high) {
      guard high < SnapshotPointer.numberMax else {
        throw WeirError(
          .storage, "the lake's store says that every object exists, so it is not an object store",
          advice: "Check the lake's endpoint: a proxy or another server may answer in its place.")
      }
      (low, high) = (high, high * 2 + 1)
    }
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if try await isThere(middle) { low = middle } else { high = middle }
    }
    var end = low + 1
    for found in try await store.list(layout.pointers, from: layout.pointer(end)) {
      guard let number = LedgerLayout.number(in: found.path) else { continue }
      guard number == end else { throw lost(layout.pointer(end), found.path) }
      end += 1
    }
    try await list()
    if end > 0 {
      guard let snapshot = try await marker(end - 1) else { throw lost(layout.pointer(end - 1), layout.pointers) }
      known.withLock { $0.advance(end - 1, snapshot) }
    }
    known.withLock { $0.isOpen = true }
  }

  private func list() async throws {
    let first = known.withLock { max($0.marked, $0.listed) }
    let numbers = try await store.list(layout.snapshots, from: first < 0 ? "" : layout.snapshot(first))
      .compactMap { LedgerLayout.number(in: $0.path) }
    known.withLock { $0.listed = max($0.listed, numbers.max() ?? -1) }
  }

  private func isThere(_ number: Int64) async throws -> Bool {
    try await store.get(layout.pointer(number), offset: 0, count: 1) != nil
  }

  private func lost(_ missing: String, _ found: String) -> WeirError {
    WeirError(
      .ledgerCorrupt, "\(missing): missing, although \(found) is there",
      advice: "Nothing was written. Restore the file from a copy of the lake.")
  }

  // MARK: Bytes

  /// The snapshot that a marker names; nil: the marker is not there.
  private func marker(_ number: Int64) async throws -> Int64? {
    let path = layout.pointer(number)
    return try SnapshotPointer.snapshot(in: try await store.get(path), path)
  }

  private static func snapshot(in bytes: [UInt8]?, _ path: String) throws(WeirError) -> Int64? {
    guard let bytes else { return nil }
    guard let snapshot = (try? JSONValue(parsing: bytes))?["snapshot"]?.int, bytes == SnapshotPointer.bytes(snapshot) else {
      throw broken(path)
    }
    return snapshot
  }

  private static func broken(_ path: String) -> WeirError {
    WeirError(
      .ledgerCorrupt, "\(path): it is not the marker of a newer snapshot than the marker before it",
      advice: "Nothing was written. Restore the file from a copy of the lake.")
  }

  /// With a hash: a digit that flips must not make numbers free.
  private static func bytes(_ snapshot: Int64) -> [UInt8] {
    JSONValue.object([
      .init("snapshot", .int(snapshot)), .init("sha256", .string(ContentHash(of: Array("snapshot \(snapshot)".utf8)).hex)),
    ]).bytes
  }
}
