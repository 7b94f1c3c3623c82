import WeirCore

/// Keyed state whose rows expire by event time (`ttl`): see ``KeyedStore``, which is the way to it.
///
/// The records of a key make **runs**: in the order of their event times, one that comes `ttl` or more after the one before it begins
/// another run. A key's row is its latest run, and goes when the clock, which is the lane's watermark, has passed the run's newest record by
/// `ttl`. A record that is `ttl` or more behind its own watermark is left out and counted. So rows are a function of the records and of
/// their watermarks; the order in which records, blocks and partials come changes none, and neither does the place of a cut.
///
/// A run is kept until the clock has passed its newest record by twice the `ttl`. Until then a record may come that joins it with a later
/// one; after that every such record is left out.
final class ExpiringStore {
  private typealias Run = KeyRun

  private static let unflushedBit: UInt8 = 1
  private static let unsavedBit: UInt8 = 2
  /// The key has a row, and a place in `shown`.
  private static let shownBit: UInt8 = 4
  /// The key has an index of its runs.
  private static let indexedBit: UInt8 = 8
  /// A key gets an index when as many runs were looked at for one record.
  private static let walkMax = 16

  private let ttl: Int64
  private let keptFor: Int64
  private let layout: AggregateLayout
  private var groups = GroupTable()
  private var cells: CellStore
  private var runs: [Run] = []
  private var goneRuns = 0
  /// Of keys that have many runs at once.
  private var indexes: [Int32: KeyRunIndex] = [:]
  /// Runs that were looked at to find those of records.
  private var walked = 0
  /// By key: its latest run.
  private var latest: [Int32] = []
  private var marks: [UInt8] = []
  /// By key, as ``KeyedStore/takeOutOfRange()`` counted it last; empty if no measure can be out of range.
  private var nulls: [UInt8] = []
  private var unflushed: [Int32] = []
  private var unsaved: [Int32] = []
  /// Keys with runs.
  private(set) var count = 0
  /// The largest watermark that was said.
  private var clock = Watermark.minimum
  /// Of rows that another lane had before: no row is judged by less than that had reached. nil: no such clock is above this one.
  private var inherited: (most: Int64, of: (ArraySlice<UInt8>) -> Int64)?
  /// Keys by the time at which their row may go, and at which their oldest run may. Each is at its time or before it, and looked at then.
  /// Both are made when the clock moves for the first time: a partial has no clock.
  private var shown = TimeQueue()
  private var kept = TimeQueue()
  private var hasQueues = false
  /// Keys and runs, those that are gone included, at which they get new numbers.
  private var compactAt = 1024
  /// Records that were left out since ``takeLate()``.
  private var late: Int64 = 0

  /// - Parameter keptFor: what the clock has passed the newest record of a run by when the run is forgotten: twice the `ttl`.
  init(_ layout: AggregateLayout, ttl: Int64, keptFor: Int64) {
    (self.layout, self.ttl, self.keptFor) = (layout, ttl, keptFor)
    cells = CellStore(layout)
  }

  var unsavedCount: Int { unsaved.count }
  var unflushedCount: Int { unflushed.count }
  var byteCount: Int {
    groups.byteCount + cells.byteCount + runs.capacity * MemoryLayout<Run>.stride + latest.capacity * 4 + marks.capacity + nulls.capacity
      + (unflushed.capacity + unsaved.capacity) * 4 + shown.byteCount + kept.byteCount
      + indexes.values.reduce(0) { $0 + $1.byteCount }
  }

  /// Runs, and nodes of indexes, that were looked at since the store was made.
  var steps: Int { indexes.values.reduce(walked) { $0 + $1.steps } }

  func takeLate() -> Int64 {
    defer { late = 0 }
    return late
  }

  // MARK: Records

  func update(
    rows: UnsafeBufferPointer<UInt32>, times: [Int64], watermarks: [Int64], hashes: [Hash128], arguments: [Column?], key: (Int) -> [UInt8],
    scratch: Scratch
  ) {
    scratch.with(Int32.self, rows.count) { cellOf in
      scratch.with(UInt32.self, rows.count) { kept in
        var (done, count) = (0, 0)
        // Runs are joined in the order of the records, wherever a block begins: sums of doubles depend on it.
        func apply() {
          cells.update(
            cells: UnsafeBufferPointer(rebasing: cellOf[done..<count]), rows: UnsafeBufferPointer(rebasing: kept[done..<count]),
            arguments: arguments)
          done = count
        }
        for row in rows {
          let (at, watermark) = (times[Int(row)], watermarks[Int(row)])
          if at &+ ttl <= watermark {
            late += 1
            continue
          }
          let group = intern(hashes[Int(row)]) { key(Int(row)) }
          let run = place(group, at, at, beforeJoining: apply)
          touch(group)
          (cellOf[count], kept[count]) = (Int32(truncatingIfNeeded: run), row)
          count += 1
        }
        apply()
      }
    }
  }

