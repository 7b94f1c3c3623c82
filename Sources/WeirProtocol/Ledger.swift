import WeirCore

/// The ledger of one pipeline in an object store: opens it, commits to it, reads it. Carries out what ``CommitMachine`` says.
///
/// Below `prefix` (`_weir/<pipeline>/`): `ledger/<20 digits>.json` the entries, `snapshots/<20 digits>.json` folds,
/// `pointer.json` the newest snapshot's number, `blobs/` lane state and partials, `lookups/` lookup files.
public struct Ledger: Sendable {
  public let prefix: String
  private let store: any ObjectStore
  private let clock: any Clock
  private let variant: ProtocolVariant

  /// - Parameter prefix: ends with "/".
  public init(store: any ObjectStore, prefix: String, clock: any Clock) {
    self.init(store: store, prefix: prefix, clock: clock, variant: [])
  }

  @_spi(Simulation) public init(store: any ObjectStore, prefix: String, clock: any Clock, variant: ProtocolVariant) {
    self.store = store
    self.prefix = prefix
    self.clock = clock
    self.variant = variant
  }

  static func digits(_ n: Int64) -> String {
    let text = String(n)
    return String(repeating: "0", count: max(0, 20 - text.utf8.count)) + text
  }

  public func entryPath(_ number: Int64) -> String { "\(prefix)ledger/\(Ledger.digits(number)).json" }
  func snapshotPath(_ next: Int64) -> String { "\(prefix)snapshots/\(Ledger.digits(next)).json" }
  var pointerPath: String { prefix + "pointer.json" }

  // MARK: Open

  /// The fold of everything committed: the newest snapshot and the entries behind it. nil: there is no ledger.
  ///
  /// Entries that this worker did not write are made durable before they are acted on (law 1).
  public func open() async throws -> LedgerFold? {
    var fold = try await snapshot() ?? LedgerFold()
    while true {
      guard let entry = try await read(fold.next) else {
        // A gap may be collection at work: then the pointer has moved, and the newer snapshot holds what is missing.
        if let newer = try await snapshot(), newer.next > fold.next {
          fold = newer
          continue
        }
        return fold.next == 0 ? nil : fold
      }
      if !variant.contains(.foreignNotSynced) { try await store.sync(entryPath(fold.next)) }
      try fold.apply(entry, path: entryPath(fold.next))
    }
  }

  private func snapshot() async throws -> LedgerFold? {
    let next = try await pointer()
    guard next > 0 else { return nil }
    guard let bytes = try await store.get(snapshotPath(next)) else {
      // Replaced while we read: the pointer names a newer one now, or the store is broken.
      let again = try await pointer()
      guard again != next, let bytes = try await store.get(snapshotPath(again)) else {
        throw WeirError("corrupt", "the ledger snapshot \(snapshotPath(next)) is missing", advice: "Restore it from a copy.")
      }
      return try LedgerFold(snapshot: bytes, path: snapshotPath(again))
    }
    return try LedgerFold(snapshot: bytes, path: snapshotPath(next))
  }

  /// Below which number the entries are in a snapshot; 0 without one.
  func pointer() async throws -> Int64 {
    guard let bytes = try await store.get(pointerPath) else { return 0 }
    guard let value = try? JSONValue(parsing: bytes), let next = value["next"]?.int, next > 0 else {
      throw WeirError("corrupt", "\(pointerPath) is not what was written", advice: "Restore it from a copy of the lake.")
    }
    return next
  }

  /// Entry `number`, its own hash verified; nil if it is not there.
  public func read(_ number: Int64) async throws -> LedgerEntry? {
    let path = entryPath(number)
    guard let bytes = try await store.get(path) else { return nil }
    let entry = try LedgerEntry(bytes: bytes, path: path)
    guard entry.number == number else { throw WeirError("corrupt", "\(path) holds entry \(entry.number)") }
    return entry
  }

  // MARK: Commit

