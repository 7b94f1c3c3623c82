import WeirCore

extension DynamoDBStateTable {
  /// A write with everything that it needs, before its first request.
  struct Prepared {
    var rows: [RowItem]
    /// Rows that another row of the same write is newer than.
    var skipped: Int
    var meta: [(String, [UInt8])]
    var intent: [(String, [UInt8])]
    var owners: [(String, [UInt8])]

    var owner: String { owners.first?.0 ?? "writer" }
  }

  /// Small writes are one transaction. Others put their rows one by one, with a log of their keys (``FlushLog``): it costs 2 to 5 % more
  /// than the rows, where a transaction costs 100 %.
  @discardableResult
  package func write(_ write: StateWrite) async throws -> Int {
    let layout = try await layout()
    let prepared = try prepare(write, layout)
    let skipped: Int
    if prepared.rows.isEmpty, prepared.meta.isEmpty {
      try await check(prepared.owners)
      skipped = 0
    } else {
      skipped = try await withToken { token in
        let lists = FlushLog.lists(prepared.rows.map(\.row), token)
        // One transaction is never half done: it needs no list of rows that the ledger has.
        let small = TransactionWrite(
          table: self, write: prepared,
          lists: lists.filter { list in
            !write.settled.contains { $0.lane == FlushLog.lane(list.key) && list.fence <= $0.through }
          }, token: token)
        note(small.fits ? small.lists : lists)
        return small.fits ? try await small.run() : try await writeOneByOne(prepared, lists, token)
      }
    }
    try await settle(write.settled)
    return prepared.skipped + skipped
  }

  private func prepare(_ write: StateWrite, _ layout: TableLayout) throws(WeirError) -> Prepared {
    var (rows, skipped) = ([RowItem](), 0)
    var places: [ItemKey: Int] = [:]
    for row in write.batches.flatMap(\.rows) {
      let item = try RowItem(row, at: layout.row(row.table, row.key), oversize)
      if let place = places[item.key] {
        if row.fence < rows[place].row.fence { skipped += 1 } else { rows[place] = item }
      } else {
        places[item.key] = rows.count
        rows.append(item)
      }
    }
    for (name, value) in write.meta + write.intent { try MetaItem.check(name, value, requests.place) }
    return Prepared(
      rows: rows, skipped: skipped, meta: DynamoDBStateTable.lastValues(write.meta), intent: DynamoDBStateTable.lastValues(write.intent),
      owners: DynamoDBStateTable.lastValues(write.owners))
  }

  // MARK: One by one

  private func writeOneByOne(_ write: Prepared, _ lists: [FlushLog], _ token: FlushToken) async throws -> Int {
    let pending = PendingFlush(
      token: token, owners: write.owners.map(\.0), lanes: DynamoDBStateTable.lanes(lists),
      items: DynamoDBStateTable.lastValues(write.intent + write.meta).map { TableLayout.meta($0.0) })
    var seen = try await seen(pending.items)
    try await begin(pending, lists, write.owners)
    if !write.rows.isEmpty {
      try await setMetas(write.intent, over: seen, write, token)
      for (name, _) in write.intent { seen[TableLayout.meta(name)] = .token(token.bytes) }
    }
    var skipped = 0
    for start in stride(from: 0, to: write.rows.count, by: bounds.partRows) {
      if start > 0 {
        try await onPart()
        try await check(write.owners)
      }
      let part = write.rows[start..<min(start + bounds.partRows, write.rows.count)]
      skipped += try await InFlight.map(part, max: bounds.inFlight) { try await self.put($0, token, write.owner) }.count { !$0 }
    }
    try await setMetas(write.meta, over: seen, write, token)
    try await end(pending)
    return skipped
  }

  private func setMetas(
    _ entries: [(String, [UInt8])], over seen: [ItemKey: MetaItem.Seen], _ write: Prepared, _ token: FlushToken
  ) async throws {
    let owners = write.owners
    try await InFlight.forEach(entries, max: bounds.inFlight) { entry in
      try await self.setMeta(entry, over: seen[TableLayout.meta(entry.0)] ?? .absent, owners: owners, token)
    }
  }

