import WeirCore

/// Where the parts of a ledger are, all below `<lake>/_weir/<pipeline>/`.
///
///     ledger/00000000000000000042.json      entry 42
///     snapshots/00000000000000000040.json   the fold of entries 0...40
///     pointers/00000000000000000003.json    marker 3: it names the newest snapshot of its time
///     blobs/…                               lane state and partials, under names that hold the attempt's id
///     lookups/<hash>/<attempt>              a lookup's bytes
///     schemas/<id>.json                     the schema of an id in records
///     sinks/<table>/<topic>/markers/<n>.json   through which entry the topic holds the table's rows: the largest number counts
///
/// The ledger's **snapshot pointer** is the snapshot that the newest marker names (``SnapshotPointer``). Nothing is replaced, so the pointer
/// never goes back. (A pointer file that is replaced can: a collector that fell asleep, or a request that was delayed on its way, would put an
/// older number over a newer one, after the entries between them were deleted, and make their numbers free again.)
public struct LedgerLayout: Sendable, Hashable {
  /// Under the lake's root, ending with "/".
  public let prefix: String

  public init(prefix: String) { self.prefix = prefix.hasSuffix("/") ? prefix : prefix + "/" }

  /// Of the pipeline in its lake.
  public init(pipeline: String) { self.init(prefix: "_weir/\(pipeline)/") }

  public var entries: String { prefix + "ledger/" }
  public var snapshots: String { prefix + "snapshots/" }
  public var pointers: String { prefix + "pointers/" }
  public var blobs: String { prefix + "blobs/" }
  public var schemas: String { prefix + "schemas/" }
  public var lookups: String { prefix + "lookups/" }
  public var sinks: String { prefix + "sinks/" }

  public func entry(_ number: Int64) -> String { entries + LedgerLayout.digits(number) + ".json" }
  /// Its largest number shows through which entry the ledger was collected: what is missing above it was lost.
  public var collected: String { prefix + "collected/" }
  public func collected(_ number: Int64) -> String { collected + LedgerLayout.digits(number) + ".json" }
  public func snapshot(_ number: Int64) -> String { snapshots + LedgerLayout.digits(number) + ".json" }
  /// A marker of the snapshot pointer.
  public func pointer(_ number: Int64) -> String { pointers + LedgerLayout.digits(number) + ".json" }

  /// A file of one attempt.
  public func blob(attempt: String, name: String) -> String { blobs + attempt + "-" + name }

  /// Holds the attempt's id besides the hash: the age of a name shows a sweep whether an attempt may still want it,
  /// and an old attempt's file would be taken from under a new one.
  public func lookup(hash: String, attempt: String) -> String { lookups + hash + "/" + attempt }

  /// The schema of an id in records.
  public func schema(_ id: String) -> String { schemas + id + ".json" }

  /// The markers of a table's way to a topic (``SinkMachine``). In ledgers of older versions some are directly in it, named by their entry.
  public func sinkMarkers(table: String, topic: String) -> String { sinks + table + "/" + topic + "/" }

  /// Those that are numbered in the order in which they were made.
  public func numberedSinkMarkers(table: String, topic: String) -> String { sinkMarkers(table: table, topic: topic) + "markers/" }

  public func sinkMarker(table: String, topic: String, number: Int64) -> String {
    numberedSinkMarkers(table: table, topic: topic) + LedgerLayout.digits(number) + ".json"
  }

  /// The number in the path of a marker.
  public static func sinkMarkerNumber(_ path: String) -> Int64? { number(in: path) }

  /// The one marker of a topic in ledgers of older versions.
  public func olderSinkMarker(table: String, topic: String) -> String { sinks + table + "/" + topic + ".json" }

  /// The number in the name of an entry, a snapshot or a marker: 20 digits and `.json`; nil for other files, which are not the ledger's.
  public static func number(in path: String) -> Int64? {
    guard path.hasSuffix(".json") else { return nil }
    let name = path.dropLast(5).split(separator: "/").last ?? ""
    return name.utf8.count == 20 && name.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(name) : nil
  }

  static func digits(_ number: Int64) -> String {
    let s = String(number)
    return String(repeating: "0", count: max(0, 20 - s.utf8.count)) + s
  }
}
