import WeirCore

/// Which tables are to be registered in a catalogue, and when: pure. Times are nanoseconds of a monotonic clock.
///
///     waits ──its table is there──► ready ──registered──► registered ──columns change──► ready
///                                     └──failed──► failed ──after a pause──► ready
///
/// Nothing waits for it, and its failures stop nothing. The pause after a round with failures begins with half a minute and doubles up to ten.
package struct CatalogSchedule: Sendable {
  package enum State: Sendable, Equatable {
    case waits
    case registered
    case failed(String)
  }

  package struct Entry: Sendable {
    package var table: CatalogTable
    package var state = State.waits
  }

  package static let pauseMin: Int64 = 30_000_000_000
  package static let pauseMax: Int64 = 600_000_000_000

  package private(set) var entries: [Entry]
  /// Of all attempts.
  package private(set) var failures: Int64 = 0
  private var nextAt: Int64 = .min
  private var pause: Int64 = 0

  package init(_ tables: [CatalogTable]) { entries = tables.map { Entry(table: $0) } }

  /// A table has other columns than before.
  package mutating func changed(_ table: CatalogTable) {
    guard let i = entries.firstIndex(where: { $0.table.path == table.path }), entries[i].table != table else { return }
    entries[i] = Entry(table: table)
    nextAt = .min
  }

  /// What to register now, all in one round.
  /// - Parameter exists: whether the lake has the table of a path yet.
  package func due(at now: Int64, exists: (String) -> Bool) -> [CatalogTable] {
    entries.filter { entry in
      switch entry.state {
      case .registered: false
      case .waits: exists(entry.table.path)
      case .failed: now >= nextAt && exists(entry.table.path)
      }
    }.map(\.table)
  }

  package mutating func registered(_ table: CatalogTable) { set(table, .registered) }

  /// - Parameter message: for people, without secrets.
  package mutating func failed(_ table: CatalogTable, _ message: String) {
    failures += 1
    set(table, .failed(message))
  }

  /// The end of a round.
  /// - Parameter random: spreads the workers' next ones.
  package mutating func ended(at now: Int64, random: UInt64) {
    guard entries.contains(where: { if case .failed = $0.state { true } else { false } }) else {
      (pause, nextAt) = (0, .min)
      return
    }
    pause = min(CatalogSchedule.pauseMax, max(CatalogSchedule.pauseMin, pause * 2))
    nextAt = now + pause / 2 + Int64(random % UInt64(pause / 2))
  }

  private mutating func set(_ table: CatalogTable, _ state: State) {
    // Its columns may have changed meanwhile.
    guard let i = entries.firstIndex(where: { $0.table == table }) else { return }
    entries[i].state = state
  }
}
