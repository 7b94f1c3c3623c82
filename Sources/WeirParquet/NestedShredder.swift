import WeirCore

/// Turns the values of one nested column into levels and values of its leaves (the Dremel paper), as `NestedBuilder` of the core has them.
///
/// It gathers whole rows and hands them to the chunk writers some bytes at a time, wherever the rows were cut into calls.
final class NestedShredder {
  /// A type with its levels.
  private final class Node {
    enum Shape {
      case bool, int64, double, string
      case decimal
      /// `repetition` of all elements but the first.
      case list(repetition: UInt8)
      case structure
      case map(repetition: UInt8)
    }
    let shape: Shape
    /// Elements, values, or members.
    let below: [Node]
    /// The leaf of a scalar, or of a map's keys.
    let leaf: Int
    /// All leaves of the type.
    let leaves: Range<Int>

    /// - Parameters:
    ///   - next: the number of the first leaf; after the last one afterwards.
    ///   - repetition: of what is around it.
    init(_ type: ColumnType, _ next: inout Int, repetition: UInt8) {
      let first = next
      leaf = next
      switch type {
      case .bool: shape = .bool
      case .int64, .timestamp: shape = .int64
      case .double: shape = .double
      case .string, .binary: shape = .string
      // A column of unscaled values, however many bytes the file has of each.
      case .decimal: shape = .decimal
      case .list: shape = .list(repetition: repetition + 1)
      case .structure: shape = .structure
      case .map: shape = .map(repetition: repetition + 1)
      }
      switch type {
      case .list(let element): below = [Node(element, &next, repetition: repetition + 1)]
      case .map(let value):
        next += 1
        below = [Node(value, &next, repetition: repetition + 1)]
      case .structure(let members): below = members.map { Node($0.type, &next, repetition: repetition) }
      default:
        next += 1
        below = []
      }
      leaves = first..<next
    }
  }

  /// What was gathered of one leaf.
  private final class Gathered {
    let chunk: ChunkWriter
    var definitions = Buffer<UInt8>()
    var repetitions = Buffer<UInt8>()
    var bools: [Bool] = []
    var ints: [Int64] = []
    var doubles: [Double] = []
    var decimals: [Int128] = []
    var strings: [StringRef] = []

    init(_ chunk: ChunkWriter) { self.chunk = chunk }

    @inline(__always)
    func add(_ definition: UInt8, _ repetition: UInt8) {
      definitions.append(definition)
      repetitions.append(repetition)
    }
  }

  private let root: Node
  private let isOptional: Bool
  private let leaves: [Gathered]
  /// Bytes of values after which the pages are looked at.
  private let stepBytes: Int
  private var bytes = 0
  private(set) var nulls = 0
  private(set) var failure: String?
  private var picks = Buffer<UInt32>()

  /// - Parameter chunks: of the column's leaves.
  init(_ column: ColumnSchema, chunks: [ChunkWriter], pageBytes: Int) {
    var next = 0
    root = Node(column.type, &next, repetition: 0)
    precondition(next == chunks.count, "a chunk writer for each leaf")
    isOptional = column.nullable
    leaves = chunks.map { Gathered($0) }
    stepBytes = max(1, min(pageBytes / 4, 64 << 10))
  }

  func append(_ column: Column, _ rows: Picks) {
    guard case .string(let values) = column.values else { preconditionFailure("the column's type is not the schema's") }
    let definition: UInt8 = isOptional ? 1 : 0
    for i in 0..<rows.count {
      let row = Int(rows.start[i])
      if column.isValid(row) {
        var at = UnsafeRawPointer(values[row].start)
        payload(root, &at, definition, 0)
        bytes += values[row].count
      } else {
        nulls += 1
        if !isOptional { failure = "a null in a column that is not nullable" }
        none(root, 0, 0)
        bytes += 1
      }
      guard bytes >= stepBytes else { continue }
      flush()
      for leaf in leaves { leaf.chunk.endSlice() }
      bytes = 0
    }
    // The rows may be gone after the call.
    flush()
  }

