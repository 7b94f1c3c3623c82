import WeirCore

extension DynamoDBStateTable {
  /// Finds the rows by the log of the lane's writes, without a scan. Not one transaction: a row is replaced only as it was read, and what a
  /// worker that stops here leaves is taken back by the next one, which finds the same log.
  package func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    let layout = try await layout()
    try await check(owners)
    let lists = try await log(of: batch.lane).filter { $0.table == batch.table && $0.fence > beyond }
    let traces = Retraction.traces(lists, layout, batch.table)
    // What is replaced is what was there before the owners are looked at once more: see race 6 of ``FlushLog``.
    let ahead = try await InFlight.map(traces, max: bounds.inFlight) { [requests] trace in
      let item = try await requests.get(trace.key)
      return Retraction.isAhead(item, batch, beyond) ? item.map { (trace: trace, item: $0) } : nil
    }.compactMap { $0 }
    if !ahead.isEmpty {
      try await withToken { token in
        let retraction = try Retraction(batch, only: ahead.map(\.trace), beyond: beyond, token: token, oversize)
        let own = FlushLog.lists(
          ahead.map { StateRow(table: batch.table, key: $0.trace.rowKey, fence: batch.fence, lane: batch.lane, value: nil) }, token)
        let pending = PendingFlush(token: token, owners: owners.map(\.0), lanes: [batch.lane], items: [])
        try await begin(pending, own, owners)
        try await InFlight.forEach(ahead, max: bounds.inFlight) { try await self.takeBack($0.trace, $0.item, retraction, owners) }
        try await end(pending)
        try await delete(own.map(\.key))
      }
    }
    let active = memory.withLock { $0.active }
    let over = lists.map(\.key).filter { !(FlushLog.token($0).map(active.contains) ?? false) }
    try await delete(over)
    let gone = Set(over)
    memory.withLock { $0.logs[batch.lane]?.removeAll { gone.contains($0.key) } }
  }

  private func takeBack(
    _ trace: Retraction.Trace, _ first: Item, _ retraction: Retraction, _ owners: [(String, [UInt8])]
  ) async throws {
    var item: Item? = first
    for _ in 0..<bounds.attempts {
      guard let stored = item, let change = retraction.change(trace, stored) else { return }
      do { return try await requests.change(change) } catch is DynamoDBRequests.ConditionFailed {}
      item = try await requests.get(trace.key)
      if let bar = item?.number(retraction.token.barName), bar >= retraction.token.number {
        throw StateWrite.fenced(owners.first?.0 ?? "writer")
      }
      try await check(owners)
    }
    throw contended("a row of \(retraction.batch.table)")
  }
}

/// What one retraction does to an item.
struct Retraction: Sendable {
  /// What the log has of a key.
  struct Trace: Sendable {
    var key: ItemKey
    var rowKey: [UInt8]
    /// The largest of the writes that have it.
    var fence: Fence
    /// By session, the last of its writes that have it.
    var writes: [String: Int64]
  }

  let batch: StateBatch
  let beyond: Fence
  let token: FlushToken
  /// What the batch has of the keys.
  let rows: [ItemKey: RowItem]

  /// - Throws: `storage_refused`.
  init(_ batch: StateBatch, only traces: [Trace], beyond: Fence, token: FlushToken, _ oversize: OversizeRows) throws(WeirError) {
    (self.batch, self.beyond, self.token) = (batch, beyond, token)
    let keys = Dictionary(traces.map { ($0.rowKey, $0.key) }) { first, _ in first }
    var rows: [(place: ItemKey, row: StateRow)] = []
    batch.forEachInKeyOrder { key, value in
      if let place = keys[TableLayout.stored(Array(key))] {
        rows.append(
          (place, StateRow(table: batch.table, key: Array(key), fence: batch.fence, lane: batch.lane, value: value.map { Array($0) })))
      }
      return true
    }
    var items: [ItemKey: RowItem] = [:]
    for (place, row) in rows { items[place] = try RowItem(row, at: place, oversize) }
    self.rows = items
  }

  static func traces(_ lists: [FlushLog], _ layout: TableLayout, _ table: String) -> [Trace] {
    var traces: [[UInt8]: Trace] = [:]
    for list in lists {
      let token = FlushLog.token(list.key)
      for key in list.keys {
        var trace = traces[key] ?? Trace(key: layout.row(table, key), rowKey: key, fence: list.fence, writes: [:])
        trace.fence = max(trace.fence, list.fence)
        if let token { trace.writes[token.session] = max(trace.writes[token.session] ?? 0, token.number) }
        traces[key] = trace
      }
    }
    return traces.values.sorted { $0.rowKey.precedes($1.rowKey) }
  }

  static func isAhead(_ item: Item?, _ batch: StateBatch, _ beyond: Fence) -> Bool {
    guard let row = item.flatMap({ RowItem.row(batch.table, $0) }) else { return false }
    return row.lane == batch.lane && row.fence > beyond
  }

  /// - Returns: nil: the row is not ahead, or was taken back already.
  func change(_ trace: Trace, _ item: Item) -> ItemChange? {
    guard Retraction.isAhead(item, batch, beyond), let flush = item.bytes(RowItem.flush), flush != token.bytes,
      let fence = item.bytes(RowItem.fence)
    else { return nil }
    var change = ItemChange(.update, trace.key)
    var writes = trace.writes
    if let writer = FlushToken(flush) { writes[writer.session] = max(writes[writer.session] ?? 0, writer.number) }
    let barrier = max(trace.fence, Fence(fence) ?? trace.fence, Fence(item.bytes(RowItem.barrier)) ?? trace.fence)
    change.names = [("#g", RowItem.barrier), ("#o", token.barName)]
    change.values = [
      (":s", .bytes(fence)), (":x", .bytes(flush)), (":n", .number(token.number)), (":w", .bytes(token.bytes)),
      (":g", .bytes(barrier.bytes)),
    ]
    change.condition = "fence = :s AND flush = :x AND (attribute_not_exists(#o) OR #o < :n)"
    if let stored = item.bytes(RowItem.barrier) {
      change.condition! += " AND #g = :h"
      change.values.append((":h", .bytes(stored)))
    } else {
      change.condition! += " AND attribute_not_exists(#g)"
    }
    change.update = update(trace, item, writes, &change)
    return change
  }

  /// The row of the batch, or nothing in its place; and what bars every write of the log that has the key: it may arrive once more.
  private func update(_ trace: Trace, _ item: Item, _ writes: [String: Int64], _ change: inout ItemChange) -> String {
    var sets = ["flush = :w", "#g = :g", "fence = :f"]
    var removes: [String] = []
    if let row = rows[trace.key]?.row {
      change.values += [(":f", .bytes(row.fence.bytes)), (":l", .text(row.lane))]
      sets.append("lane = :l")
      if let value = row.value {
        sets.append("measures = :m")
        change.values.append((":m", .bytes(value)))
      } else {
        removes.append("measures")
      }
    } else {
      change.values.append((":f", .bytes(beyond.bytes)))
      removes += ["lane", "measures"]
    }
    for (i, write) in writes.sorted(by: { $0.key < $1.key }).enumerated() {
      let name = FlushToken(session: write.key, number: write.value).barName
      // A larger one stays.
      guard (item.number(name) ?? .min) < write.value else { continue }
      change.names.append(("#b\(i)", name))
      change.values.append((":b\(i)", .number(write.value)))
      sets.append("#b\(i) = :b\(i)")
    }
    return "SET " + sets.joined(separator: ", ") + (removes.isEmpty ? "" : " REMOVE " + removes.joined(separator: ", "))
  }
}