  static func lanes(_ lists: [FlushLog]) -> [String] {
    Set(lists.map { FlushLog.lane($0.key) }).sorted()
  }

  /// Notes the keys and the write, then looks whether its owners are stored: in this order (see race 1 of ``FlushLog``).
  /// - Throws: `state_fenced`; then nothing was written.
  func begin(_ pending: PendingFlush, _ lists: [FlushLog], _ owners: [(String, [UInt8])]) async throws {
    try await InFlight.forEach(lists, max: bounds.inFlight) { [requests] in try await requests.change($0.put) }
    if owners.isEmpty { return }
    try await requests.change(pending.put)
    do { try await check(owners) } catch let error as WeirError where error.code == .stateFenced {
      try await delete([pending.key] + lists.map(\.key))
      throw error
    }
  }

  /// The write has done everything: from now on a request of it that arrives once more changes nothing (see race 5 of ``FlushLog``).
  func end(_ pending: PendingFlush) async throws { if !pending.owners.isEmpty { try await delete([pending.key]) } }

  func delete(_ keys: [ItemKey]) async throws {
    try await InFlight.forEach(keys, max: bounds.inFlight) { [requests] in try await requests.change(ItemChange(.delete, $0)) }
  }

  /// Writes a row unless a larger fence is stored.
  /// - Returns: false if one is.
  /// - Throws: `state_fenced` if the lane's next owner has barred this write.
  func put(_ row: RowItem, _ token: FlushToken, _ owner: String) async throws -> Bool {
    var change = row.put(token)
    for _ in 0..<bounds.attempts {
      do {
        try await requests.change(change)
        return true
      } catch is DynamoDBRequests.ConditionFailed {
        switch row.refusal(by: try await requests.get(row.key), token) {
        case .written: return true
        case .older: return false
        case .barred: throw StateWrite.fenced(owner)
        case .guarded: change = row.guarded(token)
        case .free: change = row.put(token)
        }
      }
    }
    throw contended("a row of \(row.row.table)")
  }

  // MARK: The log

  /// Notes lists that a write is going to write, until ``settle(_:)``.
  func note(_ lists: [FlushLog]) {
    memory.withLock { memory in
      for list in lists { memory.logs[FlushLog.lane(list.key), default: []].append((list.fence, list.key)) }
    }
  }

  /// Deletes what the log has of lanes up to fences that the ledger has reached: no retraction asks for those keys any more.
  private func settle(_ settled: [(lane: String, through: Fence)]) async throws {
    let (own, others, active) = memory.withLock { memory in
      let active = memory.active
      var own: [ItemKey] = []
      var others: [(lane: String, through: Fence)] = []
      for (lane, through) in settled {
        own += (memory.logs[lane] ?? []).filter { DynamoDBStateTable.isOver($0.fence, $0.key, through, active) }.map(\.key)
        memory.logs[lane]?.removeAll { DynamoDBStateTable.isOver($0.fence, $0.key, through, active) }
        if memory.pruned.insert(lane).inserted { others.append((lane, through)) }
      }
      return (own, others, active)
    }
    // What workers before this one have left. The claim of the lane has ended their writes.
    let left = try await InFlight.map(others, max: bounds.inFlight) { (lane, through) in
      try await self.log(of: lane).filter { DynamoDBStateTable.isOver($0.fence, $0.key, through, active) }.map(\.key)
    }
    try await delete(Array(Set(own + left.joined())))
  }

  private static func isOver(_ fence: Fence, _ key: ItemKey, _ through: Fence, _ active: Set<FlushToken>) -> Bool {
    fence <= through && !(FlushLog.token(key).map(active.contains) ?? false)
  }

  /// The lists of keys of a lane's writes.
  func log(of lane: String, prefix: [UInt8] = []) async throws -> [FlushLog] {
    var lists: [FlushLog] = []
    try await requests.queryAll(FlushLog.partition(lane), prefix: prefix) { items in
      for item in items { lists.append(try FlushLog(item, lane: lane)) }
    }
    return lists
  }
}
