import WeirCore

/// A finished window of one group.
public struct WindowResult: Sendable {
  /// Encoded `by` values (``StateKey``).
  public var key: [UInt8]
  public var start: Int64
  public var end: Int64
  public var measures: [Literal]
}

/// A contribution that came after its window was final.
public struct LateRow: Sendable {
  /// Row in the block.
  public var row: UInt32
  public var windowStart: Int64
  public var windowEnd: Int64
}

/// Open windows of one gold table: of a lane (finished there), of one epoch of a lane (its partial), or of the merge lane.
public final class WindowStore {
  /// The cells of one pane and one class of lateness. Freed whole when its last window is final.
  private final class Pane {
    let cells: CellStore
    /// (group + 1) << 32 | cell; 0 is free. Power of two, at most half full.
    var slots = [UInt64](repeating: 0, count: 16)
    /// Group of each cell.
    var groups: [Int32] = []
    /// The rows of the block at hand, gathered before the cells are updated a measure at a time.
    var pendingCells: [Int32] = []
    var pendingRows: [UInt32] = []

    init(_ layout: AggregateLayout) { cells = CellStore(layout) }

    @inline(__always)
    func cell(_ group: Int) -> Int {
      let mask = slots.count - 1
      var at = (group &* 0x9E37_79B1) >> 4 & mask
      while slots[at] != 0 {
        if slots[at] >> 32 == UInt64(group + 1) { return Int(slots[at] & 0xFFFF_FFFF) }
        at = (at + 1) & mask
      }
      return add(group)
    }

    private func add(_ group: Int) -> Int {
      let cell = cells.add()
      groups.append(Int32(group))
      if groups.count * 2 > slots.count {
        slots = [UInt64](repeating: 0, count: slots.count * 2)
        for (cell, group) in groups.enumerated() { place(Int(group), cell) }
      } else {
        place(group, cell)
      }
      return cell
    }

    private func place(_ group: Int, _ cell: Int) {
      let mask = slots.count - 1
      var at = (group &* 0x9E37_79B1) >> 4 & mask
      while slots[at] != 0 { at = (at + 1) & mask }
      slots[at] = UInt64(group + 1) << 32 | UInt64(cell)
    }

    func renumber(_ map: [Int32]) {
      for i in groups.indices { groups[i] = map[Int(groups[i])] }
      slots = [UInt64](repeating: 0, count: slots.count)
      for (cell, group) in groups.enumerated() { place(Int(group), cell) }
    }
  }

  private struct PaneKey: Hashable, Comparable {
    var start: Int64
    var missed: Int64
    static func < (a: PaneKey, b: PaneKey) -> Bool { (a.start, a.missed) < (b.start, b.missed) }
  }

  public let math: WindowMath
  private let layout: AggregateLayout
  private var groups = GroupTable()
  private var panes: [PaneKey: Pane] = [:]
  /// Windows that end at or before this were written out.
  public private(set) var emittedThrough = Watermark.minimum

  public init(_ spec: WindowSpec, layout: AggregateLayout) {
    math = WindowMath(spec)
    self.layout = layout
  }

  public var isEmpty: Bool { panes.isEmpty }
  /// Windows (of all keys together) that hold something.
  public var openCount: Int { panes.count }

  // MARK: Update

  /// Folds rows in. `key(row)` encodes a group's `by` values and is called for new groups only.
  public func update(
    rows: [UInt32], times: [Int64], watermarks: [Int64], hashes: [Hash128], arguments: [Column?],
    key: (Int) -> [UInt8], counts: inout WindowCounts, late: inout [LateRow]
  ) {
    var touched: [Pane] = []
    var lastKey = PaneKey(start: 0, missed: -1)
    var last: Pane?
    for row in rows {
      let at = Int(row)
      let start = math.pane(times[at])
      let missed = math.missed(pane: start, watermark: watermarks[at])
      let closed = math.closed(pane: start, watermark: watermarks[at])
      counts.onTime += math.windowsPerPane - closed
      counts.corrected += closed - missed
      if missed > 0 {
        counts.late += missed
        for j in 0..<missed {
          let end = start + (j + 1) * math.slide
          late.append(LateRow(row: row, windowStart: end - math.size, windowEnd: end))
        }
        if missed == math.windowsPerPane { continue }
      }
      let paneKey = PaneKey(start: start, missed: missed)
      if paneKey != lastKey || last == nil {
        last = pane(paneKey)
        lastKey = paneKey
        if last!.pendingRows.isEmpty { touched.append(last!) }
      }
      let group = groups.intern(hashes[at]) { key(at) }
      last!.pendingCells.append(Int32(last!.cell(group)))
      last!.pendingRows.append(row)
    }
    for pane in touched {
      pane.cells.update(cells: pane.pendingCells, rows: pane.pendingRows, arguments: arguments)
      pane.pendingCells.removeAll(keepingCapacity: true)
      pane.pendingRows.removeAll(keepingCapacity: true)
    }
  }