  /// Folds the runs of keys of `other` in.
  func merge(_ other: ExpiringStore, where keeps: (ArraySlice<UInt8>) -> Bool = { _ in true }) {
    for theirs in other.latest.indices where other.latest[theirs] >= 0 && keeps(other.groups.key(of: theirs)) {
      let group = intern(other.groups.hash(of: theirs)) { Array(other.groups.key(of: theirs)) }
      other.forEachRun(of: theirs) { number, run in
        cells.merge(place(group, run.oldest, run.newest), with: other.cells, number)
      }
      touch(group)
    }
  }

  /// The same where what is null was counted there.
  func inherit(_ other: ExpiringStore, where keeps: (ArraySlice<UInt8>) -> Bool) {
    merge(other, where: keeps)
    if layout.mayBeOutOfRange { for group in latest.indices { _ = noteOutOfRange(group) } }
  }

  private func intern(_ hash: Hash128, key: () -> [UInt8]) -> Int {
    let group = groups.intern(hash, key: key)
    if group == latest.count {
      latest.append(Run.none)
      marks.append(0)
      if layout.mayBeOutOfRange { nulls.append(0) }
    }
    return group
  }

  /// The run that a span of records without a gap belongs to.
  /// - Parameter beforeJoining: called before the cells of two runs become one.
  private func place(_ group: Int, _ oldest: Int64, _ newest: Int64, beforeJoining: () -> Void = {}) -> Int {
    let (run, later) = latestRun(of: group, before: newest + ttl)
    guard run >= 0, oldest - runs[run].newest < ttl else {
      return add(group, Run(oldest: oldest, newest: newest, older: Int32(run)), later)
    }
    var first = min(runs[run].oldest, oldest)
    while case let before = Int(runs[run].older), before >= 0, first - runs[before].newest < ttl {
      beforeJoining()
      cells.merge(run, with: cells, before)
      first = min(first, runs[before].oldest)
      runs[run].older = runs[before].older
      if isIndexed(group) { indexes[Int32(group)]?.remove(before, in: runs) }
      remove(before)
    }
    // The index finds a run by its beginning, and while others between the old and the new one go, it must not have the new one.
    runs[run].oldest = first
    runs[run].newest = max(runs[run].newest, newest)
    return run
  }

  /// The key's latest run that begins before `bound`, and the one after it; -1: there is none.
  private func latestRun(of group: Int, before bound: Int64) -> (run: Int, later: Int) {
    if isIndexed(group) { return indexes[Int32(group)]?.last(before: bound, in: runs) ?? (-1, -1) }
    var (run, later, steps) = (Int(latest[group]), -1, 0)
    while run >= 0, runs[run].oldest >= bound {
      (later, run) = (run, Int(runs[run].older))
      steps += 1
    }
    walked += steps
    if steps > ExpiringStore.walkMax { index(group) }
    return (run, later)
  }

  private func isIndexed(_ group: Int) -> Bool { marks[group] & ExpiringStore.indexedBit != 0 }

  private func index(_ group: Int) {
    var index = KeyRunIndex()
    forEachRun(of: group) { number, _ in index.insert(number, in: runs) }
    indexes[Int32(group)] = index
    marks[group] |= ExpiringStore.indexedBit
  }

  /// Where many of its runs go at once. The next record that needs an index makes it.
  private func dropIndex(_ group: Int) {
    guard isIndexed(group), let index = indexes.removeValue(forKey: Int32(group)) else { return }
    walked += index.steps
    marks[group] &= ~ExpiringStore.indexedBit
  }

  private func add(_ group: Int, _ run: Run, _ later: Int) -> Int {
    let number = cells.add()
    runs.append(run)
    if later >= 0 { runs[later].older = Int32(number) } else { latest[group] = Int32(number) }
    if isIndexed(group) { indexes[Int32(group)]?.insert(number, in: runs) }
    if later < 0, run.older < 0 { count += 1 }
    if run.older < 0, hasQueues { kept.push(group, at: end(run)) }
    return number
  }

  private func remove(_ run: Int) {
    runs[run].older = Run.gone
    goneRuns += 1
  }

  /// The newest run first.
  private func forEachRun(of group: Int, _ body: (Int, Run) throws(WeirError) -> Void) throws(WeirError) {
    var run = Int(latest[group])
    while run >= 0 {
      let next = Int(runs[run].older)
      try body(run, runs[run])
      run = next
    }
  }

