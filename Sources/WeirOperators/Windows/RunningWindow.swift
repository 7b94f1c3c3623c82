import WeirCore

/// What each of many windows holds, one after the other, without adding up all panes of each.
///
/// Two stacks: of the panes up to a boundary the *front* keeps, group by group, the sum from each pane to the boundary, and the *back*
/// the sum of those after it. A window is one of the front's sums and the back's, so a cell is merged twice until it leaves, and once or
/// twice for each row that is written out. When the front is used up it is rebuilt from all that the window holds.
///
/// Its stores are shared by copies of it: one copy continues. Only for accumulators that do not depend on the order of merging
/// (``AggregateLayout/isExact``): the position of the boundary must not show.
struct RunningWindow {
  typealias Panes = [(key: WindowStore.PaneKey, pane: WindowStore.Pane)]

  private let math: WindowMath
  private let layout: AggregateLayout
  /// Panes from here on were not looked at.
  private var seen: Int
  /// Classes of lateness whose first window is still to come, by its end.
  private var pending: [Int64: [Int]] = [:]
  /// Came when the front already reached beyond them; seldom any.
  private var strays: [Int] = []

  private var front: CellStore
  /// By cell of the front: the cell of the group's next pane there, or -1.
  private var frontNext: [Int32] = []
  /// The newest first; the first cell of each.
  private var frontPanes: [(pane: Int, firstCell: Int)] = []
  private var boundary = Watermark.minimum
  private var back: CellStore
  private var backPanes: [Int] = []
  /// The oldest start of these.
  private var backStart = Watermark.maximum
  /// By group: its cell, or -1; how many panes of the window have it; its place among those that are in the window.
  private var frontCell: [Int32]
  private var backCell: [Int32]
  private var uses: [Int32]
  private var places: [Int32]
  private var active: [Int32] = []

  /// - Parameters:
  ///   - first: the first pane that a window still to come may hold.
  ///   - groups: numbers of groups are below this.
  init(math: WindowMath, layout: AggregateLayout, first: Int, groups: Int) {
    (self.math, self.layout, seen) = (math, layout, first)
    (front, back) = (CellStore(layout), CellStore(layout))
    frontCell = [Int32](repeating: -1, count: groups)
    (backCell, places) = (frontCell, frontCell)
    uses = [Int32](repeating: 0, count: groups)
  }

  /// Moves to the window that ends at `end`. Ends only grow.
  mutating func advance(to end: Int64, _ panes: Panes) {
    leave(before: end - math.size, panes)
    for key in pending.keys.filter({ $0 <= end }).sorted() {
      for pane in pending.removeValue(forKey: key) ?? [] where panes[pane].key.start >= end - math.size { enter(pane, panes) }
    }
    while seen < panes.count, panes[seen].key.start < end {
      let key = panes[seen].key
      let firstEnd = key.start + (key.missed + 1) * math.slide
      if key.start >= end - math.size { if firstEnd <= end { enter(seen, panes) } else { pending[firstEnd, default: []].append(seen) } }
      seen += 1
    }
  }

  private mutating func enter(_ number: Int, _ panes: Panes) {
    let (key, pane) = panes[number]
    for group in pane.groups { use(group) }
    guard frontPanes.isEmpty || key.start > boundary else { return strays.append(number) }
    backPanes.append(number)
    backStart = min(backStart, key.start)
    back.merge(with: pane.cells, most: pane.groups.count) { pairs in
      for (cell, group) in pane.groups.enumerated() {
        if backCell[Int(group)] < 0 { backCell[Int(group)] = Int32(back.add()) }
        pairs.add(backCell[Int(group)], Int32(cell))
      }
    }
  }

  /// Panes that start before `start` leave the window.
  private mutating func leave(before start: Int64, _ panes: Panes) {
    while let last = frontPanes.last, panes[last.pane].key.start < start {
      for (cell, group) in panes[last.pane].pane.groups.enumerated() {
        frontCell[Int(group)] = frontNext[last.firstCell + cell]
        unuse(group)
      }
      frontPanes.removeLast()
    }
    if strays.contains(where: { panes[$0].key.start < start }) {
      for number in strays where panes[number].key.start < start { for group in panes[number].pane.groups { unuse(group) } }
      strays.removeAll { panes[$0].key.start < start }
    }
    guard frontPanes.isEmpty, backStart < start else { return }
    for number in backPanes where panes[number].key.start < start { for group in panes[number].pane.groups { unuse(group) } }
    turn((backPanes + strays).filter { panes[$0].key.start >= start }, panes)
  }

  /// Makes the front of these panes; the back is empty then.
  private mutating func turn(_ numbers: [Int], _ panes: Panes) {
    for number in backPanes { for group in panes[number].pane.groups { backCell[Int(group)] = -1 } }
    (back, backPanes, backStart, strays) = (CellStore(layout), [], Watermark.maximum, [])
    (front, frontNext, frontPanes) = (CellStore(layout), [], [])
    let newestFirst = numbers.sorted { panes[$1].key < panes[$0].key }
    boundary = newestFirst.first.map { panes[$0].key.start } ?? Watermark.minimum
    for number in newestFirst {
      let pane = panes[number].pane
      frontPanes.append((number, front.count))
      // The pane's own cells, then the sums of the panes after it.
      front.merge(with: pane.cells, most: pane.groups.count) { pairs in
        for cell in pane.groups.indices { pairs.add(Int32(front.add()), Int32(cell)) }
      }
      let first = front.count - pane.groups.count
      front.merge(with: front, most: pane.groups.count) { pairs in
        for (cell, group) in pane.groups.enumerated() {
          let (sum, next) = (Int32(first + cell), frontCell[Int(group)])
          if next >= 0 { pairs.add(sum, next) }
          frontNext.append(next)
          frontCell[Int(group)] = sum
        }
      }
    }
  }

  private mutating func use(_ group: Int32) {
    uses[Int(group)] += 1
    guard uses[Int(group)] == 1 else { return }
    places[Int(group)] = Int32(active.count)
    active.append(group)
  }

  private mutating func unuse(_ group: Int32) {
    uses[Int(group)] -= 1
    guard uses[Int(group)] == 0 else { return }
    let place = places[Int(group)]
    let moved = active.removeLast()
    if moved != group {
      active[Int(place)] = moved
      places[Int(moved)] = place
    }
    places[Int(group)] = -1
  }

  /// The window's groups, ascending, and the cell of each.
  func sum(_ panes: Panes) -> (cells: CellStore, groups: [(group: Int32, cell: Int32)]) {
    let sorted = active.sorted()
    let cells = CellStore(layout, capacity: sorted.count)
    for _ in sorted { _ = cells.add() }
    for (store, cellOf) in [(front, frontCell), (back, backCell)] {
      cells.merge(with: store, most: sorted.count) { pairs in
        for (cell, group) in sorted.enumerated() where cellOf[Int(group)] >= 0 { pairs.add(Int32(cell), cellOf[Int(group)]) }
      }
    }
    let groups = sorted.enumerated().map { (group: $1, cell: Int32($0)) }
    guard !strays.isEmpty else { return (cells, groups) }
    let cellOf = Dictionary(uniqueKeysWithValues: groups.map { ($0.group, $0.cell) })
    for number in strays {
      for (cell, group) in panes[number].pane.groups.enumerated() {
        if let into = cellOf[group] { cells.merge(Int(into), with: panes[number].pane.cells, cell) }
      }
    }
    return (cells, groups)
  }
}
