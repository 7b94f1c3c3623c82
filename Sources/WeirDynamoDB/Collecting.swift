import WeirCore

extension DynamoDBStateTable {
  /// Items that one part of a collection reads at most.
  private static let looksMax = 1000

  /// A part is a page of a bucket; its continuation is the bucket and the last sort key. An item goes only as it was read, so a row that comes
  /// back meanwhile stays. One that bars other writes stays, too, until a row takes its place.
  package func collect(_ bound: TombstoneBound, from start: StateContinuation?) async throws -> CollectedTombstones {
    let layout = try await layout()
    try await check(bound.owners)
    let bucket = Int(start?.bytes.first ?? 0)
    guard bucket < layout.buckets else { return CollectedTombstones(gone: 0, next: nil) }
    let end = DynamoDBRequests.end(of: [TableLayout.rowPrefix])
    let after = start.map { Array($0.bytes.dropFirst()) } ?? []
    let from = after.isEmpty ? [TableLayout.rowPrefix] : DynamoDBRequests.after(after) ?? end
    let partition = layout.partition(bound.table, generation: layout.generation(of: bound.table), bucket: bucket)
    let found = try await requests.query(partition, (from, end), limit: DynamoDBStateTable.looksMax)
    let old = found.items.filter { item in
      guard let row = RowItem.row(bound.table, item), row.value == nil, item.bytes(RowItem.barrier) == nil else { return false }
      return bound.has(lane: row.lane, row.fence)
    }
    let gone = try await InFlight.map(old, max: bounds.inFlight) { try await self.collect($0, of: partition) }
    let next = found.last.map { [UInt8(bucket)] + $0 } ?? (bucket + 1 < layout.buckets ? [UInt8(bucket + 1)] : nil)
    return CollectedTombstones(gone: gone.count { $0 }, next: next.map { StateContinuation($0) })
  }

  /// - Returns: false: it is not as it was any more.
  private func collect(_ item: Item, of partition: String) async throws -> Bool {
    var change = ItemChange(.delete, ItemKey(partition, item.sort))
    change.condition = "fence = :f AND attribute_not_exists(measures) AND attribute_not_exists(#g)"
    change.names = [("#g", RowItem.barrier)]
    change.values = [(":f", .bytes(item.bytes(RowItem.fence) ?? []))]
    do { try await requests.change(change) } catch is DynamoDBRequests.ConditionFailed { return false }
    return true
  }
}