  private func forEachRun(of group: Int, _ body: (Int, Run) -> Void) {
    var run = Int(latest[group])
    while run >= 0 {
      let next = Int(runs[run].older)
      body(run, runs[run])
      run = next
    }
  }

  private func touch(_ group: Int) {
    mark(group, ExpiringStore.unflushedBit | ExpiringStore.unsavedBit)
    guard hasQueues, marks[group] & ExpiringStore.shownBit == 0, isShown(group) else { return }
    show(group)
  }

  private func mark(_ group: Int, _ bits: UInt8) {
    let new = bits & ~marks[group]
    if new & ExpiringStore.unflushedBit != 0 { unflushed.append(Int32(group)) }
    if new & ExpiringStore.unsavedBit != 0 { unsaved.append(Int32(group)) }
    marks[group] |= bits
  }

  // MARK: Time

  /// When a run's row goes.
  private func expiry(_ run: Run) -> Int64 { run.newest + ttl }
  /// When nothing can join the run any more.
  private func end(_ run: Run) -> Int64 { run.newest + keptFor }

  private func isShown(_ group: Int) -> Bool {
    guard latest[group] >= 0 else { return false }
    let expiry = expiry(runs[Int(latest[group])])
    guard let inherited, expiry <= inherited.most else { return expiry > clock }
    return expiry > max(clock, inherited.of(groups.key(of: group)))
  }

  /// Rows whose keys another lane had, and which that had seen expire, stay away although the clock is behind. To be called before the
  /// clock moves: no time before these is said of their keys any more.
  /// - Parameters:
  ///   - most: the greatest of the clocks.
  ///   - of: the clock of a key.
  func inherit(clocks most: Int64, of: @escaping (ArraySlice<UInt8>) -> Int64) {
    inherited = most > clock ? (most, of) : nil
    forgetQueues()
  }

  private func forgetQueues() {
    (shown, kept, hasQueues) = (TimeQueue(), TimeQueue(), false)
    for group in marks.indices { marks[group] &= ~ExpiringStore.shownBit }
  }

  private func show(_ group: Int) {
    marks[group] |= ExpiringStore.shownBit
    shown.push(group, at: expiry(runs[Int(latest[group])]))
  }

  /// The lane's watermark is this: rows of keys without newer records go from the next flush on. The end of the input is no time.
  func advance(to watermark: Int64) {
    guard watermark != Watermark.maximum, watermark > clock else { return }
    if !hasQueues { makeQueues() }
    clock = watermark
    if let inherited, inherited.most <= clock { self.inherited = nil }
    while let group = shown.pop(through: clock) {
      if isShown(group) {
        show(group)
      } else {
        marks[group] &= ~ExpiringStore.shownBit
        mark(group, ExpiringStore.unflushedBit)
      }
    }
  }

  private func makeQueues() {
    hasQueues = true
    for group in latest.indices where latest[group] >= 0 {
      if isShown(group) { show(group) }
      var oldest = Int(latest[group])
      while runs[oldest].older >= 0 { oldest = Int(runs[oldest].older) }
      kept.push(group, at: end(runs[oldest]))
    }
  }

  /// Forgets runs that nothing can join any more. At a cut only, so that blobs do not depend on when rows were flushed.
  func retire() {
    guard hasQueues else { return }
    while let group = kept.pop(through: clock) {
      guard latest[group] >= 0 else { continue }
      var (oldest, hasOld) = (-1, false)
      forEachRun(of: group) { number, run in
        if end(run) > clock {
          oldest = number
        } else {
          hasOld = true
          remove(number)
        }
      }
      if hasOld {
        mark(group, ExpiringStore.unsavedBit)
        dropIndex(group)
      }
      if oldest >= 0 {
        runs[oldest].older = Run.none
        kept.push(group, at: end(runs[oldest]))
      } else {
        latest[group] = Run.none
        count -= 1
      }
    }
  }

  /// Gives the memory of what is gone back. Keys whose tombstone is still to be flushed stay.
  private func compact() {
    guard runs.count + latest.count >= compactAt else { return }
    for group in indexes.keys { dropIndex(Int(group)) }
    let old = (groups: groups, cells: cells, runs: runs, latest: latest, marks: marks, nulls: nulls)
    let order = old.latest.indices.filter { old.latest[$0] >= 0 || old.marks[$0] & ExpiringStore.unflushedBit != 0 }
    (groups, cells) = (GroupTable(), CellStore(layout, capacity: old.runs.count - goneRuns))
    (runs, latest, marks, nulls, goneRuns) = ([], [], [], [], 0)
    (shown, kept, hasQueues) = (TimeQueue(), TimeQueue(), false)
    unflushed = []
    for group in order {
      let next = intern(old.groups.hash(of: group)) { Array(old.groups.key(of: group)) }
      mark(next, old.marks[group] & ExpiringStore.unflushedBit)
      if layout.mayBeOutOfRange { nulls[next] = old.nulls[group] }
      var (run, later) = (Int(old.latest[group]), -1)
      while run >= 0 {
        let cell = cells.add()
        cells.merge(cell, with: old.cells, run)
        runs.append(Run(oldest: old.runs[run].oldest, newest: old.runs[run].newest, older: Run.none))
        if later >= 0 { runs[later].older = Int32(cell) } else { latest[next] = Int32(cell) }
        (later, run) = (cell, Int(old.runs[run].older))
      }
    }
    compactAt = 2 * (runs.count + latest.count) + 1024
  }

