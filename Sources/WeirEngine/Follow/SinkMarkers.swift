import Synchronization
import WeirCore
import WeirProtocol

/// The markers of one route as one worker knows them: through which entry the topic holds the table's rows.
///
/// Markers are numbered without gaps and made by put-if-absent. A worker that knows marker `i` asks for `i + 1` and expects nothing, then
/// for `i` and expects it: two reads and no listing, however often the topic advances. The newest ``kept`` stay, and older ones are deleted
/// oldest first: while `i` is there and `i + 1` is not, no later one ever was. A worker that finds neither has slept, and lists them.
///
/// A worker that slept may put its marker at a number that was deleted. It sees that the one before is gone, removes its own and lists them.
/// If it is stopped before that, the stray has a smaller number than the newest, which counts, and the next worker deletes it.
///
/// Older versions named a marker by its entry, or kept one file; both are read where they are further, and removed with the first marker.
final class SinkMarkers: Sendable {
  private struct Known {
    var isOpen = false
    /// Of the newest marker of any worker; -1: there is none.
    var number: Int64 = -1
    var bytes: [UInt8] = []
    /// The furthest of this ledger; nil: it has not written one.
    var marker: SinkMarker?
    /// Markers that are to be deleted with the next write.
    var older: [String] = []
  }

  /// This number of markers stays: a lake that is copied meanwhile gets one.
  static let kept: Int64 = 8

  private let route: SinkSpec.Route
  private let ledger: Ledger
  private let lake: any ObjectStore
  private let known = Mutex(Known())
  private var layout: LedgerLayout { ledger.layout }

  init(_ route: SinkSpec.Route, _ ledger: Ledger, _ lake: any ObjectStore) {
    (self.route, self.ledger, self.lake) = (route, ledger, lake)
  }

  /// The marker of this ledger, checked; nil if it has not written one.
  /// - Throws: `topic_ahead`, `corrupt`, and what reading lake and ledger throws.
  func read() async throws -> SinkMarker? {
    if !(try await follow()) { try await open() }
    return known.withLock { $0.marker }
  }

  /// The same after listing all markers. A put that arrives long after its writer gave up can make a deleted marker again, and a worker
  /// that slept with that marker as the newest takes it for the newest still.
  /// - Throws: `topic_ahead`, `corrupt`, and what reading lake and ledger throws.
  func readAll() async throws -> SinkMarker? {
    try await open()
    return known.withLock { $0.marker }
  }

  /// Writes a marker, durably, and deletes old ones.
  /// - Throws: what the store throws; `storage` when it does not say whether the marker was written.
  func write(_ marker: SinkMarker) async throws {
    if !known.withLock({ $0.isOpen }) { try await open() }
    for _ in 0..<CommitMachine.triesMax {
      let (last, found) = known.withLock { ($0.number, $0.marker) }
      if let found, found.through >= marker.through {
        // Another worker's, perhaps, and not durable yet. A marker that says less must not have a larger number.
        return last >= 0 ? try await lake.sync(path(last)) : ()
      }
      let object = NewObject(path: path(last + 1), bytes: marker.bytes)
      switch await lake.putIfAbsent(object) {
      case .created:
        guard try await isNewest(last + 1) else {
          try await lake.delete(object.path)
          return try await open()
        }
        known.withLock { known in
          (known.number, known.bytes) = (last + 1, object.bytes)
          known.marker = marker
        }
        return try await deleteOld()
      case .exists:
        // Another worker's, or of a put whose reply was lost.
        if try await !advance(to: last + 1) { try await open() }
      case .unknown(let why):
        throw WeirError(.storage, "the marker \(object.path) could not be written: \(why)", advice: "Weir tries again.")
      }
    }
    throw WeirError(
      .storage, "other workers wrote \(CommitMachine.triesMax) markers of the topic \(route.topic) in the meantime",
      advice: "Weir tries again.")
  }

  // MARK: Knowing

  private func path(_ number: Int64) -> String { layout.sinkMarker(table: route.table, topic: route.topic, number: number) }

