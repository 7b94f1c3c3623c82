import WeirCore

/// Keyed state without windows: one cell a group. A lane's own, one epoch's partial, or the merge lane's.
///
/// It knows which groups changed since the last flush to the state table and since the last state blob.
package final class KeyedStore {
  private let groups = GroupTable()
  private let cells: CellStore
  /// One byte a group. Bit 0: not yet in a flush, bit 1: not yet in a blob; above them ``outOfRangeBefore(_:)``.
  private var dirty: [UInt8] = []
  private var unflushed: [Int32] = []
  private var unsaved: [Int32] = []
  /// Rows between asking for a group's slot and reading it; then again between asking for what the slot names and using that.
  /// A table of some 100,000 groups is larger than the caches, and each update touches three places of it.
  private static let ahead = 12
  /// Everything, if rows expire.
  private let expiring: ExpiringStore?

  /// - Parameters:
  ///   - ttl: microseconds of event time after which the row of a group without newer records goes; nil: none goes.
  ///   - retiresEarly: a planted bug: what a cut finds expired is forgotten, although a record may still come that belongs to it.
  package init(layout: AggregateLayout, ttl: Int64? = nil, retiresEarly: Bool = false) {
    cells = CellStore(layout)
    expiring = ttl.map { ExpiringStore(layout, ttl: $0, keptFor: retiresEarly ? $0 : 2 * $0) }
  }

  /// Runs of records that were looked at to place records, where rows expire: for tests.
  package var steps: Int { expiring?.steps ?? 0 }
  /// Groups that are held.
  package var count: Int { expiring?.count ?? groups.count }
  package var unsavedCount: Int { expiring?.unsavedCount ?? unsaved.count }
  /// Bytes held, about.
  package var byteCount: Int {
    expiring?.byteCount ?? groups.byteCount + cells.byteCount + dirty.capacity + (unflushed.capacity + unsaved.capacity) * 4
  }

  /// Folds rows in. `key(row)` encodes a group's `by` values and is called for new groups only.
  /// - Parameters:
  ///   - times: event times by row, UTC microseconds; read only if rows expire.
  ///   - watermarks: what each row is judged by, likewise.
  package func update(
    rows: UnsafeBufferPointer<UInt32>, times: [Int64] = [], watermarks: [Int64] = [], hashes: [Hash128], arguments: [Column?],
    key: (Int) -> [UInt8], scratch: Scratch = Scratch()
  ) {
    if let expiring {
      return expiring.update(
        rows: rows, times: times, watermarks: watermarks, hashes: hashes, arguments: arguments, key: key, scratch: scratch)
    }
    let (ahead, count) = (KeyedStore.ahead, rows.count)
    // Cells and groups have the same numbers.
    scratch.with(Int32.self, count) { cellOf in
      hashes.withUnsafeBufferPointer { hashes in
        for i in 0..<count {
          if i + 2 * ahead < count { groups.prefetch(hashes[Int(rows[i + 2 * ahead])]) }
          if i + ahead < count {
            let group = groups.prefetchEntry(hashes[Int(rows[i + ahead])])
            if group >= 0 { cells.prefetch(group) }
          }
          let row = Int(rows[i])
          let group = intern(hashes[row]) { key(row) }
          mark(group)
          cellOf[i] = Int32(truncatingIfNeeded: group)
        }
      }
      cells.update(cells: UnsafeBufferPointer(cellOf), rows: rows, arguments: arguments)
    }
  }

  /// Folds a partial of the same table in.
  package func merge(_ other: KeyedStore) {
    if let expiring, let theirs = other.expiring { return expiring.merge(theirs) }
    cells.merge(with: other.cells, most: other.groups.count) { pairs in
      for theirs in 0..<other.groups.count {
        let group = intern(other.groups.hash(of: theirs)) { Array(other.groups.key(of: theirs)) }
        mark(group)
        pairs.add(Int32(group), Int32(theirs))
      }
    }
  }

  /// Takes over those groups of another lane's table whose key is wanted; what is null in them was counted there.
  package func inherit(_ other: KeyedStore, where keeps: (ArraySlice<UInt8>) -> Bool) {
    if let expiring, let theirs = other.expiring { return expiring.inherit(theirs, where: keeps) }
    for theirs in 0..<other.groups.count where keeps(other.groups.key(of: theirs)) {
      let group = intern(other.groups.hash(of: theirs)) { Array(other.groups.key(of: theirs)) }
      mark(group)
      cells.merge(group, with: other.cells, theirs)
      if cells.layout.mayBeOutOfRange { _ = noteOutOfRange(group) }
    }
  }

  @inline(__always)
  private func intern(_ hash: Hash128, key: () -> [UInt8]) -> Int {
    let group = groups.intern(hash, key: key)
    if group == dirty.count {
      dirty.append(0)
      _ = cells.add()
    }
    return group
  }

  @inline(__always)
  private func mark(_ group: Int) {
    let before = dirty[group]
    if before & 3 == 3 { return }
    if before & 1 == 0 { unflushed.append(Int32(group)) }
    if before & 2 == 0 { unsaved.append(Int32(group)) }
    dirty[group] = before | 3
  }

  // MARK: Time

  /// Where rows expire: the lane's watermark is this from here on. It never goes back, and the end of the input is no time.
  package func advance(to watermark: Int64) { expiring?.advance(to: watermark) }

  /// Where rows expire: those of keys that another lane had are judged by no less than that had reached, see
  /// ``ExpiringStore/inherit(clocks:of:)``.
  package func inherit(clocks most: Int64, of: @escaping (ArraySlice<UInt8>) -> Int64) { expiring?.inherit(clocks: most, of: of) }

  /// Forgets what no record can change any more. To be called at a cut, before ``save(base:into:)``.
  package func retire() { expiring?.retire() }

  /// Rows that came too late to be folded in, since the last call.
  package func takeLate() -> Int64 { expiring?.takeLate() ?? 0 }

  // MARK: Rows

  /// Groups whose row changed since it was taken last.
  package var unflushedCount: Int { expiring?.unflushedCount ?? unflushed.count }

  /// Adds the rows of groups that changed since they were taken last, `max` of them at most; tombstones for those that expired.
  package func takeUnflushed(max: Int = .max, into batch: inout StateBatch) {
    if let expiring { return expiring.takeUnflushed(max: max, into: &batch) }
    let first = Swift.max(0, unflushed.count - max)
    batch.reserve(unflushed.count - first)
    for group in unflushed[first...] {
      dirty[Int(group)] &= ~1
      append(Int(group), to: &batch)
    }
    unflushed.removeSubrange(first...)
  }

  /// Adds the row of every group: for a rebuild.
  package func allRows(into batch: inout StateBatch) {
    if let expiring { return expiring.allRows(into: &batch) }
    for group in 0..<groups.count { append(group, to: &batch) }
  }

  private func append(_ group: Int, to batch: inout StateBatch) {
    batch.append(key: groups.key(of: group)) { cells.encodeResults(group, into: &$0) }
  }

  /// The state table may lack any group's row.
  package func markAllUnflushed() {
    if let expiring { return expiring.markAllUnflushed() }
    unflushed = Array(0..<Int32(groups.count))
    for group in 0..<groups.count { dirty[group] |= 1 }
  }

  // MARK: Out of range

  private static let outOfRangeMax = 63

  /// Measures that were null because their type cannot hold them when this was counted last, up to ``outOfRangeMax``.
  private func outOfRangeBefore(_ group: Int) -> Int { Int(dirty[group] >> 2) }

  private func noteOutOfRange(_ group: Int) -> Int {
    let now = min(cells.outOfRange(group), KeyedStore.outOfRangeMax)
    let before = outOfRangeBefore(group)
    if now != before { dirty[group] = dirty[group] & 3 | UInt8(now) << 2 }
    return max(0, now - before)
  }

  /// Measures that became null because their type cannot hold them, since the last call. To be called at a cut, before ``save(base:into:)``:
  /// a measure that stays null counts once, however often its row is written.
  package func takeOutOfRange() -> Int64 {
    if let expiring { return expiring.takeOutOfRange() }
    guard cells.layout.mayBeOutOfRange else { return 0 }
    return unsaved.reduce(0) { $0 + Int64(noteOutOfRange(Int($1))) }
  }

  // MARK: State

  /// Writes all groups (`base`), or those changed since the last save.
  package func save(base: Bool, into out: inout ByteWriter) {
    if let expiring { return expiring.save(base: base, into: &out) }
    let count = base ? groups.count : unsaved.count
    out.write(UInt32(count))
    for number in 0..<count {
      let group = base ? number : Int(unsaved[number])
      out.write(groups.hash(of: group))
      out.write(counted: groups.key(of: group))
      cells.save(group, into: &out)
      out.closePiece()
    }
    for group in unsaved { dirty[Int(group)] &= ~2 }
    unsaved.removeAll(keepingCapacity: true)
  }

  /// Adds or overwrites the groups that ``save(base:into:)`` wrote.
  package func restore(from reader: inout ByteReader) throws(WeirError) {
    if let expiring { return try expiring.restore(from: &reader) }
    for _ in 0..<(try reader.readCount(each: 20)) {
      let hash = try reader.readHash()
      let key = Array(try reader.readCounted())
      let group = intern(hash) { key }
      try cells.restore(group, from: &reader)
      // What was saved was counted.
      if cells.layout.mayBeOutOfRange { _ = noteOutOfRange(group) }
    }
  }
}
