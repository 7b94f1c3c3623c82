import WeirCore

/// A record that came after some of its windows were final.
package struct LateRow: Sendable {
  /// Number of the row, as ``WindowStore/update(rows:owners:times:watermarks:hashes:arguments:key:counts:late:scratch:)`` was given it.
  package var row: UInt32
  /// UTC microseconds.
  package var time: Int64
  /// Where its windows are counted from; of tumbling and hopping windows the start of the record's pane.
  package var pane: Int64
  /// How many of its windows it missed: the first ones (``WindowKind/missedWindow(_:from:)``).
  package var missed: Int64
}

/// Open tumbling and hopping windows, by panes (``WindowMath``).
package final class WindowStore: WindowOperator {
  struct PaneKey: Comparable {
    var start: Int64
    var missed: Int64
    static func < (a: PaneKey, b: PaneKey) -> Bool { (a.start, a.missed) < (b.start, b.missed) }
  }

  /// A pane is made for at most this number of groups.
  private static let expectedMax = 1 << 14
  /// Rows between asking for a group's slot and reading it.
  private static let ahead = 8

  package let math: WindowMath
  package var kind: any WindowKind { math }
  let layout: AggregateLayout
  private(set) var groups = GroupTable()
  /// Ascending by key. New panes come at the end or near it, and so do nearly all rows.
  var panes: [(key: PaneKey, pane: Pane)] = []
  /// Windows that end at or before this were written out.
  package private(set) var emittedThrough = Watermark.minimum
  package var isBehind = false
  private let bound: PartitionBound?

  package init(_ math: WindowMath, layout: AggregateLayout, bound: PartitionBound? = nil) {
    self.math = math
    (self.layout, self.bound) = (layout, bound)
  }

  package convenience init(_ spec: WindowSpec, layout: AggregateLayout, bound: PartitionBound? = nil) {
    self.init(WindowMath(spec), layout: layout, bound: bound)
  }

  package var isEmpty: Bool { panes.isEmpty }
  /// Windows (of all keys together) that hold something and are not written out: a pane of hopping windows is in several of them.
  package var openCount: Int {
    if panes.isEmpty { return 0 }
    let emitted = emittedThrough == Watermark.minimum ? nil : math.number(ofStart: math.pane(emittedThrough))
    var ends = panes.map { key, _ in
      let number = math.number(ofStart: key.start)
      return (first: max(number + key.missed, emitted ?? Int64.min) + 1, last: number + math.windowsPerPane)
    }
    ends.sort { $0.first < $1.first }
    var (count, through) = (0, Int64.min)
    for (first, last) in ends where last > through {
      count += Int(max(0, last - max(first - 1, through)))
      through = last
    }
    return count
  }

  /// The watermark that finishes the first of the open windows; nil: none is open.
  package var dueAt: Int64? {
    let ends = panes.lazy.compactMap { [math, emittedThrough] key, _ -> Int64? in
      let first = max(math.ended(pane: key.start, by: emittedThrough), key.missed)
      return first < math.windowsPerPane ? key.start + (first + 1) * math.slide : nil
    }
    return ends.min().map { min($0.saturatingSum(math.lateness), Bounds.time) }
  }

  /// Bytes held, about.
  package var byteCount: Int { panes.reduce(groups.byteCount) { $0 + $1.pane.byteCount } }

  // MARK: Update

  /// Folds rows in. `key(row)` encodes a group's `by` values and is called for new groups only.
  package func update(
    rows: UnsafeBufferPointer<UInt32>, times: [Int64], watermarks: [Int64], hashes: [Hash128], arguments: [Column?],
    key: (Int) -> [UInt8], counts: inout WindowCounts, late: inout [LateRow], scratch: Scratch = Scratch()
  ) {
    var all = [counts]
    update(
      rows: rows, owners: [], times: times, watermarks: watermarks, hashes: hashes, arguments: arguments, key: key, counts: &all,
      late: &late, scratch: scratch)
    counts = all[0]
  }

  package func update(
    rows: UnsafeBufferPointer<UInt32>, owners: [UInt16], times: [Int64], watermarks: [Int64], hashes: [Hash128], arguments: [Column?],
    key: (Int) -> [UInt8], counts: inout [WindowCounts], late: inout [LateRow], scratch: Scratch
  ) {
    // No array: there may be but a few rows. And panes without the counting of references, row by row: `panes` holds them, and
    // drops none here.
    scratch.with(Place.self, rows.count) { places in
      scratch.with(Unmanaged<Pane>.self, rows.count) { touched in
        let (count, panes) = counts.withUnsafeMutableBufferPointer { counts in
          place(rows, owners, times, watermarks, hashes, key, counts, &late, places, touched)
        }
        fold(UnsafeBufferPointer(rebasing: places[..<count]), UnsafeBufferPointer(rebasing: touched[..<panes]), arguments, scratch)
      }
    }
  }

  /// Finds out where each row goes. The number of those that go anywhere, and of the panes that they go to.
  @inline(__always)
  private func place(
    _ rows: UnsafeBufferPointer<UInt32>, _ owners: [UInt16], _ times: [Int64], _ watermarks: [Int64], _ hashes: [Hash128],
    _ key: (Int) -> [UInt8], _ counts: UnsafeMutableBufferPointer<WindowCounts>, _ late: inout [LateRow],
    _ places: UnsafeMutableBufferPointer<Place>, _ touched: UnsafeMutableBufferPointer<Unmanaged<Pane>>
  ) -> (rows: Int, panes: Int) {
    let groups = Unmanaged.passUnretained(self.groups)
    var (count, panes) = (0, 0)
    var lastKey = PaneKey(start: 0, missed: -1)
    var last: Unmanaged<Pane>?
    for row in rows.prefix(WindowStore.ahead) { groups._withUnsafeGuaranteedRef { $0.prefetch(hashes[Int(row)]) } }
    for (i, row) in rows.enumerated() {
      if i + WindowStore.ahead < rows.count {
        let ahead = hashes[Int(rows[i + WindowStore.ahead])]
        groups._withUnsafeGuaranteedRef { $0.prefetch(ahead) }
      }
      let at = Int(row)
      let owner = owners.isEmpty ? 0 : Int(owners[at])
      let start = math.pane(times[at])
      let missed = math.missed(pane: start, watermark: watermarks[at])
      let closed = math.closed(pane: start, watermark: watermarks[at])
      counts[owner].onTime += math.windowsPerPane - closed
      counts[owner].corrected += closed - missed
      if missed > 0 {
        self.missed(missed, row, times[at], start, &counts[owner], &late)
        if missed == math.windowsPerPane { continue }
      }
      let paneKey = PaneKey(start: start, missed: missed)
      let pane: Unmanaged<Pane>
      if let last, paneKey == lastKey {
        pane = last
      } else {
        pane = .passUnretained(self.pane(paneKey))
        (last, lastKey) = (pane, paneKey)
      }
      let group = groups._withUnsafeGuaranteedRef { $0.intern(hashes[at]) { key(at) } }
      places[count] = pane._withUnsafeGuaranteedRef { pane in
        if pane.touches == 0 {
          pane.number = Int32(panes)
          touched[panes] = .passUnretained(pane)
          panes += 1
        }
        pane.touches += 1
        pane.prefetch(group)
        return Place(row: row, group: Int32(group), pane: pane.number)
      }
      count += 1
    }
    return (count, panes)
  }

  /// Where a row goes.
  private struct Place {
    var row: UInt32
    var group: Int32
    /// Number among the panes of the call.
    var pane: Int32
  }

  private func missed(
    _ missed: Int64, _ row: UInt32, _ time: Int64, _ start: Int64, _ counts: inout WindowCounts, _ late: inout [LateRow]
  ) {
    counts.late += missed
    // Not window by window: there may be thousands.
    late.append(LateRow(row: row, time: time, pane: start, missed: missed))
  }

  /// Each pane's rows one after another, in their order, so that its cells are updated a measure at a time.
  private func fold(
    _ places: UnsafeBufferPointer<Place>, _ touched: UnsafeBufferPointer<Unmanaged<Pane>>, _ arguments: [Column?],
    _ scratch: Scratch
  ) {
    scratch.with(UInt32.self, places.count) { rows in
      scratch.with(Int32.self, places.count) { cells in
        scratch.with(Int.self, touched.count) { next in
          var first = 0
          for (number, pane) in touched.enumerated() {
            next[number] = first
            first += pane._withUnsafeGuaranteedRef { $0.touches }
          }
          for place in places {
            let at = next[Int(place.pane)]
            next[Int(place.pane)] = at + 1
            rows[at] = place.row
            cells[at] = touched[Int(place.pane)]._withUnsafeGuaranteedRef { pane in
              let cell = pane.cell(Int(place.group))
              pane.cells.prefetch(cell)
              return Int32(cell)
            }
          }
          for (number, pane) in touched.enumerated() {
            pane._withUnsafeGuaranteedRef { pane in
              let range = next[number] - pane.touches..<next[number]
              pane.cells.update(
                cells: UnsafeBufferPointer(rebasing: cells[range]), rows: UnsafeBufferPointer(rebasing: rows[range]), arguments: arguments)
              pane.touches = 0
            }
          }
        }
      }
    }
  }

  func pane(_ key: PaneKey) -> Pane {
    let at = end(of: key)
    if at > 0, panes[at - 1].key == key { return panes[at - 1].pane }
    // A class of lateness of its own has few groups; the pane of a new time most likely as many as the one before.
    let isNewTime = at == panes.count && key.missed == 0
    let pane = Pane(layout, groups: isNewTime ? min(panes.last?.pane.groups.count ?? 0, WindowStore.expectedMax) : 0)
    panes.insert((key, pane), at: at)
    return pane
  }

  /// The first pane above `key`: among the last ones by looking, among the others by halving.
  private func end(of key: PaneKey) -> Int {
    var (low, high) = (0, panes.count)
    for _ in 0..<4 where low < high {
      if panes[high - 1].key < key || panes[high - 1].key == key { return high }
      high -= 1
    }
    while low < high {
      let middle = (low + high) / 2
      if key < panes[middle].key { high = middle } else { low = middle + 1 }
    }
    return low
  }

  package func merge(_ other: any WindowOperator) {
    let other = WindowStore.same(other)
    for (key, theirs) in other.panes {
      let ours = pane(key)
      ours.cells.merge(with: theirs.cells, most: theirs.groups.count) { pairs in
        for (cell, group) in theirs.groups.enumerated() {
          let mine = groups.intern(other.groups.hash(of: Int(group))) { Array(other.groups.key(of: Int(group))) }
          pairs.add(Int32(ours.cell(mine)), Int32(cell))
        }
      }
    }
  }

  /// Both are of one table, so of one kind.
  private static func same(_ other: any WindowOperator) -> WindowStore {
    guard let other = other as? WindowStore else { preconditionFailure("windows of two kinds in one table") }
    return other
  }

  package func inherit(_ other: any WindowOperator, reached: Int64, where keeps: (ArraySlice<UInt8>) -> Bool) {
    let other = WindowStore.same(other)
    let wanted = (0..<other.groups.count).map { keeps(other.groups.key(of: $0)) }
    for (key, theirs) in other.panes {
      let missed = max(key.missed, math.missed(pane: key.start, watermark: reached))
      guard missed < math.windowsPerPane else { continue }
      for (cell, group) in theirs.groups.enumerated() where wanted[Int(group)] {
        let ours = pane(PaneKey(start: key.start, missed: missed))
        let mine = groups.intern(other.groups.hash(of: Int(group))) { Array(other.groups.key(of: Int(group))) }
        ours.cells.merge(ours.cell(mine), with: theirs.cells, cell)
      }
    }
  }

  // MARK: Emission

  /// By end, and then by first appearance of the group; in parts (``PartitionBound``) by the group's partition first.
  package func finish(watermark: Int64, isWhole: Bool) -> WindowResults {
    var results = WindowResults(measures: layout.count)
    let bound = watermark == Watermark.maximum ? watermark : watermark.subtractingReportingOverflow(math.lateness).partialValue
    guard watermark != Watermark.minimum else { return results }
    isBehind = false
    guard bound > emittedThrough else { return results }
    if let limit = self.bound, !isWhole, let part = firstPart(through: bound, limit) {
      isBehind = true
      defer { dropFinished() }
      return finish(part, through: bound)
    }
    var emission = WindowEmission(
      math: math, layout: layout, keys: groups.keys, panes: panes, emittedThrough: emittedThrough, bound: bound)
    if emission.emit(into: &results) {
      let rest = emission.detached { !isFinished($0, by: bound) }
      results.outOfRange += rest.outOfRange()
      results.backlog = WindowBacklog(measures: layout.count, rest)
    }
    emittedThrough = bound
    dropFinished()
    return results
  }

  /// The last window that holds the pane ends at or before `bound`.
  private func isFinished(_ key: PaneKey, by bound: Int64) -> Bool { key.start + math.size <= bound || bound == Watermark.maximum }

  /// Frees panes whose last window is out, and the groups that only they used.
  private func dropFinished() {
    panes.removeAll { isFinished($0.key, by: emittedThrough) }
    guard groups.count > 1024 else { if panes.isEmpty { groups = GroupTable() }; return }
    var used = [Bool](repeating: false, count: groups.count)
    var live = 0
    for (_, pane) in panes {
      for group in pane.groups where !used[Int(group)] {
        used[Int(group)] = true
        live += 1
      }
    }
    guard live * 2 < groups.count else { return }
    var map = [Int32](repeating: -1, count: groups.count)
    let fresh = GroupTable()
    for group in 0..<groups.count where used[group] {
      map[group] = Int32(fresh.intern(groups.hash(of: group)) { Array(groups.key(of: group)) })
    }
    groups = fresh
    for (_, pane) in panes { pane.renumber(map) }
  }

  // MARK: State

  package func save(into out: inout ByteWriter) {
    out.write(emittedThrough)
    out.write(UInt32(groups.count))
    for group in 0..<groups.count {
      out.write(groups.hash(of: group))
      out.write(counted: groups.key(of: group))
      out.closePiece()
    }
    out.write(UInt32(panes.count))
    for (key, pane) in panes {
      out.write(key.start)
      out.write(key.missed)
      out.write(UInt32(pane.groups.count))
      for (cell, group) in pane.groups.enumerated() {
        out.write(UInt32(group))
        pane.cells.save(cell, into: &out)
        out.closePiece()
      }
    }
  }

  package func restore(from reader: inout ByteReader) throws(WeirError) {
    groups = GroupTable()
    panes = []
    emittedThrough = try reader.read(Int64.self)
    guard Bounds.isWatermark(emittedThrough) else { throw reader.corrupt("a time is out of range") }
    for _ in 0..<(try reader.readCount(each: 20)) {
      let hash = try reader.readHash()
      let key = Array(try reader.readCounted())
      _ = groups.intern(hash) { key }
    }
    for _ in 0..<(try reader.readCount(each: 20)) {
      let key = PaneKey(start: try reader.read(Int64.self), missed: try reader.read(Int64.self))
      guard (-Bounds.time...Bounds.time).contains(key.start), (-Bounds.time...Bounds.time).contains(key.missed) else {
        throw reader.corrupt("a window is out of range")
      }
      let pane = pane(key)
      for _ in 0..<(try reader.readCount(each: layout.stride * 4)) {
        let group = Int(try reader.read(UInt32.self))
        guard group < groups.count else { throw reader.corrupt("a group number is out of range") }
        try pane.cells.restore(pane.cell(group), from: &reader)
      }
    }
  }
}
