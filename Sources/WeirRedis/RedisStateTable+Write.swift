import WeirCore

extension RedisStateTable {
  package func claim(_ claims: [StateClaim]) async throws {
    var call = ScriptCall(script: .claim, keys: [])
    call.arguments.append(claims.count)
    for claim in claims {
      call.arguments.append(claim.name)
      call.arguments.append(claim.owner)
      call.arguments.append(claim.number)
    }
    try await run(call)?.throwing(claims)
  }

  package func writeMeta(_ entries: [(String, [UInt8])]) async throws {
    try await run(RedisStateTable.writing(RedisWriteParts.Part(), keys: [], owners: [], meta: entries))?.throwing()
  }

  private func run(_ call: ScriptCall) async throws -> End? {
    try await request { [place] store in try RedisStateTable.ended(try store.write([call]), place) }
  }

  /// The write of some rows.
  /// - Parameter keys: of rows and index of each table.
  private static func writing(
    _ part: RedisWriteParts.Part, keys: [String], owners: [(String, [UInt8])], meta: [(String, [UInt8])], names: [String]? = nil
  ) -> ScriptCall {
    var call = ScriptCall(script: .write, keys: keys)
    call.arguments.append(pairs: owners)
    call.arguments.append(pairs: meta)
    call.arguments.append(part.tables.count)
    for name in names ?? part.tables { call.arguments.append(name) }
    call.arguments.append(part.segmentCount)
    call.arguments.append(all: part.segments)
    return call
  }

  // MARK: Rows

  /// The first script writes the intent where there are several, the last one the values. Some are sent in one trip; other requests of this
  /// process run between two trips.
  @discardableResult
  package func write(_ write: StateWrite) async throws -> Int {
    guard !write.isEmpty else { return 0 }
    var left: RedisWriteParts?
    var skipped = 0
    repeat {
      if left != nil { try await onPart() }
      let (after, some, end) = try await trip(left, write)
      try end?.throwing()
      (left, skipped) = (after, skipped + some)
    } while left?.isDone == false
    return skipped
  }

  private func trip(_ left: RedisWriteParts?, _ write: StateWrite) async throws -> (RedisWriteParts, skipped: Int, End?) {
    try await request { [limits, keys, place, fit] store in
      // Their keys are sorted on the table's thread, too.
      var parts = left ?? RedisWriteParts(write.batches, rowsMax: limits.partRows, fit: fit)
      var calls: [ScriptCall] = []
      repeat {
        let part = parts.part()
        let isFirst = left == nil && calls.isEmpty
        let meta = parts.isDone ? write.meta : isFirst ? write.intent : []
        calls.append(
          RedisStateTable.writing(
            part, keys: part.tables.flatMap { [keys.rows($0), keys.keys($0)] }, owners: write.owners, meta: meta))
      } while !parts.isDone && calls.count < limits.partsAtOnce
      let replies = try store.write(calls)
      let skipped = replies.reduce(0) { $0 + Int($1.rest.first?.number ?? 0) }
      return (parts, skipped, try RedisStateTable.ended(replies, place))
    }
  }

  // MARK: Replace

  /// The new tables are written beside the old ones, and take their names in one script.
  package func replace(
    tables: [String], with batches: [StateBatch], meta: [(String, [UInt8])], owners: [(String, [UInt8])]
  ) async throws {
    try invariant(batches.allSatisfy { tables.contains($0.table) }, "a replacement has rows of a table that it does not replace")
    let id = try await request { $0.newID() }
    var parts = RedisWriteParts(batches, rowsMax: limits.partRows, fit: fit)
    while !parts.isDone {
      let before = parts
      let (after, end) = try await request { [limits, keys, place] store in
        var (parts, calls) = (before, [ScriptCall]())
        repeat {
          let part = parts.part()
          calls.append(
            RedisStateTable.writing(
              part, keys: part.tables.flatMap { [keys.newRows($0, id), keys.newKeys($0, id)] }, owners: [], meta: [],
              names: part.tables.map { _ in "" }))
        } while !parts.isDone && calls.count < limits.partsAtOnce
        return (parts, try RedisStateTable.ended(try store.write(calls), place))
      }
      try end?.throwing()
      parts = after
    }
    var call = ScriptCall(
      script: .replace, keys: tables.flatMap { [keys.rows($0), keys.keys($0), keys.newRows($0, id), keys.newKeys($0, id)] })
    call.arguments.append(pairs: owners)
    call.arguments.append(id)
    call.arguments.append(pairs: meta)
    call.arguments.append(tables.count)
    for table in tables {
      call.arguments.append(table)
      call.arguments.append(batches.contains { $0.table == table && !$0.isEmpty } ? "1" : "0")
    }
    try await run(call)?.throwing()
  }

