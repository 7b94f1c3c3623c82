import WeirCore

/// What an aggregate function keeps of the values of one group: a run of 64-bit words in a cell of a ``CellStore``.
///
/// Zero words are the empty accumulator, and every accumulator is mergeable. A new one is a new file: nothing else knows the layout of
/// its words. Calls are dynamic once for a block (``update(_:with:)``) or a run of cells (``merge(_:)``); the loops inside are concrete.
package protocol Accumulator: Sendable {
  /// Words in a cell, at least 1.
  var words: Int { get }
  /// Merging gives the same result in any order, to the last bit.
  var isExact: Bool { get }
  /// A cell's words refer to values in ``OutsideValues``.
  var keepsValuesOutside: Bool { get }
  /// A result may be null because its type cannot hold it.
  var mayBeOutOfRange: Bool { get }

  /// Folds a block's rows in.
  /// - Parameter argument: the measure's argument; nil for a function of rows.
  func update(_ cells: CellRows, with argument: Column?)
  /// Folds `other` in, a cell of the same accumulator, perhaps in another store.
  func merge(_ cell: Cell, with other: Cell)
  /// The same for a run of cells.
  func merge(_ cells: CellPairs)
  /// The measure's value. Null without values, and where it is out of range.
  func result(_ cell: Cell) -> Literal
  /// The value is null because its type cannot hold it.
  func isOutOfRange(_ cell: Cell) -> Bool
  /// Number of values folded in: checked when a state blob is read.
  func count(_ cell: Cell) -> UInt64
  /// Writes the cell, for a state blob.
  func save(_ cell: Cell, into out: inout ByteWriter)
  /// Overwrites a cell with what ``save(_:into:)`` wrote. Throws where bytes are missing.
  func restore(_ cell: Cell, from reader: inout ByteReader) throws(WeirError)
}

extension Accumulator {
  package var isExact: Bool { true }
  package var keepsValuesOutside: Bool { false }
  package var mayBeOutOfRange: Bool { false }

  package func merge(_ cells: CellPairs) { cells.forEach { merge($0, with: $1) } }
  package func isOutOfRange(_ cell: Cell) -> Bool { false }
  /// The last word, in nearly all of them.
  package func count(_ cell: Cell) -> UInt64 { cell.words[words - 1] }

  package func save(_ cell: Cell, into out: inout ByteWriter) {
    out.write(raw: UnsafeRawBufferPointer(start: cell.words, count: words * 8))
  }

  package func restore(_ cell: Cell, from reader: inout ByteReader) throws(WeirError) {
    for word in 0..<words { cell.words[word] = try reader.read(UInt64.self) }
  }
}

/// One measure's words in one cell.
package struct Cell {
  /// The measure's first word.
  package let words: UnsafeMutablePointer<UInt64>
  /// What the words may refer to.
  unowned(unsafe) package let outside: OutsideValues

  @inline(__always)
  init(_ words: UnsafeMutablePointer<UInt64>, _ outside: OutsideValues) {
    self.words = words
    self.outside = outside
  }
}

/// Values of a store's accumulators that fit in no word: texts, sketches. A cell's word is an index.
package final class OutsideValues {
  /// An accumulator that replaces a value overwrites it; none is ever removed.
  package var values: [[UInt8]] = []

  /// Of stores whose accumulators keep all in their cells: it stays empty, so that those stores need none of their own.
  // Unsafe: shared by all threads, and never written (``add(_:)``).
  nonisolated(unsafe) static let none = OutsideValues()

  init() {}
  init(copying other: OutsideValues) { values = other.values }

  /// Bytes held, about.
  var byteCount: Int { values.reduce(0) { $0 + $1.count + 48 } }

  /// The index of a new value.
  package func add(_ value: [UInt8]) -> UInt64 {
    precondition(self !== OutsideValues.none, "an accumulator that keeps values outside of its cell says so")
    values.append(value)
    return UInt64(values.count - 1)
  }
}

/// Rows of a block, and one measure's words in the cells that they go to.
package struct CellRows {
  /// The measure's first word in the store's first cell.
  let first: UnsafeMutablePointer<UInt64>
  /// Words from one cell to the next.
  let stride: Int
  /// Cell of each row.
  let cells: UnsafeBufferPointer<Int32>
  /// Numbers of the rows in the block's columns.
  let rows: UnsafeBufferPointer<UInt32>
  unowned(unsafe) let outside: OutsideValues

  /// Calls `body` for each row whose value is not null, or for all without validity.
  @inline(__always)
  func forEach(_ validity: [Bool]?, _ body: (Cell) -> Void) {
    for i in 0..<cells.count where validity?[Int(rows[i])] ?? true { body(Cell(first + Int(cells[i]) * stride, outside)) }
  }

  /// Calls `body` with each value that is not null, and the cell it goes to.
  @inline(__always)
  func forEach<T>(_ values: [T], _ validity: [Bool]?, _ body: (Cell, T) -> Void) {
    if let validity {
      for i in 0..<cells.count where validity[Int(rows[i])] { body(Cell(first + Int(cells[i]) * stride, outside), values[Int(rows[i])]) }
    } else {
      for i in 0..<cells.count { body(Cell(first + Int(cells[i]) * stride, outside), values[Int(rows[i])]) }
    }
  }
}

/// One measure's words in cells of one store, and in those cells of another (or the same) one that are folded into them.
package struct CellPairs {
  let (into, from): (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt64>)
  let stride: Int
  let (cells, others): (UnsafeBufferPointer<Int32>, UnsafeBufferPointer<Int32>)
  unowned(unsafe) let outside: OutsideValues
  unowned(unsafe) let outsideOfOthers: OutsideValues

  @inline(__always)
  func forEach(_ body: (Cell, Cell) -> Void) {
    for i in 0..<cells.count {
      body(Cell(into + Int(cells[i]) * stride, outside), Cell(from + Int(others[i]) * stride, outsideOfOthers))
    }
  }
}

/// Collects the pairs of a merge (``CellStore/merge(with:most:_:)``).
struct CellPairing {
  let (cells, others): (UnsafeMutableBufferPointer<Int32>, UnsafeMutableBufferPointer<Int32>)
  private(set) var count = 0

  init(cells: UnsafeMutableBufferPointer<Int32>, others: UnsafeMutableBufferPointer<Int32>) {
    (self.cells, self.others) = (cells, others)
  }

  /// Cell `other` is folded into `cell`.
  @inline(__always)
  mutating func add(_ cell: Int32, _ other: Int32) {
    precondition(count < cells.count, "more pairs than there is room for")
    (cells[count], others[count]) = (cell, other)
    count += 1
  }
}
