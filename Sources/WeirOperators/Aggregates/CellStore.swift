import CWeirPrefetch
import WeirCore

/// The accumulators of one aggregate: cells of `layout.stride` words in one flat run of memory.
///
/// Updates go a measure at a time over a block's rows, and merges a measure at a time over a run of cells: one call each to the measure's
/// ``Accumulator``, whose loop has no call and no branch on type inside.
package final class CellStore {
  package let layout: AggregateLayout
  private var words: UnsafeMutablePointer<UInt64>
  private var capacity: Int
  package private(set) var count = 0
  /// Results that were null because their type cannot hold them.
  package private(set) var outOfRange: Int64 = 0
  private let outside: OutsideValues

  /// - Parameter capacity: cells that there is room for from the beginning.
  package init(_ layout: AggregateLayout, capacity: Int = 0) {
    self.layout = layout
    self.capacity = max(8, capacity)
    outside = layout.keepsValuesOutside ? OutsideValues() : .none
    words = allocated(self.capacity * layout.stride)
  }

  init(copying other: CellStore) {
    (layout, capacity, count) = (other.layout, max(8, other.count), other.count)
    outside = layout.keepsValuesOutside ? OutsideValues(copying: other.outside) : .none
    words = allocated(capacity * layout.stride)
    words.update(from: other.words, count: count * layout.stride)
  }

  deinit { free(words) }

  /// Bytes held, about.
  var byteCount: Int { capacity * layout.stride * 8 + outside.byteCount }

  /// A new empty cell.
  @inline(__always)
  package func add() -> Int {
    if count == capacity { grow() }
    (words + count * layout.stride).initialize(repeating: 0, count: layout.stride)
    count += 1
    return count - 1
  }

  @inline(__always)
  func prefetch(_ cell: Int) { weir_prefetch(words + cell * layout.stride) }

  private func grow() {
    capacity *= 2
    words = resized(words, capacity * layout.stride)
  }

  @inline(__always)
  private func at(_ slot: Int, _ cell: Int) -> Cell { Cell(words + cell * layout.stride + layout.slots[slot].word, outside) }

  // MARK: Update and merge

  /// Folds row `rows[i]` of the measures' argument columns into cell `cells[i]`.
  package func update(cells: UnsafeBufferPointer<Int32>, rows: UnsafeBufferPointer<UInt32>, arguments: [Column?]) {
    for (slot, argument) in zip(layout.slots, arguments) {
      slot.accumulator.update(
        CellRows(first: words + slot.word, stride: layout.stride, cells: cells, rows: rows, outside: outside), with: argument)
    }
  }

  /// Folds cells of `other` (same layout; perhaps this store) into cells of this one, in the order of the pairs.
  ///
  /// - Parameters:
  ///   - most: the number of pairs is at most this.
  ///   - makePairs: adds the pairs. It may add cells to this store.
  func merge(with other: CellStore, most: Int, _ makePairs: (inout CellPairing) -> Void) {
    // No arrays: windows that overlap are merged pane by pane, a few cells each time.
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2 * most) { memory in
      var pairing = CellPairing(cells: memory.extracting(..<most), others: memory.extracting(most...))
      makePairs(&pairing)
      // Only now: adding cells may have moved the words.
      for slot in layout.slots {
        slot.accumulator.merge(
          CellPairs(
            into: words + slot.word, from: other.words + slot.word, stride: layout.stride,
            cells: UnsafeBufferPointer(rebasing: pairing.cells[..<pairing.count]),
            others: UnsafeBufferPointer(rebasing: pairing.others[..<pairing.count]),
            outside: outside, outsideOfOthers: other.outside))
      }
    }
  }

  /// Folds cell `from` of `other` (same layout) into `cell`.
  package func merge(_ cell: Int, with other: CellStore, _ from: Int) {
    for slot in layout.slots.indices { layout.slots[slot].accumulator.merge(at(slot, cell), with: other.at(slot, from)) }
  }

  // MARK: Results

  /// Appends the measures of a cell, in their order.
  package func results(_ cell: Int, into out: inout [Literal]) {
    precondition(cell >= 0 && cell < count, "no such cell")
    for slot in layout.slots.indices { out.append(result(slot, cell)) }
  }

  /// The measures of a cell as the state table keeps them (``StateValue``).
  func encodeResults(_ cell: Int, into out: inout ByteWriter) {
    precondition(cell >= 0 && cell < count, "no such cell")
    StateValue.begin(&out)
    for slot in layout.slots.indices { StateValue.append(result(slot, cell), to: &out) }
  }

  // By number, here and elsewhere: a slot in a variable would be a copy of its accumulator, cell by cell.
  @inline(__always)
  private func result(_ slot: Int, _ cell: Int) -> Literal {
    let cell = at(slot, cell)
    let value = layout.slots[slot].accumulator.result(cell)
    if layout.mayBeOutOfRange, case .null = value, layout.slots[slot].accumulator.isOutOfRange(cell) { outOfRange += 1 }
    return value
  }

  /// Measures of a cell that are null because their type cannot hold them.
  func outOfRange(_ cell: Int) -> Int {
    layout.slots.indices.count {
      let accumulator = layout.slots[$0].accumulator
      return accumulator.mayBeOutOfRange && accumulator.isOutOfRange(at($0, cell))
    }
  }

  // MARK: State

  /// Words of a cell, and the values it refers to.
  package func save(_ cell: Int, into out: inout ByteWriter) {
    precondition(cell >= 0 && cell < count, "no such cell")
    guard layout.keepsValuesOutside else {
      return out.write(raw: UnsafeRawBufferPointer(start: words + cell * layout.stride, count: layout.stride * 8))
    }
    for slot in layout.slots.indices { layout.slots[slot].accumulator.save(at(slot, cell), into: &out) }
  }

  /// Overwrites `cell` with what ``save(_:into:)`` wrote.
  package func restore(_ cell: Int, from reader: inout ByteReader) throws(WeirError) {
    precondition(cell >= 0 && cell < count, "no such cell")
    if layout.keepsValuesOutside {
      for slot in layout.slots.indices { try layout.slots[slot].accumulator.restore(at(slot, cell), from: &reader) }
    } else {
      for word in 0..<layout.stride { words[cell * layout.stride + word] = try reader.read(UInt64.self) }
    }
    for slot in layout.slots.indices where layout.slots[slot].accumulator.count(at(slot, cell)) > UInt64(Bounds.count) {
      throw reader.corrupt("a number of values is out of range")
    }
  }
}
