import WeirCore

/// A small write as one transaction: owners, rows, the log of their keys, values. Nothing of it is there, or all of it.
struct TransactionWrite {
  let table: DynamoDBStateTable
  let write: DynamoDBStateTable.Prepared
  let lists: [FlushLog]
  let token: FlushToken

  private var items: Int { write.owners.count + write.rows.count + lists.count + write.meta.count }

  var fits: Bool {
    guard write.rows.count <= table.bounds.transactionRows, items <= DynamoDBStateTable.transactionItemsMax else { return false }
    let bytes = write.rows.reduce(0) { $0 + Item.size($1.attributes(token)) } + write.meta.reduce(0) { $0 + $1.1.count }
    return bytes <= DynamoDBStateTable.transactionBytesMax
  }

  /// - Returns: rows that a larger fence kept from being written.
  func run() async throws -> Int {
    let keys = write.meta.map { TableLayout.meta($0.0) }
    var left = write.rows.map { $0.put(token) }
    var rows = write.rows
    for attempt in 0..<table.bounds.attempts {
      let seen = try await table.seen(keys)
      let checks = write.owners.map { MetaItem.isOwner($0.0, $0.1) }
      let metas = zip(keys, write.meta).map { key, meta in
        MetaItem.put(key, [(MetaItem.value, .bytes(meta.1))], over: seen[key] ?? .absent, token)
      }
      do {
        try await table.requests.transact(checks + left + metas + lists.map(\.put), token: "\(token.session)-\(token.number)-\(attempt)")
        table.remember(keys, token)
        return write.rows.count - rows.count
      } catch let cancelled as DynamoDBRequests.TransactionCancelled {
        let failed = { (place: Int) in place < cancelled.reasons.count && cancelled.reasons[place] == "ConditionalCheckFailed" }
        if let lost = write.owners.indices.first(where: failed) { throw StateWrite.fenced(write.owners[lost].0) }
        if try await isWritten(keys, rows) {
          table.remember(keys, token)
          return write.rows.count - rows.count
        }
        let refused = rows.indices.filter { failed(checks.count + $0) }
        if !(try await resolve(refused, &rows, &left)), refused.isEmpty { await table.requests.pause(attempt + 1) }
        if rows.isEmpty, metas.isEmpty {
          try await table.check(write.owners)
          return write.rows.count
        }
        table.forget(keys)
      }
    }
    throw table.contended("the rows")
  }

  /// An attempt before this one has written all of it, and its answer was lost.
  private func isWritten(_ keys: [ItemKey], _ rows: [RowItem]) async throws -> Bool {
    guard let one = keys.first ?? rows.first?.key else { return false }
    return try await table.requests.get(one)?.bytes(MetaItem.flush) == token.bytes
  }

  /// - Returns: false if nothing changed.
  private func resolve(_ refused: [Int], _ rows: inout [RowItem], _ left: inout [ItemChange]) async throws -> Bool {
    var gone: Set<Int> = []
    for i in refused {
      switch rows[i].refusal(by: try await table.requests.get(rows[i].key), token) {
      case .older: gone.insert(i)
      case .barred: throw StateWrite.fenced(write.owner)
      case .guarded: left[i] = rows[i].guarded(token)
      case .written, .free: left[i] = rows[i].put(token)
      }
    }
    rows = rows.indices.filter { !gone.contains($0) }.map { rows[$0] }
    left = left.indices.filter { !gone.contains($0) }.map { left[$0] }
    return !refused.isEmpty
  }
}