  /// Reads on from the newest marker that is known.
  /// - Returns: false: it is not known which is the newest.
  private func follow() async throws -> Bool {
    guard known.withLock({ $0.isOpen && $0.number >= 0 }) else { return false }
    while try await advance(to: known.withLock { $0.number } + 1) {}
    let (number, bytes) = known.withLock { ($0.number, $0.bytes) }
    return try await lake.get(path(number)) == bytes
  }

  /// Takes a marker, if it is there.
  private func advance(to number: Int64) async throws -> Bool {
    guard let bytes = try await lake.get(path(number)) else { return false }
    try await take(bytes, path(number))
    known.withLock { ($0.number, $0.bytes) = (number, bytes) }
    return true
  }

  /// - Returns: whether the marker is of this ledger.
  @discardableResult private func take(_ bytes: [UInt8], _ path: String) async throws -> Bool {
    let marker = try SinkMarker(bytes: bytes, path: path)
    guard marker.ledgerID == (await ledger.fold.genesis.ledgerID) else { return false }
    let isNews = known.withLock { $0.marker.map { $0.through < marker.through } ?? true }
    if isNews {
      let places = layout.sinkMarkers(table: route.table, topic: route.topic)
      try await marker.check(ledger, topic: route.topic, table: route.table, path: path.hasPrefix(places) ? places : path)
      known.withLock { $0.marker = marker }
    }
    return true
  }

  /// Other files there are not the ledger's.
  private func markers(in directory: String) async throws -> [String] {
    try await lake.list(directory).map(\.path).filter { LedgerLayout.sinkMarkerNumber($0) != nil }
  }

  /// Lists all markers, and takes the newest of this ledger.
  private func open() async throws {
    let single = layout.olderSinkMarker(table: route.table, topic: route.topic)
    let places = layout.sinkMarkers(table: route.table, topic: route.topic)
    while true {
      let paths = try await markers(in: places)
      let numbered = paths.filter { $0.hasPrefix(layout.numberedSinkMarkers(table: route.table, topic: route.topic)) }
      let older = paths.filter { !numbered.contains($0) }
      known.withLock { $0 = Known(older: numbered.dropLast(Int(SinkMarkers.kept)) + older + [single]) }
      // Of this ledger the first is the one; others were left by a ledger that had this place before.
      var isWhole = true
      var newest: (number: Int64, bytes: [UInt8])?
      for path in numbered.reversed() {
        guard let bytes = try await lake.get(path) else {
          isWhole = false
          continue
        }
        if newest == nil { newest = LedgerLayout.sinkMarkerNumber(path).map { ($0, bytes) } }
        if try await take(bytes, path) { break }
      }
      for path in older.reversed() {
        guard let bytes = try await lake.get(path) else {
          isWhole = false
          continue
        }
        if try await take(bytes, path) { break }
      }
      if paths.isEmpty, let bytes = try await lake.get(single) { try await take(bytes, single) }
      // Must not report "no marker" where another worker has just replaced one: the topic would start over.
      if known.withLock({ $0.marker == nil }) {
        let isStill = try await markers(in: places) == paths
        if !isWhole || !isStill { continue }
      }
      return known.withLock { known in
        known.isOpen = true
        if let newest { (known.number, known.bytes) = newest }
      }
    }
  }

  // MARK: Writing

  /// Whether a marker that was just made is the newest: the one before it is there, or there never was another.
  private func isNewest(_ number: Int64) async throws -> Bool {
    guard number == 0 else { return try await lake.get(path(number - 1)) != nil }
    return try await markers(in: layout.numberedSinkMarkers(table: route.table, topic: route.topic)) == [path(0)]
  }

  /// The last that is not kept, and the one before it, which a worker that was stopped may have left; the first time, all others.
  private func deleteOld() async throws {
    let (number, older) = known.withLock { known in
      defer { known.older = [] }
      return (known.number, known.older)
    }
    let last = number - SinkMarkers.kept
    for old in [last - 1, last] where old >= 0 { try await lake.delete(path(old)) }
    for path in older { try await lake.delete(path) }
  }
}
