import WeirCore

/// A row as an item.
///
/// | attribute         | kind         | what it is                                                                                     |
/// | `fence`           | binary, 16   | generation and position (``Fence/bytes``): conditions compare it                                |
/// | `lane`            | string       | whose positions these are; without it the item is not a row, see below                           |
/// | `measures`        | binary       | the row's values (``StateValue``); without it the row is deleted (a tombstone)                   |
/// | `flush`           | binary, 16   | which write wrote it (``FlushToken``)                                                            |
/// | `guard`           | binary, 16   | only where writes are barred: the largest fence of those                                        |
/// | `barred-SESSION`  | number       | this write of the session and all before it may not write here any more                         |
///
/// An item without `lane` holds the place of a row that was taken back, or that a barred write has never written.
struct RowItem: Sendable {
  static let fence = "fence"
  static let lane = "lane"
  static let measures = "measures"
  static let flush = "flush"
  static let barrier = "guard"

  var key: ItemKey
  var row: StateRow

  init(_ row: StateRow, _ layout: TableLayout) {
    self.row = row
    key = layout.row(row.table, row.key)
  }

  init(_ row: StateRow, at key: ItemKey) { (self.row, self.key) = (row, key) }

  func attributes(_ token: FlushToken) -> [(String, Attribute)] {
    [(RowItem.fence, .bytes(row.fence.bytes)), (RowItem.lane, .text(row.lane)), (RowItem.flush, .bytes(token.bytes))]
      + (row.value.map { [(RowItem.measures, .bytes($0))] } ?? [])
  }

  /// Replaces the item, and with it what barred writes of smaller fences: the fence itself does that from now on. Any write of an equal or
  /// smaller fence than a barred one takes ``guarded(_:)``.
  func put(_ token: FlushToken) -> ItemChange {
    var change = ItemChange(.put, key)
    change.attributes = attributes(token)
    change.condition = "(attribute_not_exists(fence) OR fence <= :f) AND (attribute_not_exists(#g) OR #g < :f)"
    change.names = [("#g", RowItem.barrier)]
    change.values = [(":f", .bytes(row.fence.bytes))]
    return change
  }

  /// Keeps what bars other writes.
  func guarded(_ token: FlushToken) -> ItemChange {
    var change = ItemChange(.update, key)
    change.update = "SET fence = :f, lane = :l, flush = :w" + (row.value == nil ? " REMOVE measures" : ", measures = :m")
    change.condition = "(attribute_not_exists(fence) OR fence <= :f) AND (attribute_not_exists(#b) OR #b < :n)"
    change.names = [("#b", token.barName)]
    change.values =
      [
        (":f", .bytes(row.fence.bytes)), (":l", .text(row.lane)), (":w", .bytes(token.bytes)), (":n", .number(token.number)),
      ] + (row.value.map { [(":m", .bytes($0))] } ?? [])
    return change
  }

  /// - Returns: nil: the item is not a row.
  static func row(_ table: String, _ item: Item) -> StateRow? {
    guard let lane = item.text(lane), let fence = Fence(item.bytes(fence)), item.sort.first == TableLayout.rowPrefix else { return nil }
    return StateRow(table: table, key: Array(item.sort.dropFirst()), fence: fence, lane: lane, value: item.bytes(measures))
  }

  /// Why a put of a row was refused.
  enum Refusal: Sendable {
    /// It was not: a request before this one has written it, and its answer was lost.
    case written
    /// A larger fence is stored.
    case older
    /// The next owner of the lane does not let this write in.
    case barred
    /// Only ``guarded(_:)`` may write it.
    case guarded
    /// Nothing is in the way any more.
    case free
  }

  func refusal(by item: Item?, _ token: FlushToken) -> Refusal {
    guard let item else { return .free }
    if item.bytes(RowItem.flush) == token.bytes { return .written }
    if let bar = item.number(token.barName), bar >= token.number { return .barred }
    if let stored = Fence(item.bytes(RowItem.fence)), stored > row.fence { return .older }
    if let barrier = Fence(item.bytes(RowItem.barrier)), barrier >= row.fence { return .guarded }
    return .free
  }

  /// - Throws: `storage_refused` where DynamoDB would not take it.
  func check(_ place: String) throws(WeirError) {
    // A retraction may add two barriers.
    let size = Item.size(key.attributes + attributes(FlushToken(session: "", number: 0))) + 128
    let problem: String
    if row.key.count > TableLayout.keyBytesMax {
      problem = "its key has \(row.key.count) bytes, and DynamoDB takes \(TableLayout.keyBytesMax)"
    } else if key.partition.utf8.count > ItemKey.partitionBytesMax {
      problem = "the table's name is too long for DynamoDB"
    } else if size > ItemKey.itemBytesMax {
      problem = "it has \(size) bytes, and DynamoDB takes \(ItemKey.itemBytesMax)"
    } else {
      return
    }
    throw WeirError(
      .storageRefused,
      "a row of the table \(row.table) does not fit in \(place): \(problem); its key is 0x\(RecordHeaders.hex(row.key.prefix(32)))\(row.key.count > 32 ? "… (\(row.key.count) bytes)" : "")",
      advice: "Keep fewer or shorter values in a row of this table, or use another kind of state table.")
  }
}
