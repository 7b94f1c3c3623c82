import WeirDelta
import WeirPlan

/// The requests of a lake in S3, as S3.md counts them: `RequestCountTests` and `costs_equal_counted.py` compare them with runs.
enum S3Cost {
  /// Bytes in the lake for each byte of input, of one table: what notes and storage assume.
  static let storedShare = 0.25
  private static let listedAtOnce = 1000.0
  /// A checkpoint reads the last one in three requests, and each commit since then twice.
  private static let checkpointGets = 3 + 2 * Double(DeltaTip.commitsBetweenCheckpoints)
  /// Listings of a collection without further pages: entries twice, the newest entry, marks, snapshots, blobs, lookups, pointers.
  private static let collectionLists = 8.0

  /// - Parameter keepSeconds: of the ledger's entries.
  static func service(_ place: String, _ activity: CostActivity, _ inputs: CostInputs, keepSeconds: Double, rowTables: Double)
    -> ServiceCost
  {
    var items = writes(activity) + reads(activity) + lists(activity, keepSeconds: keepSeconds)
    var notes = [
      "each data file is one PUT: from 16 MiB on it is one per 8 MiB and two more; DELETE requests are free",
      "quarantine and late tables: commits, but no files",
      "checkpoints come every \(DeltaTip.commitsBetweenCheckpoints) commits of a table, and more seldom in a large table",
    ]
    if inputs.isGiven(.recordBytes), rowTables > 0 {
      items.append(
        CostItem(
          "one month's records, kept for a month", unit: "GB-month", .s3Storage,
          perSecond: activity.inputBytesPerSecond * rowTables * storedShare / 1e9))
      notes.append(
        "storage: bronze and silver at a quarter of the input's bytes each; each further month that they are kept costs as much again")
    } else {
      notes.append("storage is not included: give --record-bytes")
    }
    return ServiceCost("S3", place: place, items: items, notes: notes)
  }

  private static func checkpoints(_ activity: CostActivity) -> Double {
    activity.commitsPerSecond / Double(DeltaTip.commitsBetweenCheckpoints)
  }

  private static func writes(_ activity: CostActivity) -> [CostItem] {
    func put(_ what: String, _ perSecond: Double) -> CostItem { CostItem(what, unit: "PUT", .s3Put, perSecond: perSecond) }
    return [
      put("entries of the ledger, and lane state", 2 * activity.entriesPerSecond), put("data files", activity.filesPerSecond),
      put("commits of tables", activity.commitsPerSecond), put("checkpoints of tables", 2 * checkpoints(activity)),
    ]
  }

  private static func reads(_ activity: CostActivity) -> [CostItem] {
    func get(_ what: String, _ perSecond: Double) -> CostItem { CostItem(what, unit: "GET", .s3Get, perSecond: perSecond) }
    var items = [
      // The entry before and the next marker; a worker that merges looks for entries once more.
      get("entries of the ledger, and markers", 2 * activity.entriesPerSecond + 2 * activity.mergesPerSecond),
      get("data files, before a table names them", activity.filesPerSecond), get("commits of tables", activity.commitsPerSecond),
      get("checkpoints of tables", checkpointGets * checkpoints(activity)),
    ]
    if activity.mergesPartials { items.append(get("partials of epochs, for the merge", activity.epochsPerSecond)) }
    if activity.workers > 1 { items.append(get("entries of other workers", activity.entriesPerSecond * (activity.workers - 1))) }
    if activity.collectionsPerSecond > 0 { items.append(get("entries, for the collection of the ledger", activity.entriesPerSecond)) }
    return items
  }

  private static func lists(_ activity: CostActivity, keepSeconds: Double) -> [CostItem] {
    var items = [CostItem("checkpoints of tables", unit: "LIST", .s3List, perSecond: checkpoints(activity))]
    guard activity.collectionsPerSecond > 0 else { return items }
    // Entries twice, and the blobs that they name.
    let pages = 3 * (activity.entriesPerSecond * keepSeconds / listedAtOnce).rounded(.down)
    items.append(
      CostItem("collection of the ledger", unit: "LIST", .s3List, perSecond: activity.collectionsPerSecond * (collectionLists + pages)))
    return items
  }
}