  /// Commits a draft against `fold`. `rederive` makes the draft again when somebody else's entry came between: what was
  /// merged from the ledger depends on it.
  ///
  /// Reading back may itself fail; then the outcome is unknown, and the caller restores or repeats.
  public func commit(
    _ draft: EntryDraft, on fold: LedgerFold, rederive: @Sendable (LedgerFold) async throws -> EntryDraft
  ) async throws -> CommitOutcome {
    var machine = CommitMachine(fold: fold, now: clock.monotonicNanoseconds, variant: variant)
    var action = machine.propose(draft, now: clock.monotonicNanoseconds)
    while true {
      switch action {
      case .finish(let outcome): return outcome
      case .put(let entry):
        let outcome = await store.putIfAbsent(NewObject(path: entryPath(entry.number), bytes: entry.bytes))
        action = machine.putReturned(outcome, now: clock.monotonicNanoseconds)
      case .readEntry(let number):
        let entry = try await read(number)
        action = machine.entryRead(entry, now: clock.monotonicNanoseconds)
      case .sync(let number):
        if !variant.contains(.foreignNotSynced) { try await store.sync(entryPath(number)) }
        action = machine.synced(now: clock.monotonicNanoseconds)
      case .readPointer:
        action = machine.pointerRead(try await pointer())
      case .rederive(let fold):
        action = machine.rederived(try await rederive(fold), now: clock.monotonicNanoseconds)
      }
    }
  }

  // MARK: Collection

  /// What ``collect(keep:olderThanMicroseconds:followersAt:)`` did.
  public struct Collected: Sendable {
    public var snapshotNext: Int64
    public var entriesDeleted = 0
    public var blobsDeleted = 0
  }

  /// Writes a snapshot of the ledger and deletes entries below it that are old, and old blobs that nothing names.
  ///
  /// Numbers are never free again: the snapshot's pointer is written **before** any entry is deleted, and a put of N counts
  /// only when the pointer read after it shows a snapshot below N. Deletes nothing that is younger than a day, nor an entry
  /// that a follower has not applied.
  ///
  /// - Parameters:
  ///   - keep: newest entries that stay whatever their age.
  ///   - age: entries and blobs younger than this stay; at least a day.
  ///   - followersAt: every follower has applied the entries up to this number.
  public func collect(keep: Int64, olderThanMicroseconds age: Int64, followersAt: Int64) async throws -> Collected {
    guard let fold = try await open() else { return Collected(snapshotNext: 0) }
    let day: Int64 = 86_400_000_000
    let oldest = clock.wallMicroseconds - max(age, day)
    let bound = min(fold.next - keep, followersAt + 1)
    guard bound > 0 else { return Collected(snapshotNext: try await pointer()) }
    _ = await store.putIfAbsent(NewObject(path: snapshotPath(fold.next), bytes: fold.snapshotBytes))
    guard let written = try await store.get(snapshotPath(fold.next)),
      (try LedgerFold(snapshot: written, path: snapshotPath(fold.next))) == fold
    else { throw WeirError("storage", "the ledger snapshot could not be written", isRetriable: true) }
    // The pointer never goes back: somebody else may have written a newer one.
    if try await pointer() < fold.next {
      try await store.replace(
        NewObject(path: pointerPath, bytes: JSONValue.members(["next": .int(fold.next)]).bytes + [0x0A]))
    }
    var done = Collected(snapshotNext: fold.next)
    var named = fold.namedPaths
    for object in try await store.list(prefix + "ledger/") {
      guard let number = Ledger.number(object.path) else { continue }
      if number < bound, number > 0, object.modifiedMicroseconds < oldest {
        try await store.delete(object.path)
        done.entriesDeleted += 1
      } else if let entry = try await read(number) {
        named.formUnion(entry.namedPaths)
      }
    }
    for object in try await store.list(prefix + "blobs/") where object.modifiedMicroseconds < oldest {
      guard !named.contains(String(object.path.dropFirst(prefix.count))) else { continue }
      try await store.delete(object.path)
      done.blobsDeleted += 1
    }
    return done
  }

  private static func number(_ path: String) -> Int64? {
    guard let name = path.split(separator: "/").last, name.hasSuffix(".json") else { return nil }
    return Int64(name.dropLast(5))
  }
}

extension LedgerEntry {
  /// Blobs that the entry names, relative to the ledger's directory.
  public var namedPaths: Set<String> {
    var paths = Set(draft.lanes.flatMap { $0.state?.blobs.map(\.path) ?? [] })
    if let partials = draft.partials { paths.insert(partials.path) }
    for lane in draft.lanes {
      for case .lookup(_, _, let path) in lane.decisions { paths.insert(path) }
    }
    return paths
  }
}
