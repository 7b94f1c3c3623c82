import WeirCore

/// A value next to the rows, and the layout: items that are replaced by compare and swap. Each has the token of the write that wrote it, and a
/// write names the token that it replaces. So every write happens once and in its place, even if its request arrives twice or late.
enum MetaItem {
  static let value = "value"
  static let flush = "flush"

  /// What an item was when it was read.
  enum Seen: Sendable, Hashable {
    case absent
    case token([UInt8])

    init(_ item: Item?) { self = (item?.bytes(MetaItem.flush)).map { .token($0) } ?? .absent }
  }

  static func put(_ key: ItemKey, _ attributes: [(String, Attribute)], over seen: Seen, _ token: FlushToken) -> ItemChange {
    var change = ItemChange(.put, key)
    change.attributes = attributes + [(flush, .bytes(token.bytes))]
    switch seen {
    case .absent: change.condition = "attribute_not_exists(flush)"
    case .token(let seen):
      change.condition = "flush = :s"
      change.values = [(":s", .bytes(seen))]
    }
    return change
  }

  /// Deletes an item as it was read.
  static func delete(_ item: Item) -> ItemChange {
    var change = ItemChange(.delete, ItemKey(item.text(ItemKey.partitionName) ?? "", item.sort))
    if let token = item.bytes(flush) {
      (change.condition, change.values) = ("flush = :s", [(":s", .bytes(token))])
    } else {
      change.condition = "attribute_not_exists(flush)"
    }
    return change
  }

  /// Puts a token in place of that of a write that is not to happen any more.
  static func bar(_ key: ItemKey, _ token: FlushToken) -> ItemChange {
    var change = ItemChange(.update, key)
    change.update = "SET flush = :w"
    change.values = [(":w", .bytes(token.bytes))]
    return change
  }

  /// Of a transaction: an owner is stored.
  static func isOwner(_ name: String, _ owner: [UInt8]) -> ItemChange {
    var change = ItemChange(.check, TableLayout.meta(name))
    change.condition = "#v = :o"
    change.names = [("#v", value)]
    change.values = [(":o", .bytes(owner))]
    return change
  }

  /// - Throws: `storage_refused` where DynamoDB would not take it.
  static func check(_ name: String, _ bytes: [UInt8], _ place: String) throws(WeirError) {
    guard name.utf8.isEmpty || name.utf8.count > ItemKey.sortBytesMax || bytes.count + name.utf8.count + 64 > ItemKey.itemBytesMax else {
      return
    }
    throw WeirError(
      .storageRefused,
      "the value \(name.prefix(64)) does not fit in \(place): it has \(bytes.count) bytes, and DynamoDB takes \(ItemKey.itemBytesMax)",
      advice: "Use another kind of state table for this pipeline.")
  }
}

extension DynamoDBStateTable {
  package func readMeta(_ name: String) async throws -> [UInt8]? {
    _ = try await layout()
    guard !name.isEmpty else { return nil }
    return try await requests.get(TableLayout.meta(name))?.bytes(MetaItem.value)
  }

  package func listMeta(prefix: String) async throws -> [(name: String, value: [UInt8])] {
    _ = try await layout()
    return try await metas(prefix: prefix)
  }

  func metas(prefix: String = "") async throws -> [(name: String, value: [UInt8])] {
    var found: [(name: String, value: [UInt8])] = []
    try await requests.queryAll("meta", prefix: Array(prefix.utf8)) { items in
      for item in items {
        if let value = item.bytes(MetaItem.value) { found.append((String(decoding: item.sort, as: UTF8.self), value)) }
      }
    }
    return found
  }

  package func writeMeta(_ entries: [(String, [UInt8])]) async throws {
    try await write(StateWrite([], meta: entries, owners: []))
  }

  /// The last value of each name, in the order of the names' first values.
  static func lastValues(_ entries: [(String, [UInt8])]) -> [(String, [UInt8])] {
    let last = Dictionary(entries) { $1 }
    var written: Set<String> = []
    return entries.compactMap { entry in written.insert(entry.0).inserted ? (entry.0, last[entry.0] ?? entry.1) : nil }
  }

  // MARK: Compare and swap

  /// What the items were when they were last seen: by this process, else in the table.
  func seen(_ keys: [ItemKey]) async throws -> [ItemKey: MetaItem.Seen] {
    let known = memory.withLock { memory in Dictionary(uniqueKeysWithValues: keys.compactMap { key in memory.seen[key].map { (key, $0) } })
    }
    let read = try await InFlight.map(keys.filter { known[$0] == nil }, max: bounds.inFlight) { [requests] key in
      (key, MetaItem.Seen(try await requests.get(key)))
    }
    return known.merging(read) { $1 }
  }

  func remember(_ keys: [ItemKey], _ token: FlushToken) {
    memory.withLock { memory in for key in keys { memory.seen[key] = .token(token.bytes) } }
  }

  func forget(_ keys: [ItemKey]) { memory.withLock { memory in for key in keys { memory.seen[key] = nil } } }

  /// Writes a value that belongs to a pending write.
  /// - Parameter seen: what was there before the write looked whether its owners are stored (see race 4 of ``FlushLog``).
  /// - Throws: `state_fenced`.
  func setMeta(
    _ entry: (name: String, value: [UInt8]), over seen: MetaItem.Seen, owners: [(String, [UInt8])], _ token: FlushToken
  ) async throws {
    let key = TableLayout.meta(entry.name)
    var seen = seen
    for _ in 0..<bounds.attempts {
      do {
        try await requests.change(MetaItem.put(key, [(MetaItem.value, .bytes(entry.value))], over: seen, token))
        return remember([key], token)
      } catch is DynamoDBRequests.ConditionFailed {
        let item = try await requests.get(key)
        // The intent of the same write has the same token.
        if let item, item.bytes(MetaItem.flush) == token.bytes, item.bytes(MetaItem.value) == entry.value {
          return remember([key], token)
        }
        seen = .init(item)
        try await check(owners)
      }
    }
    throw contended("the value \(entry.name)")
  }

  func contended(_ what: String) -> WeirError {
    WeirError(
      .storage, "other writers changed \(what) in \(requests.place) \(bounds.attempts) times in a row",
      advice: "Nothing is lost. Does another process run this pipeline, or do two pipelines have one table? When it has ended, run again.")
  }

  /// - Throws: `state_fenced` if one of the owners is not stored.
  func check(_ owners: [(String, [UInt8])]) async throws {
    let stored = try await InFlight.map(owners, max: bounds.inFlight) { [requests] (name, owner) in
      (name, try await requests.get(TableLayout.meta(name))?.bytes(MetaItem.value) == owner)
    }
    if let lost = stored.first(where: { !$0.1 }) { throw StateWrite.fenced(lost.0) }
  }
}
