import WeirCore

/// Which keys a write has: noted before its first row, in the log of each lane, until the ledger is past them.
///
/// There is no transaction over many rows, so two things can leave a row that the ledger never reaches, and both are found by this list,
/// without a scan of the table:
///
/// - **A write that was begun and not finished.** Its worker was killed, or it is only paused and its requests are still on their way. The
///   next owner of the lane bars the write at every key of the list when it claims the lane: see ``DynamoDBStateTable/claim(_:)``.
/// - **A finished write beyond the ledger.** The worker was killed before the entry. The next owner takes the rows back:
///   see ``DynamoDBStateTable/retract(_:beyond:owners:)``.
///
/// The races, one by one (A had the lane, B takes it over):
///
/// 1. A notes its keys, notes the write as pending, *then* reads the owners, then writes. B writes the owner, *then* reads what is pending.
///    Reads are consistent. So either A sees the new owner and writes nothing, or B sees A's write and bars it.
/// 2. A row of A's arrives after B has barred its key: its condition fails, for the guard is not below A's fence. It arrived before: B finds it
///    by the list when it retracts, which is after the claim.
/// 3. B has written the key, and a row of A's arrives: B's fence is larger where B's generation is; where it is not, B's write kept the bar.
/// 4. A value next to the rows (a mark) is written only over the very write that A has seen there, and A has seen it *before* it read the owners.
///    B puts its own token in place of that at every name that A's pending write has, so a late mark of A's fails; A then reads the value and,
///    after it, the owners again, and stops.
/// 5. A request of A's whose answer was lost arrives a second time, long after that write was finished. Rows: the fence of the later row is
///    larger, or equal with the same content. A row that B took back is barred for all writes of the log that have its key. Marks: race 4.
/// 6. B is paused in its retraction, and C takes over. B's changes name the exact row that they replace, which B has seen *before* it read the
///    owners for the last time. C's own retraction has changed every such row. The changes are a pending write, too, so C bars them as B did A's.
/// 7. B is paused in its claim: bars only keep out writes of owners before B, and tokens in marks only make their writers look again.
struct FlushLog: Sendable, Hashable {
  /// Of the key lists, so that an item is far below DynamoDB's bound.
  static let bytesMax = 256 * 1024

  var key: ItemKey
  var table: String
  var fence: Fence
  var keys: [[UInt8]]

  static func partition(_ lane: String) -> String { "log#\(lane)" }

  static func lane(_ key: ItemKey) -> String { String(key.partition.dropFirst(partition("").count)) }

  /// Of the write that wrote a list.
  static func token(_ key: ItemKey) -> FlushToken? { FlushToken(Array(key.sort.prefix(FlushToken.bytesCount))) }

  /// The lists of a write, by lane and table in the order of the rows.
  static func lists(_ rows: [StateRow], _ token: FlushToken) -> [FlushLog] {
    struct Group: Hashable {
      var lane: String
      var table: String
      var fence: Fence
    }
    var order: [Group] = []
    var keys: [Group: [[UInt8]]] = [:]
    for row in rows {
      let group = Group(lane: row.lane, table: row.table, fence: row.fence)
      // Of a long key what its item is named by: so a list has room for each.
      let key = TableLayout.stored(row.key)
      if keys[group]?.append(key) == nil {
        order.append(group)
        keys[group] = [key]
      }
    }
    var lists: [FlushLog] = []
    for group in order {
      var left = (keys[group] ?? [])[...]
      while !left.isEmpty {
        var bytes = 0
        let some = left.prefix { key in
          bytes += key.count + 4
          return bytes <= bytesMax
        }
        left = left.dropFirst(some.count)
        let sort = token.bytes + BigEndian.bytes(UInt64(lists.count))
        lists.append(FlushLog(key: ItemKey(partition(group.lane), sort), table: group.table, fence: group.fence, keys: Array(some)))
      }
    }
    return lists
  }

  /// Attributes `table`, `fence`, and `keys`: each with its length before it (32 bits, little-endian).
  var put: ItemChange {
    var out = ByteWriter()
    for key in keys { out.write(counted: key) }
    var change = ItemChange(.put, key)
    change.attributes = [("table", .text(table)), ("fence", .bytes(fence.bytes)), ("keys", .bytes(out.bytes))]
    return change
  }

  init(key: ItemKey, table: String, fence: Fence, keys: [[UInt8]]) {
    (self.key, self.table, self.fence, self.keys) = (key, table, fence, keys)
  }

  /// - Throws: `corrupt`.
  init(_ item: Item, lane: String) throws(WeirError) {
    var reader = ByteReader((item.bytes("keys") ?? [])[...], what: "the log of writes of \(lane)")
    guard let table = item.text("table"), let fence = Fence(item.bytes("fence")), item.bytes("keys") != nil else {
      throw reader.corrupt("an attribute is missing")
    }
    var keys: [[UInt8]] = []
    while !reader.isAtEnd { keys.append(Array(try reader.readCounted())) }
    self.init(key: ItemKey(FlushLog.partition(lane), item.sort), table: table, fence: fence, keys: keys)
  }
}

/// A write that was begun: see ``FlushLog``.
struct PendingFlush: Sendable, Hashable {
  static let partition = "pending"

  var token: FlushToken
  /// Without which nothing is written.
  var owners: [String]
  /// In whose logs its keys are.
  var lanes: [String]
  /// Other items that it writes: values next to the rows, the layout.
  var items: [ItemKey]

  var key: ItemKey { ItemKey(PendingFlush.partition, token.bytes) }

  /// Attribute `flush`, a JSON document.
  var put: ItemChange {
    let json = JSONValue.members([
      "owners": .array(owners.map { .string($0) }), "lanes": .array(lanes.map { .string($0) }),
      "items": .array(items.map { .array([.string($0.partition), .string(RecordHeaders.hex($0.sort))]) }),
    ])
    var change = ItemChange(.put, key)
    change.attributes = [("flush", .text(json.text))]
    return change
  }

  init(token: FlushToken, owners: [String], lanes: [String], items: [ItemKey]) {
    (self.token, self.owners, self.lanes, self.items) = (token, owners, lanes, items)
  }

  /// - Returns: nil: damaged.
  init?(_ item: Item) {
    guard let token = FlushToken(item.sort), let json = item.text("flush").flatMap({ try? JSONValue(parsing: $0.utf8) }),
      let owners = json["owners"]?.array, let lanes = json["lanes"]?.array, let items = json["items"]?.array
    else { return nil }
    self.init(
      token: token, owners: owners.compactMap(\.string), lanes: lanes.compactMap(\.string),
      items: items.compactMap { pair in
        guard let pair = pair.array, pair.count == 2, let partition = pair[0].string, let sort = pair[1].string else { return nil }
        return PendingFlush.unhex(sort).map { ItemKey(partition, $0) }
      })
  }

  private static func unhex(_ text: String) -> [UInt8]? {
    let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == text.utf8.count, digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }
}
