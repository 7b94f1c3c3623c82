import WeirCore

extension DynamoDBStateTable {
  /// Writes the claims, as one transaction up to 50 of them, then ends all writes that other owners have begun and not finished: none of their
  /// rows or values arrives after this (see ``FlushLog``).
  package func claim(_ claims: [StateClaim]) async throws {
    let layout = try await layout()
    var left = claims[...]
    // More claims than a transaction has items: all of them are looked at before the first is written.
    let owned = try await InFlight.map(claims, max: bounds.inFlight) { [requests] claim in
      let number = try await requests.get(TableLayout.meta(claim.numberName))?.bytes(MetaItem.value)
      if !claim.isInTime(number) { throw claim.tooLate }
      return try await requests.get(TableLayout.meta(claim.name))?.bytes(MetaItem.value) == claim.owner
    }
    while !left.isEmpty {
      let some = left.prefix(DynamoDBStateTable.transactionItemsMax / 2)
      left = left.dropFirst(some.count)
      try await withToken { try await write(Array(some), $0) }
    }
    try await barPending(of: Set(claims.map(\.name)), kept: Set(zip(claims, owned).filter(\.1).map(\.0.name)), layout)
  }

  private func write(_ claims: [StateClaim], _ token: FlushToken) async throws {
    let keys = claims.flatMap(\.meta).map { TableLayout.meta($0.0) }
    for attempt in 0..<bounds.attempts {
      let stored = try await InFlight.map(keys, max: bounds.inFlight) { [requests] in try await requests.get($0) }
      if stored.allSatisfy({ $0?.bytes(MetaItem.flush) == token.bytes }) { return remember(keys, token) }
      for (i, claim) in claims.enumerated() where !claim.isInTime(stored[2 * i + 1]?.bytes(MetaItem.value)) { throw claim.tooLate }
      let changes = zip(zip(keys, stored), claims.flatMap(\.meta)).map { item, meta in
        MetaItem.put(item.0, [(MetaItem.value, .bytes(meta.1))], over: .init(item.1), token)
      }
      do {
        try await requests.transact(changes, token: "\(token.session)-\(token.number)-\(attempt)")
        return remember(keys, token)
      } catch is DynamoDBRequests.TransactionCancelled {
        if attempt > 0 { await requests.pause(attempt) }
      }
    }
    throw contended("the owners of lanes")
  }

  // MARK: Writes of owners before

  /// - Parameter kept: names whose owner is as before.
  private func barPending(of names: Set<String>, kept: Set<String>, _ layout: TableLayout) async throws {
    var found: [PendingFlush] = []
    try await requests.queryAll(PendingFlush.partition) { items in
      for item in items {
        guard let pending = PendingFlush(item) else { throw requests.corrupt("the note of a write that was begun is damaged") }
        found.append(pending)
      }
    }
    let active = memory.withLock { $0.active }
    for pending in found {
      let common = names.intersection(pending.owners)
      // A worker that claims once more what it has does not stop its own writes.
      let isOwn = active.contains(pending.token) && common.isSubset(of: kept)
      if !common.isEmpty, !isOwn { try await bar(pending, layout) }
    }
  }

  /// From now on no request of a write has an effect.
  private func bar(_ pending: PendingFlush, _ layout: TableLayout) async throws {
    for lane in pending.lanes {
      for list in try await log(of: lane, prefix: pending.token.bytes) {
        try await InFlight.forEach(list.keys, max: bounds.inFlight) {
          try await self.bar(layout.row(list.table, $0), pending.token, through: list.fence)
        }
      }
    }
    try await withToken { token in
      try await InFlight.forEach(pending.items, max: bounds.inFlight) { [requests] in try await requests.change(MetaItem.bar($0, token)) }
      forget(pending.items)
    }
    try await delete([pending.key])
  }

  /// Keeps a write, and all writes of its session before it, from an item, whether it is there or not.
  private func bar(_ key: ItemKey, _ token: FlushToken, through fence: Fence) async throws {
    let guardIsLess = "(attribute_not_exists(#g) OR #g < :g)"
    let barIsLess = "(attribute_not_exists(#b) OR #b < :n)"
    var both = ItemChange(.update, key)
    both.update = "SET #g = :g, #b = :n"
    both.condition = "\(guardIsLess) AND \(barIsLess)"
    both.names = [("#g", RowItem.barrier), ("#b", token.barName)]
    both.values = [(":g", .bytes(fence.bytes)), (":n", .number(token.number))]
    do { return try await requests.change(both) } catch is DynamoDBRequests.ConditionFailed {}
    // One of the two is there, or larger.
    var first = ItemChange(.update, key)
    (first.update, first.condition, first.names, first.values) = ("SET #g = :g", guardIsLess, [both.names[0]], [both.values[0]])
    var second = ItemChange(.update, key)
    (second.update, second.condition, second.names, second.values) = ("SET #b = :n", barIsLess, [both.names[1]], [both.values[1]])
    for change in [first, second] { do { try await requests.change(change) } catch is DynamoDBRequests.ConditionFailed {} }
  }
}