  // MARK: Rows

  func takeUnflushed(max: Int, into batch: inout StateBatch) {
    let first = Swift.max(0, unflushed.count - max)
    batch.reserve(unflushed.count - first)
    for group in unflushed[first...] {
      marks[Int(group)] &= ~ExpiringStore.unflushedBit
      if isShown(Int(group)) { append(Int(group), to: &batch) } else { batch.remove(key: groups.key(of: Int(group))) }
    }
    unflushed.removeSubrange(first...)
  }

  func allRows(into batch: inout StateBatch) { for group in latest.indices where isShown(group) { append(group, to: &batch) } }

  private func append(_ group: Int, to batch: inout StateBatch) {
    batch.append(key: groups.key(of: group)) { cells.encodeResults(Int(latest[group]), into: &$0) }
  }

  func markAllUnflushed() { for group in latest.indices { mark(group, ExpiringStore.unflushedBit) } }

  func takeOutOfRange() -> Int64 {
    guard layout.mayBeOutOfRange else { return 0 }
    return unsaved.reduce(0) { $0 + Int64(noteOutOfRange(Int($1))) }
  }

  private func noteOutOfRange(_ group: Int) -> Int {
    let now = latest[group] < 0 ? 0 : min(cells.outOfRange(Int(latest[group])), 255)
    defer { nulls[group] = UInt8(now) }
    return max(0, now - Int(nulls[group]))
  }

  // MARK: State

  /// The clock; then each key in the order of the hashes, with its runs, the newest first. A key without runs is gone.
  func save(base: Bool, into out: inout ByteWriter) {
    let keys = (base ? latest.indices.filter { latest[$0] >= 0 } : unsaved.map { Int($0) }).sorted {
      let (a, b) = (groups.hash(of: $0), groups.hash(of: $1))
      return (a.high, a.low) < (b.high, b.low)
    }
    out.write(clock)
    out.write(UInt32(keys.count))
    for group in keys {
      out.write(groups.hash(of: group))
      out.write(counted: groups.key(of: group))
      var count: UInt32 = 0
      forEachRun(of: group) { _, _ in count += 1 }
      out.write(count)
      forEachRun(of: group) { number, run in
        out.write(run.oldest)
        out.write(run.newest)
        cells.save(number, into: &out)
      }
      out.closePiece()
    }
    for group in unsaved { marks[Int(group)] &= ~ExpiringStore.unsavedBit }
    unsaved.removeAll(keepingCapacity: true)
    compact()
  }

  func restore(from reader: inout ByteReader) throws(WeirError) {
    let clock = try reader.read(Int64.self)
    guard Bounds.isWatermark(clock), clock != Watermark.maximum else { throw reader.corrupt("a clock is out of range") }
    for _ in 0..<(try reader.readCount(each: 24)) {
      let hash = try reader.readHash()
      let key = Array(try reader.readCounted())
      let group = intern(hash) { key }
      if latest[group] >= 0 { count -= 1 }
      forEachRun(of: group) { number, _ in remove(number) }
      dropIndex(group)
      latest[group] = Run.none
      var later = -1
      for _ in 0..<(try reader.readCount(each: 24)) {
        let (oldest, newest) = (try reader.read(Int64.self), try reader.read(Int64.self))
        guard (-Bounds.time...Bounds.time).contains(oldest), (oldest...max(oldest, Bounds.time)).contains(newest),
          later < 0 || runs[later].oldest - newest >= ttl
        else { throw reader.corrupt("the times of a run of records are out of range") }
        let cell = cells.add()
        runs.append(Run(oldest: oldest, newest: newest, older: Run.none))
        if later >= 0 { runs[later].older = Int32(cell) } else { latest[group] = Int32(cell) }
        later = cell
        try cells.restore(cell, from: &reader)
      }
      if latest[group] >= 0 { count += 1 }
      if layout.mayBeOutOfRange { _ = noteOutOfRange(group) }
    }
    self.clock = max(self.clock, clock)
    forgetQueues()
  }
}
