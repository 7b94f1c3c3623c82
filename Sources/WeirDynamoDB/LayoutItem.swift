import WeirCore

/// The item that says where the rows are (``TableLayout``): read before all else.
///
/// Without it no row can be found, and rows of several generations would seem to be of one. So it is made only in a table that has no marks.
/// Where there are some, the layout was lost: readers and writers end with `state_replaced`. The next worker that opens the table removes the
/// marks and begins a layout whose generations no row has, so that the engine writes all rows again from the lanes' state.
extension DynamoDBStateTable {
  /// Makes the table and the layout where they are missing.
  private func prepare() async throws {
    if memory.withLock({ $0.isReady }) { return }
    try await TableCreation(requests: requests, creates: creates).run()
    memory.withLock { $0.isReady = true }
  }

  /// - Throws: `corrupt`, `state_replaced`.
  func layout() async throws -> TableLayout { try await storedLayout().layout }

  /// With the token to replace it by.
  func storedLayout() async throws -> (layout: TableLayout, seen: MetaItem.Seen) {
    try await prepare()
    for _ in 0..<2 {
      if let stored = try await readLayout() { return stored }
      if isReader {
        guard try await !hasLostLayout() else { throw lostLayout }
        return (TableLayout(buckets: bounds.buckets), .absent)
      }
      guard !memory.withLock({ $0.hasLayout }) else { throw lostLayout }
      try await makeLayout()
    }
    throw requests.corrupt("its layout was deleted while it was read")
  }

  private func readLayout() async throws -> (layout: TableLayout, seen: MetaItem.Seen)? {
    guard let item = try await requests.get(TableLayout.key) else { return nil }
    guard let layout = TableLayout(item) else { throw requests.corrupt("its layout is of another version, or damaged") }
    memory.withLock { $0.hasLayout = true }
    return (layout, .init(item))
  }

  /// There are marks, and no layout: it is written before them.
  private func hasLostLayout() async throws -> Bool {
    if try await requests.query("meta", limit: 1).items.isEmpty { return false }
    // Both may have been written after the first look.
    return try await requests.get(TableLayout.key) == nil
  }

  /// What vouches for rows that cannot be found any more goes before the new layout is there. A process that is killed between leaves a
  /// table that still says that it lost its layout.
  private func makeLayout() async throws {
    let isLost = try await hasLostLayout()
    if isLost {
      notice("the item layout of the DynamoDB table \(requests.table) is missing: all rows are written again from the lake")
      try await withToken { token in try await requests.change(MetaItem.bar(DynamoDBStateTable.lostKey, token)) }
      var marks: [Item] = []
      try await requests.queryAll("meta") { items in marks += items.filter { $0.sort != DynamoDBStateTable.lostKey.sort } }
      // Only as they were read: another worker may have begun the table again meanwhile.
      try await InFlight.forEach(marks, max: bounds.inFlight) { [requests] mark in
        do { try await requests.change(MetaItem.delete(mark)) } catch is DynamoDBRequests.ConditionFailed {}
      }
    }
    let new = TableLayout(buckets: bounds.buckets, random: requests.random.next(), isInPlaceOfLost: isLost)
    do {
      try await withToken { try await requests.change(MetaItem.put(TableLayout.key, new.attributes, over: .absent, $0)) }
    } catch is DynamoDBRequests.ConditionFailed {}
    if isLost { try await delete([DynamoDBStateTable.lostKey]) }
  }

  /// A value next to the rows that no other name has: the marks of a table without a layout are being removed.
  private static let lostKey = TableLayout.meta("lost layout")

  private var lostLayout: WeirError {
    WeirError(
      .stateReplaced,
      "\(requests.place) has lost its item layout, without which none of its rows can be found (another program, or someone, deleted it)",
      advice: "Nothing is lost in the lake: run the pipeline again, or \(.rebuildState). Both write all rows again.")
  }
}