  private func flush() {
    for leaf in leaves {
      let values: Column.Values
      let count: Int
      switch leaf.chunk.leaf.type {
      case .bool: (values, count) = (.bool(leaf.bools), leaf.bools.count)
      case .double: (values, count) = (.double(leaf.doubles), leaf.doubles.count)
      case .decimal: (values, count) = (.decimal(leaf.decimals), leaf.decimals.count)
      case .string, .binary: (values, count) = (.string(leaf.strings), leaf.strings.count)
      default: (values, count) = (.int64(leaf.ints), leaf.ints.count)
      }
      while picks.count <= count { picks.append(UInt32(picks.count)) }
      let repeats = leaf.chunk.leaf.maxRepetition > 0
      leaf.chunk.append(
        definitions: UnsafeBufferPointer(start: leaf.definitions.base, count: leaf.definitions.count),
        repetitions: UnsafeBufferPointer(start: leaf.repetitions.base, count: repeats ? leaf.repetitions.count : 0),
        values, Picks(start: picks.base, count: count))
      leaf.definitions.removeAll()
      leaf.repetitions.removeAll()
      leaf.bools.removeAll(keepingCapacity: true)
      leaf.ints.removeAll(keepingCapacity: true)
      leaf.doubles.removeAll(keepingCapacity: true)
      leaf.decimals.removeAll(keepingCapacity: true)
      leaf.strings.removeAll(keepingCapacity: true)
    }
  }

  // MARK: Values

  /// - Parameter definition: of what is around the value.
  private func value(_ node: Node, _ at: inout UnsafeRawPointer, _ definition: UInt8, _ repetition: UInt8) {
    let isPresent = load(&at, UInt8.self) != 0
    if isPresent { payload(node, &at, definition + 1, repetition) } else { none(node, definition, repetition) }
  }

  private func none(_ node: Node, _ definition: UInt8, _ repetition: UInt8) {
    for leaf in node.leaves { leaves[leaf].add(definition, repetition) }
  }

  @inline(__always)
  private func load<T: BitwiseCopyable>(_ at: inout UnsafeRawPointer, _ type: T.Type) -> T {
    defer { at += MemoryLayout<T>.size }
    return at.loadUnaligned(as: type)
  }

  private func text(_ at: inout UnsafeRawPointer) -> StringRef {
    let count = Int(UInt32(littleEndian: load(&at, UInt32.self)))
    defer { at += count }
    return StringRef(start: at.assumingMemoryBound(to: UInt8.self), count: count)
  }

  /// - Parameter definition: of the value, which is not null.
  private func payload(_ node: Node, _ at: inout UnsafeRawPointer, _ definition: UInt8, _ repetition: UInt8) {
    switch node.shape {
    case .bool: leaves[node.leaf].bools.append(load(&at, UInt8.self) != 0)
    case .int64: leaves[node.leaf].ints.append(Int64(littleEndian: load(&at, Int64.self)))
    case .double: leaves[node.leaf].doubles.append(Double(bitPattern: UInt64(littleEndian: load(&at, UInt64.self))))
    case .decimal: leaves[node.leaf].decimals.append(Int128(littleEndian: load(&at, Int128.self)))
    case .string: leaves[node.leaf].strings.append(text(&at))
    case .structure:
      for member in node.below { value(member, &at, definition, repetition) }
      return
    case .list(let own):
      let count = UInt32(littleEndian: load(&at, UInt32.self))
      if count == 0 { return none(node, definition, repetition) }
      for i in 0..<count { value(node.below[0], &at, definition + 1, i == 0 ? repetition : own) }
      return
    case .map(let own):
      let count = UInt32(littleEndian: load(&at, UInt32.self))
      if count == 0 { return none(node, definition, repetition) }
      for i in 0..<count {
        leaves[node.leaf].strings.append(text(&at))
        leaves[node.leaf].add(definition + 1, i == 0 ? repetition : own)
        value(node.below[0], &at, definition + 1, i == 0 ? repetition : own)
      }
      return
    }
    leaves[node.leaf].add(definition, repetition)
  }
}
