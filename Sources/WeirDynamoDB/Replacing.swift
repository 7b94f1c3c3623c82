import WeirCore

extension DynamoDBStateTable {
  /// Writes the rows as a new generation beside the old one, then replaces the layout, which says which generation counts: together with the
  /// values if owners and values fit in one transaction (100 items), else before them. A rebuild that is killed between has the new rows and
  /// some of the values; the engine's last value, which says that the tables are whole, is missing then, and it rebuilds once more.
  package func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try await check(owners)
    for (name, value) in meta { try MetaItem.check(name, value, requests.place) }
    try await withToken { token in
      let number = try await reserve(tables)
      try await write(batches, number, replacing: Set(tables), token)
      try await publish(tables, number, DynamoDBStateTable.lastValues(meta), owners)
    }
    // What fails here is done by the next rebuild.
    do { try await collect() } catch let error as WeirError where error.isRetriable {}
  }

  /// - Returns: the number of a generation that no other rebuild writes.
  private func reserve(_ tables: [String]) async throws -> Int64 {
    try await changeLayout(owners: []) { layout in
      // Those of rebuilds that were killed; one that is only slow cannot publish any more.
      layout.garbage += layout.building
      layout.building = tables.map { TableLayout.Generation(table: $0, number: layout.next) }
      layout.next += 1
      return layout.next - 1
    }
  }

  private func changeLayout<T: Sendable>(owners: [(String, [UInt8])], _ body: (inout TableLayout) throws -> T) async throws -> T {
    for _ in 0..<bounds.attempts {
      var (layout, seen) = try await storedLayout()
      // In this order: see race 4 of ``FlushLog``.
      try await check(owners)
      let result = try body(&layout)
      let isDone = try await withToken { token in
        do {
          try await requests.change(MetaItem.put(TableLayout.key, layout.attributes, over: seen, token))
          return true
        } catch is DynamoDBRequests.ConditionFailed {
          // An attempt before, whose answer was lost, may have done it.
          return try await requests.get(TableLayout.key)?.bytes(MetaItem.flush) == token.bytes
        }
      }
      if isDone { return result }
    }
    throw contended("the layout")
  }

  private func write(_ batches: [StateBatch], _ number: Int64, replacing: Set<String>, _ token: FlushToken) async throws {
    let layout = try await layout()
    for batch in batches {
      var rows: [RowItem] = []
      for row in batch.rows {
        let generation = replacing.contains(row.table) ? number : layout.generation(of: row.table)
        rows.append(try RowItem(row, at: layout.row(row.table, generation: generation, row.key), oversize))
      }
      try await InFlight.forEach(rows, max: bounds.inFlight) { _ = try await self.put($0, token, "rebuild") }
    }
  }

  // MARK: Publish

  private func publish(_ tables: [String], _ number: Int64, _ meta: [(String, [UInt8])], _ owners: [(String, [UInt8])]) async throws {
    let publish: (inout TableLayout) throws -> Void = { layout in
      let own = tables.map { TableLayout.Generation(table: $0, number: number) }
      guard own.allSatisfy(layout.building.contains) else { throw StateWrite.fenced("rebuild") }
      layout.building.removeAll(where: own.contains)
      layout.garbage += tables.map { TableLayout.Generation(table: $0, number: layout.generation(of: $0)) }
      for table in tables { layout.generations[table] = number }
    }
    guard owners.count + meta.count + 1 > DynamoDBStateTable.transactionItemsMax else {
      return try await publishTogether(meta, owners, publish)
    }
    try await withToken { token in
      let keys = meta.map { TableLayout.meta($0.0) }
      let pending = PendingFlush(token: token, owners: owners.map(\.0), lanes: [], items: [TableLayout.key] + keys)
      let seen = try await seen(keys)
      try await begin(pending, [], owners)
      try await changeLayout(owners: owners, publish)
      // In their order: the last one says that all is there.
      for (key, entry) in zip(keys, meta) { try await setMeta(entry, over: seen[key] ?? .absent, owners: owners, token) }
      try await end(pending)
    }
  }

  private func publishTogether(
    _ meta: [(String, [UInt8])], _ owners: [(String, [UInt8])], _ publish: (inout TableLayout) throws -> Void
  ) async throws {
    let keys = meta.map { TableLayout.meta($0.0) }
    try await withToken { token in
      for attempt in 0..<bounds.attempts {
        var (layout, stored) = try await storedLayout()
        if stored == .token(token.bytes) { return remember(keys, token) }
        try publish(&layout)
        let seen = try await seen(keys)
        let changes =
          owners.map { MetaItem.isOwner($0.0, $0.1) } + [MetaItem.put(TableLayout.key, layout.attributes, over: stored, token)]
          + zip(keys, meta).map { MetaItem.put($0, [(MetaItem.value, .bytes($1.1))], over: seen[$0] ?? .absent, token) }
        do {
          try await requests.transact(changes, token: "\(token.session)-\(token.number)-\(attempt)")
          return remember(keys, token)
        } catch let cancelled as DynamoDBRequests.TransactionCancelled {
          if let lost = owners.indices.first(where: { $0 < cancelled.reasons.count && cancelled.reasons[$0] == "ConditionalCheckFailed" }) {
            throw StateWrite.fenced(owners[lost].0)
          }
          forget(keys)
          await requests.pause(attempt + 1)
        }
      }
      throw contended("the layout")
    }
  }

  // MARK: Old generations

  /// Deletes the rows of generations that no reader looks at any more.
  private func collect() async throws {
    let layout = try await layout()
    let garbage = Set(layout.garbage)
    for generation in garbage {
      for bucket in 0..<layout.buckets {
        let partition = layout.partition(generation.table, generation: generation.number, bucket: bucket)
        try await requests.queryAll(partition) { items in try await delete(items.map { ItemKey(partition, $0.sort) }) }
      }
    }
    if !garbage.isEmpty { try await changeLayout(owners: []) { $0.garbage.removeAll(where: garbage.contains) } }
  }
}
