import CWeirPrefetch

extension WindowStore {
  /// The cells of one pane and one class of lateness. Freed whole when its last window is final.
  final class Pane {
    let cells: CellStore
    /// (group + 1) << 32 | cell; 0 is free. At most half full. No array: its owner would be counted for every row.
    private var slots: UnsafeMutablePointer<UInt64>
    /// Slots less one; their number is a power of two.
    private var mask: Int
    /// Group of each cell.
    var groups: [Int32] = []
    /// Rows of the current call that belong to this pane, and its number among the panes of that call.
    var touches = 0
    var number: Int32 = 0

    /// - Parameter groups: as many as are likely to come.
    init(_ layout: AggregateLayout, groups expected: Int) {
      var size = 16
      while size < expected * 2 { size *= 2 }
      (slots, mask) = (Pane.empty(size), size - 1)
      cells = CellStore(layout, capacity: expected)
      groups.reserveCapacity(expected)
    }

    deinit { slots.deallocate() }

    private init(copying other: Pane) {
      cells = CellStore(copying: other.cells)
      (slots, mask, groups) = (Pane.empty(other.mask + 1), other.mask, other.groups)
      slots.update(from: other.slots, count: mask + 1)
    }

    func copy() -> Pane { Pane(copying: self) }

    /// Adds the cells of some groups of another pane, by group.
    func merge(_ other: Pane, where isWanted: (Int32) -> Bool) {
      for (cell, group) in other.groups.enumerated() where isWanted(group) { cells.merge(self.cell(Int(group)), with: other.cells, cell) }
    }

    var byteCount: Int { 160 + (mask + 1) * 8 + groups.capacity * 4 + cells.byteCount }

    private static func empty(_ size: Int) -> UnsafeMutablePointer<UInt64> {
      let slots = UnsafeMutablePointer<UInt64>.allocate(capacity: size)
      slots.initialize(repeating: 0, count: size)
      return slots
    }

    @inline(__always)
    private func start(_ group: Int) -> Int { (group &* 0x9E37_79B1) >> 4 & mask }

    /// Call it for some groups before ``cell(_:)``.
    @inline(__always)
    func prefetch(_ group: Int) { weir_prefetch(slots + start(group)) }

    @inline(__always)
    func cell(_ group: Int) -> Int {
      var at = start(group)
      while slots[at] != 0 {
        if slots[at] >> 32 == UInt64(group + 1) { return Int(slots[at] & 0xFFFF_FFFF) }
        at = (at + 1) & mask
      }
      return add(group)
    }

    private func add(_ group: Int) -> Int {
      let cell = cells.add()
      groups.append(Int32(group))
      if groups.count * 2 > mask + 1 { placeAll(in: (mask + 1) * 2) } else { place(group, cell) }
      return cell
    }

    private func place(_ group: Int, _ cell: Int) {
      var at = start(group)
      while slots[at] != 0 { at = (at + 1) & mask }
      slots[at] = UInt64(group + 1) << 32 | UInt64(cell)
    }

    private func placeAll(in size: Int) {
      slots.deallocate()
      (slots, mask) = (Pane.empty(size), size - 1)
      for (cell, group) in groups.enumerated() { place(Int(group), cell) }
    }

    func renumber(_ map: [Int32]) {
      for i in groups.indices { groups[i] = map[Int(groups[i])] }
      placeAll(in: mask + 1)
    }
  }
}
