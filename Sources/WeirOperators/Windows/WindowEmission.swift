import WeirCore

/// Makes the rows of final windows from panes: by end, then by first appearance of the group; some rows at a time.
///
/// A cut can finish any number of windows (the end of the input finishes all of them, and a record may be in thousands), so their rows
/// are never in memory together: what does not fit (``WindowResults/isFull``) is made while it is encoded (``WindowBacklog``).
struct WindowEmission: WindowRows {
  /// Cells and slots are reserved for at most this number of groups.
  private static let expectedMax = 1 << 14

  let math: WindowMath
  let layout: AggregateLayout
  let keys: GroupKeys
  let panes: [(key: WindowStore.PaneKey, pane: WindowStore.Pane)]
  /// Windows that end at or before this are not written out again.
  let emittedThrough: Int64
  /// Windows that end at or before this are final.
  let bound: Int64
  /// The first pane that a window still to come may hold.
  private var first = 0
  private var end = Watermark.minimum
  /// The window whose rows are being made.
  private var window: Window?
  /// Adds up windows that overlap much; nil: each is added up by itself.
  private var running: RunningWindow?

  private struct Window {
    let start: Int64
    let sum: CellStore
    /// Group and cell, by group.
    let groups: [(group: Int32, cell: Int32)]
    var next = 0
  }

  init(
    math: WindowMath, layout: AggregateLayout, keys: GroupKeys, panes: [(key: WindowStore.PaneKey, pane: WindowStore.Pane)],
    emittedThrough: Int64, bound: Int64
  ) {
    (self.math, self.layout, self.keys, self.panes) = (math, layout, keys, panes)
    (self.emittedThrough, self.bound) = (emittedThrough, bound)
  }

  /// The same from here on over panes of its own: the store continues with those that later windows hold.
  func detached(_ isShared: (WindowStore.PaneKey) -> Bool) -> WindowEmission {
    let own = panes[first...].map { key, pane in (key: key, pane: isShared(key) ? pane.copy() : pane) }
    var copy = WindowEmission(math: math, layout: layout, keys: keys, panes: own, emittedThrough: emittedThrough, bound: bound)
    (copy.end, copy.window) = (end, window)
    return copy
  }

  mutating func emit(into results: inout WindowResults) -> Bool {
    while true {
      if window != nil {
        emitWindow(into: &results)
        if results.isFull { return window != nil || hasNext }
      }
      guard nextWindow() else { return false }
    }
  }

  private mutating func emitWindow(into results: inout WindowResults) {
    guard var open = window else { return }
    let before = open.sum.outOfRange
    while open.next < open.groups.count, !results.isFull {
      let (group, cell) = open.groups[open.next]
      results.append(key: keys[Int(group)], start: open.start, end: end) { open.sum.results(Int(cell), into: &$0) }
      open.next += 1
    }
    results.outOfRange += open.sum.outOfRange - before
    window = open.next < open.groups.count ? open : nil
  }

  /// Measures, of the rows still to come, that are null because no double can hold them: a cut counts them before the rows are made.
  func outOfRange() -> Int64 {
    guard layout.mayBeOutOfRange else { return 0 }
    var (ahead, count, isMore) = (self, Int64(0), true)
    while isMore {
      var some = WindowResults(measures: layout.count)
      isMore = ahead.emit(into: &some)
      count += some.outOfRange
    }
    return count
  }

  /// There may be one more window.
  private var hasNext: Bool { first < panes.count && end < bound }

  /// Moves to the next window that holds a record; false at the end.
  private mutating func nextWindow() -> Bool {
    while true {
      // The next end: one slide on, or over a gap to the first window of the first pane that is left.
      if end != Watermark.minimum {
        end += math.slide
        while first < panes.count, panes[first].key.start < end - math.size { first += 1 }
      }
      guard first < panes.count else { return false }
      let start = panes[first].key.start
      end = max(end, start + math.slide)
      if end <= emittedThrough { end = firstEnd(after: emittedThrough, pane: start) }
      guard end <= bound else { return false }
      if end - math.size > start { continue }
      open()
      return true
    }
  }

  /// The first window end above `bound` on the grid of `pane`.
  private func firstEnd(after bound: Int64, pane: Int64) -> Int64 { pane + ((bound - pane) / math.slide + 1) * math.slide }

  /// Windows that hold a pane from which on they are not added up one by one.
  private static let runningFrom: Int64 = 4

  private mutating func open() {
    guard layout.isExact, math.windowsPerPane >= WindowEmission.runningFrom else { return addUp() }
    if running == nil { running = RunningWindow(math: math, layout: layout, first: first, groups: keys.count) }
    running?.advance(to: end, panes)
    guard let (sum, groups) = running?.sum(panes) else { return }
    window = Window(start: end - math.size, sum: sum, groups: groups)
  }

  private mutating func addUp() {
    let expected = min(panes[first].pane.groups.count, WindowEmission.expectedMax)
    let sum = CellStore(layout, capacity: expected)
    var cellOf = [Int32: Int32](minimumCapacity: expected)
    var groups: [(group: Int32, cell: Int32)] = []
    groups.reserveCapacity(expected)
    for (key, pane) in panes[first...] {
      if key.start >= end { break }
      if (end - key.start) / math.slide - 1 < key.missed { continue }
      sum.merge(with: pane.cells, most: pane.groups.count) { pairs in
        for (cell, group) in pane.groups.enumerated() {
          if let known = cellOf[group] {
            pairs.add(known, Int32(cell))
            continue
          }
          let new = Int32(sum.add())
          cellOf[group] = new
          groups.append((group, new))
          pairs.add(new, Int32(cell))
        }
      }
    }
    groups.sort { $0.group < $1.group }
    window = Window(start: end - math.size, sum: sum, groups: groups)
  }
}