  private func pane(_ key: PaneKey) -> Pane {
    if let pane = panes[key] { return pane }
    let pane = Pane(layout)
    panes[key] = pane
    return pane
  }

  /// Folds another store of the same table in: a lane's partial into the merge lane.
  public func merge(_ other: WindowStore) {
    for (key, theirs) in other.panes.sorted(by: { $0.key < $1.key }) {
      let ours = pane(key)
      for (cell, group) in theirs.groups.enumerated() {
        let mine = groups.intern(other.groups.hash(of: Int(group))) { Array(other.groups.key(of: Int(group))) }
        ours.cells.merge(ours.cell(mine), with: theirs.cells, cell)
      }
    }
  }

  // MARK: Emission

  /// Takes out every window that is final at this watermark, by end and then by first appearance of the group.
  public func finish(watermark: Int64) -> [WindowResult] {
    let bound = watermark == Watermark.maximum ? watermark : watermark.subtractingReportingOverflow(math.lateness).partialValue
    guard watermark != Watermark.minimum, bound > emittedThrough else { return [] }
    var results: [WindowResult] = []
    let keys = panes.keys.sorted()
    var first = 0
    var end = Watermark.minimum
    while true {
      // The next end: one slide on, or over a gap to the first window of the first pane that is left.
      if end != Watermark.minimum {
        end += math.slide
        while first < keys.count, keys[first].start < end - math.size { first += 1 }
      }
      guard first < keys.count else { break }
      end = max(end, keys[first].start + math.slide)
      if end <= emittedThrough { end = firstEnd(after: emittedThrough, pane: keys[first].start) }
      guard end <= bound else { break }
      if end - math.size > keys[first].start { continue }
      emit(end: end, keys: keys[first...], into: &results)
    }
    emittedThrough = bound
    dropFinished()
    return results
  }

  /// The first window end above `bound` on the grid of `pane`.
  private func firstEnd(after bound: Int64, pane: Int64) -> Int64 { pane + ((bound - pane) / math.slide + 1) * math.slide }

  private func emit(end: Int64, keys: ArraySlice<PaneKey>, into results: inout [WindowResult]) {
    let start = end - math.size
    let sum = CellStore(layout)
    var cellOf: [Int32: Int] = [:]
    var order: [Int32] = []
    for key in keys {
      if key.start >= end { break }
      if (end - key.start) / math.slide - 1 < key.missed { continue }
      guard let pane = panes[key] else { continue }
      for (cell, group) in pane.groups.enumerated() {
        let into: Int
        if let known = cellOf[group] {
          into = known
        } else {
          into = sum.add()
          cellOf[group] = into
          order.append(group)
        }
        sum.merge(into, with: pane.cells, cell)
      }
    }
    for group in order.sorted() {
      results.append(
        WindowResult(
          key: Array(groups.key(of: Int(group))), start: start, end: end, measures: sum.results(cellOf[group]!)))
    }
  }

  /// Frees panes whose last window is out, and the groups that only they used.
  private func dropFinished() {
    for key in panes.keys where key.start + math.size <= emittedThrough || emittedThrough == Watermark.maximum {
      panes[key] = nil
    }
    guard groups.count > 1024 else { if panes.isEmpty { groups = GroupTable() }; return }
    var used = [Bool](repeating: false, count: groups.count)
    var live = 0
    for pane in panes.values {
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
    for pane in panes.values { pane.renumber(map) }
  }

  // MARK: State

  /// Writes everything: as lane state (all open windows) or as an epoch's partial.
  public func save(into out: inout ByteWriter) {
    out.write(emittedThrough)
    out.write(UInt32(groups.count))
    for group in 0..<groups.count {
      out.write(groups.hash(of: group))
      out.write(counted: groups.key(of: group))
    }
    let keys = panes.keys.sorted()
    out.write(UInt32(keys.count))
    for key in keys {
      guard let pane = panes[key] else { continue }
      out.write(key.start)
      out.write(key.missed)
      out.write(UInt32(pane.groups.count))
      for (cell, group) in pane.groups.enumerated() {
        out.write(UInt32(group))
        pane.cells.save(cell, into: &out)
      }
    }
  }

  /// Replaces the contents by what ``save(into:)`` wrote.
  public func restore(from reader: inout ByteReader) throws(WeirError) {
    groups = GroupTable()
    panes = [:]
    emittedThrough = try reader.read(Int64.self)
    for _ in 0..<(try reader.readCount(each: 20)) {
      let hash = try reader.readHash()
      let key = Array(try reader.readCounted())
      _ = groups.intern(hash) { key }
    }
    for _ in 0..<(try reader.readCount(each: 20)) {
      let key = PaneKey(start: try reader.read(Int64.self), missed: try reader.read(Int64.self))
      let pane = pane(key)
      for _ in 0..<(try reader.readCount(each: layout.stride * 4)) {
        let group = Int(try reader.read(UInt32.self))
        guard group < groups.count else { throw reader.corrupt("a group number is out of range") }
        try pane.cells.restore(pane.cell(group), from: &reader)
      }
    }
  }
}
