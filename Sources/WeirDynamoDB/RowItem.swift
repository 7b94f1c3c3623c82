import WeirCore

/// A row as an item.
///
/// | attribute         | kind         | what it is                                                                                     |
/// | `fence`           | binary, 16   | generation and position (``Fence/bytes``): conditions compare it                                |
/// | `lane`            | string       | whose positions these are; without it the item is not a row, see below                           |
/// | `measures`        | binary       | the row's values (``StateValue``); without it the row is deleted (a tombstone)                   |
/// | `rowkey`          | binary       | the whole key, where it is too long for the sort key (``TableLayout/stored(_:)``)                |
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
  static let rowKey = "rowkey"
  static let barrier = "guard"

  /// Of an item as it is written; the rest of DynamoDB's bound is for what take-overs add to it (``guard``, ``barred-SESSION``).
  static let bytesMax = ItemKey.itemBytesMax - 4096

  var key: ItemKey
  private(set) var row: StateRow
  /// False: the key is too large for the item.
  private var hasWholeKey = true

  /// - Parameter oversize: learns of a row that has more than an item takes: it is written without its values.
  /// - Throws: `storage_refused`.
  init(_ row: StateRow, at key: ItemKey, _ oversize: OversizeRows) throws(WeirError) {
    guard key.partition.utf8.count <= ItemKey.partitionBytesMax else {
      throw WeirError(
        .storageRefused, "the name of the state table \(row.table.prefix(64))… is too long for DynamoDB (\(row.table.utf8.count) bytes)",
        advice: "Give the table a shorter name.")
    }
    (self.row, self.key) = (row, key)
    let size = self.size
    guard size > RowItem.bytesMax else { return }
    if let value = row.value {
      let place = row.key.withUnsafeBytes { key in value.withUnsafeBytes { OversizeValue(key: key, value: $0) } }
      self.row.value = place.encoded
    }
    hasWholeKey = self.size <= RowItem.bytesMax
    oversize.note(table: row.table, key: row.key, bytes: size)
  }

  private var size: Int { Item.size(key.attributes + attributes(FlushToken(session: "", number: 0))) }

  private var wholeKey: [(String, Attribute)] {
    hasWholeKey && row.key.count > TableLayout.keyBytesMax ? [(RowItem.rowKey, .bytes(row.key))] : []
  }

  func attributes(_ token: FlushToken) -> [(String, Attribute)] {
    [(RowItem.fence, .bytes(row.fence.bytes)), (RowItem.lane, .text(row.lane)), (RowItem.flush, .bytes(token.bytes))]
      + (row.value.map { [(RowItem.measures, .bytes($0))] } ?? []) + wholeKey
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
    change.update =
      "SET fence = :f, lane = :l, flush = :w" + (wholeKey.isEmpty ? "" : ", rowkey = :k")
      + (row.value == nil ? " REMOVE measures" : ", measures = :m")
    change.condition = "(attribute_not_exists(fence) OR fence <= :f) AND (attribute_not_exists(#b) OR #b < :n)"
    change.names = [("#b", token.barName)]
    change.values =
      [
        (":f", .bytes(row.fence.bytes)), (":l", .text(row.lane)), (":w", .bytes(token.bytes)), (":n", .number(token.number)),
      ] + (row.value.map { [(":m", .bytes($0))] } ?? []) + wholeKey.map { (":k", $0.1) }
    return change
  }

  /// - Returns: nil: the item is not a row.
  static func row(_ table: String, _ item: Item) -> StateRow? {
    guard let lane = item.text(lane), let fence = Fence(item.bytes(fence)), item.sort.first == TableLayout.rowPrefix else { return nil }
    let key = item.bytes(rowKey) ?? Array(item.sort.dropFirst())
    return StateRow(table: table, key: key, fence: fence, lane: lane, value: item.bytes(measures))
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
}
