import WeirDynamoDB
import WeirPlan

/// The requests of a state table in DynamoDB, and their units: one for each KB that is written, two in a transaction, one for each read of
/// 4 KB. `costs_equal_counted.py` compares the requests of a flush with those of a run.
enum DynamoDBCost {
  private static let bounds = DynamoDBStateTable.Bounds()
  private static let transactionItemsMax = 100.0
  /// Bytes of a row without its key and its measures: the keys' names, partition, fence, lane and write.
  private static let rowBytes = 130.0
  /// Of a measure: a kind, and 8 bytes; a decimal has 19.
  private static let measureBytes = 12.0
  /// Of a list of keys without them.
  private static let listBytes = 120.0
  /// Of a key in a list: its length.
  private static let keyBytes = 4.0
  private static let listBytesMax = 256.0 * 1024

  /// What one write costs.
  struct Write {
    var requests = 0.0
    var units = 0.0
    var reads = 0.0
  }

  static func service(_ place: String, _ activity: CostActivity, _ inputs: CostInputs) -> [ServiceCost] {
    let items = writes(activity, inputs)
    let flush = activity.state.filter { !$0.isMerged }.map(\.flushSeconds).max()
    var notes = [
      "rows: at most one write for each key and flush, of the keys that changed; fewer rows if keys repeat less evenly, or flushes stretch (store.share)",
      "storage is not included: 0.25 $ per GB-month in the built-in table, about \(Int(rowBytes + inputs[.keyBytes])) bytes per row and its measures",
    ]
    if let flush {
      notes.append(
        "store.flush decides: at \(CostText.number(flush * 10)) s instead of \(CostText.number(flush)) s each key is written a tenth as often, if it changes all the time"
      )
    }
    return [
      ServiceCost("DynamoDB on demand", place: place, items: items, notes: notes),
      ServiceCost(
        "DynamoDB provisioned", place: place, isAlternative: true, items: items.compactMap(provisioned),
        notes: ["without reserve: a flush is a burst, which needs more capacity than the average, or takes longer"]),
    ]
  }

  /// Capacity for the average: units per second, by the hour.
  private static func provisioned(_ item: CostItem) -> CostItem? {
    let isWrite = item.price == .dynamoDBWrite
    return CostItem(
      item.what, unit: isWrite ? "write capacity-hours" : "read capacity-hours",
      isWrite ? .dynamoDBProvisionedWrite : .dynamoDBProvisionedRead, perSecond: item.perSecond / 3600)
  }

  private static func writes(_ activity: CostActivity, _ inputs: CostInputs) -> [CostItem] {
    var items: [CostItem] = []
    var reads = 0.0
    for isMerged in [false, true] {
      let tables = activity.state.filter { $0.isMerged == isMerged }
      guard let first = tables.first else { continue }
      let writers = isMerged ? 1 : activity.workers
      let rows = tables.map { (rows: max(1, $0.rowsPerFlush / writers), measures: Double($0.measures)) }
      let lanes = isMerged ? 1 : min(activity.lanesPerWorker, rows.map(\.rows).max() ?? 1)
      let perSecond = writers / first.flushSeconds
      let write = flush(rows: rows, lanes: lanes.rounded(.up), keyBytes: inputs[.keyBytes], isMerged: isMerged)
      let what = isMerged ? "rows of merged state tables, with their log and marks" : "rows, with their log and marks"
      items.append(
        CostItem(
          what, unit: "write units", .dynamoDBWrite, perSecond: write.units * perSecond, requestsPerSecond: write.requests * perSecond))
      reads += write.reads * perSecond
    }
    let (epoch, merge) = (marks(lanes: activity.lanesPerWorker.rounded(.up)), mergeMarks)
    let (epochs, merges) = (activity.epochsPerSecond, activity.mergesPerSecond)
    items.append(
      CostItem(
        "marks of ledger entries", unit: "write units", .dynamoDBWrite, perSecond: epoch.units * epochs + merge.units * merges,
        requestsPerSecond: epoch.requests * epochs + merge.requests * merges))
    reads += epoch.reads * epochs + merge.reads * merges
    items.append(CostItem("layout, owners of lanes and writes in progress", unit: "read units", .dynamoDBRead, perSecond: reads))
    return items
  }

  /// One flush of a worker: ``DynamoDBStateTable/write(_:)``.
  /// - Parameters:
  ///   - rows: of each state table, and the measures of a row.
  ///   - lanes: whose rows they are.
  static func flush(rows: [(rows: Double, measures: Double)], lanes: Double, keyBytes: Double, isMerged: Bool) -> Write {
    let count = rows.reduce(0) { $0 + $1.rows.rounded(.up) }
    let rowUnits = rows.reduce(0) { $0 + $1.rows.rounded(.up) * kilobytes(rowBytes + keyBytes + $1.measures * measureBytes) }
    // A list for each lane and table.
    let lists = rows.map { (count: min(lanes, $0.rows.rounded(.up)), keys: $0.rows.rounded(.up) * (keyBytes + self.keyBytes)) }
    let listCount = lists.reduce(0) { $0 + $1.count * max(1, ($1.keys / $1.count / listBytesMax).rounded(.up)) }
    let listUnits = lists.reduce(0) { $0 + $1.count * kilobytes(listBytes + $1.keys / $1.count) }
    if count <= Double(bounds.transactionRows), 2 * lanes + count + listCount <= transactionItemsMax {
      // Owners are conditions of the transaction. A list that it writes is deleted when the ledger is past it.
      let units = 2 * (2 * lanes + rowUnits + listUnits) + listUnits
      return Write(requests: 1 + listCount, units: units, reads: 1)
    }
    // The layout is read, and the owners before the first row and each further part. A note of the write before it and its deletion; an intent mark, where the rows are not of one entry, and a done mark of each lane.
    let marks = (isMerged ? 1 : 2) * lanes
    return Write(
      requests: count + 2 * listCount + 2 + marks, units: rowUnits + 2 * listUnits + 2 + marks,
      reads: 1 + lanes * (1 + ((count - 1) / Double(bounds.partRows)).rounded(.down)))
  }

  /// The marks of an epoch's entry: one transaction, with the owners of its lanes as conditions; the layout is read before.
  static func marks(lanes: Double) -> Write { Write(requests: 1, units: 2 * (2 * lanes + 1), reads: 1) }

  /// The same of a merge, before which the worker claims the merge lane: a transaction of two items, four values, and what is pending.
  static let mergeMarks = Write(requests: 2, units: 2 * 3 + 2 * 2, reads: 7)

  private static func kilobytes(_ bytes: Double) -> Double { max(1, (bytes / 1024).rounded(.up)) }
}