  // MARK: Retract

  /// In parts, each only while the owners are stored. A worker that is killed in the middle leaves its lane's mark as it was, so the next
  /// one takes the rest back; until then readers see rows beyond the ledger as such.
  package func retract(_ batch: StateBatch, beyond: Fence, owners: [(String, [UInt8])]) async throws {
    try await run(retracting([], batch, beyond, owners))?.throwing()
    var start: [UInt8] = Array("-".utf8)
    var rows = RetractedRows(batch, fit)
    while true {
      var call = ScriptCall(script: .ahead, keys: [keys.rows(batch.table), keys.keys(batch.table)])
      call.arguments.append(start)
      call.arguments.append(batch.lane)
      call.arguments.append(RedisRow.fence(beyond))
      let found = try await request { [call] store in
        let reply = try store.read(call)
        return (last: reply.rest.first?.bytes, keys: reply.rest.dropFirst().compactMap(\.bytes))
      }
      // A script gets some MiB at most, whatever values come back.
      var left = found.keys[...]
      while !left.isEmpty {
        let (some, count) = rows.some(of: left)
        try await run(retracting(some, batch, beyond, owners))?.throwing()
        left = left.dropFirst(count)
      }
      guard let last = found.last else { return }
      start = Array("(".utf8) + last
    }
  }

  // MARK: Tombstones

  /// The continuation is the last key that was looked at.
  package func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    var call = ScriptCall(script: .collect, keys: [keys.rows(bound.table), keys.keys(bound.table)])
    call.arguments.append(pairs: bound.owners)
    call.arguments.append(bound.table)
    call.arguments.append(start.map { Array("(".utf8) + $0.bytes } ?? Array("-".utf8))
    call.arguments.append(bound.through.count)
    for (lane, fence) in bound.through.sorted(by: { $0.key < $1.key }) {
      call.arguments.append(lane)
      call.arguments.append(RedisRow.fence(fence))
    }
    let (found, end) = try await request { [call, place] store in
      let replies = try store.write([call])
      let rest = Array(replies.first?.rest ?? [])
      let gone = Int(rest.first?.number ?? 0)
      let next = rest.count > 1 ? rest[1].bytes.map { StateContinuation($0) } : nil
      return (CollectedTombstones(gone: gone, next: next), try RedisStateTable.ended(replies, place))
    }
    try end?.throwing()
    return found
  }

  private func retracting(
    _ rows: [(key: [UInt8], row: [UInt8]?)], _ batch: StateBatch, _ beyond: Fence, _ owners: [(String, [UInt8])]
  ) -> ScriptCall {
    var call = ScriptCall(script: .retract, keys: [keys.rows(batch.table), keys.keys(batch.table)])
    call.arguments.append(pairs: owners)
    call.arguments.append(batch.table)
    call.arguments.append(batch.lane)
    call.arguments.append(RedisRow.fence(beyond))
    call.arguments.append(rows.count)
    for (key, row) in rows {
      call.arguments.append(key)
      call.arguments.append(row == nil ? "0" : "1")
      call.arguments.append(row ?? [])
    }
    return call
  }
}

/// The rows of a batch by keys that come in their order.
private struct RetractedRows {
  private let batch: StateBatch
  private let order: [Int]
  private let heads: (row: [UInt8], tombstone: [UInt8])
  private let fit: RedisRowFit
  private var next = 0

  init(_ batch: StateBatch, _ fit: RedisRowFit) {
    (self.batch, self.fit) = (batch, fit)
    order = batch.keyOrder()
    heads = (RedisRow.head(batch, isRow: true), RedisRow.head(batch, isRow: false))
  }

  /// - Returns: some of the keys, at least one, with what the batch has of them, and their number.
  mutating func some(of keys: ArraySlice<[UInt8]>) -> (rows: [(key: [UInt8], row: [UInt8]?)], count: Int) {
    var found: [(key: [UInt8], row: [UInt8]?)] = []
    var bytes = 0
    for key in keys where bytes < RedisWriteParts.bytesMax {
      found.append((key, row(of: key)))
      bytes += key.count + (found.last?.row?.count ?? 0)
    }
    return (found, found.count)
  }

  private mutating func row(of wanted: [UInt8]) -> [UInt8]? {
    var (found, passed) = ([UInt8]?.none, 0)
    batch.forEach(order[next...]) { key, value in
      if key.lexicographicallyPrecedes(wanted) {
        passed += 1
        return true
      }
      if key.elementsEqual(wanted) {
        let small = value.flatMap { fit.inPlace(of: $0, head: heads.row.count, key: key, table: batch.table) }
        found = small.map { heads.row + $0 } ?? value.map { heads.row + $0 } ?? heads.tombstone
      }
      return false
    }
    next += passed
    return found
  }
}
