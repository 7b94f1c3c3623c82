import CWeir
import WeirCore

/// The accumulators of one aggregate: cells of `layout.stride` words in one flat run of memory.
///
/// Updates go a measure at a time over a block's rows: one tight loop each, no call and no branch on type inside.
public final class CellStore {
  public let layout: AggregateLayout
  private var words: UnsafeMutablePointer<UInt64>
  private var capacity: Int
  public private(set) var count = 0
  /// Results that were null because no double can hold them.
  public private(set) var outOfRange: Int64 = 0
  /// Values of string extremes; a cell holds an index. Replaced values are dropped by ``compacted(keeping:)``.
  private var strings: [[UInt8]] = []

  /// - Parameter capacity: cells that there is room for from the beginning.
  public init(_ layout: AggregateLayout, capacity: Int = 0) {
    self.layout = layout
    self.capacity = max(8, capacity)
    words = allocated(self.capacity * layout.stride)
  }

  init(copying other: CellStore) {
    (layout, capacity, count, strings) = (other.layout, max(8, other.count), other.count, other.strings)
    words = allocated(capacity * layout.stride)
    words.update(from: other.words, count: count * layout.stride)
  }

  deinit { free(words) }

  /// Bytes held, about.
  var byteCount: Int { capacity * layout.stride * 8 + strings.reduce(0) { $0 + $1.count + 48 } }

  /// A new empty cell.
  @inline(__always)
  public func add() -> Int {
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

  // MARK: Update

  /// Folds row `rows[i]` of the measures' argument columns into cell `cells[i]`.
  public func update(cells: UnsafeBufferPointer<Int32>, rows: UnsafeBufferPointer<UInt32>, arguments: [Column?]) {
    for (slot, argument) in zip(layout.slots, arguments) {
      switch slot.kind {
      case .countRows: countRows(slot.word, cells)
      case .countValues: countValues(slot.word, cells, rows, argument)
      case .sumExact: sumExact(slot.word, cells, rows, argument)
      case .sumDouble: sumDouble(slot.word, cells, rows, argument)
      case .extremeInt(let max), .extremeDouble(let max), .extremeDecimal(let max), .extremeString(let max):
        extreme(slot.word, max, cells, rows, argument)
      }
    }
  }

  private func countRows(_ word: Int, _ cells: UnsafeBufferPointer<Int32>) {
    let (words, stride) = (words + word, layout.stride)
    for cell in cells { words[Int(cell) * stride] += 1 }
  }

  private func countValues(_ word: Int, _ cells: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<UInt32>, _ argument: Column?) {
    guard let validity = argument?.validity else { return countRows(word, cells) }
    for i in 0..<cells.count where validity[Int(rows[i])] { words[Int(cells[i]) * layout.stride + word] += 1 }
  }

  /// Calls `body` with each cell's first word of the measure and each value that is not null.
  @inline(__always)
  private func forEach<T>(
    _ word: Int, _ cells: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<UInt32>, _ values: [T], _ validity: [Bool]?,
    _ body: (Int, T) -> Void
  ) {
    let stride = layout.stride
    if let validity {
      for i in 0..<cells.count where validity[Int(rows[i])] { body(Int(cells[i]) * stride + word, values[Int(rows[i])]) }
    } else {
      for i in 0..<cells.count { body(Int(cells[i]) * stride + word, values[Int(rows[i])]) }
    }
  }

  private func sumExact(_ word: Int, _ cells: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<UInt32>, _ argument: Column?) {
    guard let argument else { return }
    switch argument.values {
    case .int64(let values): forEach(word, cells, rows, values, argument.validity) { addExact($0, Int128($1), 1) }
    case .decimal(let values): forEach(word, cells, rows, values, argument.validity) { addExact($0, $1, 1) }
    default: preconditionFailure("sum of \(argument.type.name): the plan's compiler refuses it")
    }
  }

  @inline(__always)
  private func addExact(_ at: Int, _ value: Int128, _ n: UInt64) {
    let low = UInt64(truncatingIfNeeded: value)
    let (sum, carry) = words[at].addingReportingOverflow(low)
    words[at] = sum
    words[at + 1] = words[at + 1] &+ UInt64(truncatingIfNeeded: value >> 64) &+ (carry ? 1 : 0)
    words[at + 2] += n
  }

  private func sumDouble(_ word: Int, _ cells: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<UInt32>, _ argument: Column?) {
    guard let argument, case .double(let values) = argument.values else { return }
    forEach(word, cells, rows, values, argument.validity) { addDouble($0, $1, 0, 1) }
  }

  /// A sum of doubles that became larger than ``large`` is kept as 2^-64 of itself: no order of up to 2^62 values leaves the range
  /// on the way, so the sum is out of range only if the total is. All others are kept as they are, since a small part of them would
  /// leave the range at its lower end. The highest bit of the count tells the two apart; cells of older versions are all scaled.
  private static let scale = Double(sign: .plus, exponent: -64, significand: 1)
  private static let large = Double(sign: .plus, exponent: 1000, significand: 1)
  private static let isPlain: UInt64 = 1 << 63

  /// Double-double addition (Dekker, Knuth's TwoSum): the pair carries 106 bits of the sum.
  @inline(__always)
  private func addDouble(_ at: Int, _ value: Double, _ valueRest: Double, _ n: UInt64) {
    let count = words[at + 2]
    let a = Double(bitPattern: words[at])
    // Two numbers below `large` cannot leave the range; a NaN is not below it.
    guard count == 0 || count & CellStore.isPlain != 0, abs(a) < CellStore.large, abs(value) < CellStore.large else {
      return addLarge(at, value * CellStore.scale, valueRest * CellStore.scale, n)
    }
    let (high, low) = CellStore.sum(a, Double(bitPattern: words[at + 1]), value, valueRest)
    words[at] = high.bitPattern
    words[at + 1] = low.bitPattern
    words[at + 2] = (count | CellStore.isPlain) + n
  }

  @inline(__always)
  private static func sum(_ a: Double, _ aRest: Double, _ b: Double, _ bRest: Double) -> (high: Double, low: Double) {
    let s = a + b
    let c = s - a
    let error = (a - (s - c)) + (b - c)
    let low = aRest + bRest + (error.isNaN ? 0 : error)
    let high = s + low
    return (high, high.isFinite ? low - (high - s) : 0)
  }

  /// - Parameters: scaled.
  @inline(never)
  private func addLarge(_ at: Int, _ value: Double, _ valueRest: Double, _ n: UInt64) {
    let count = words[at + 2]
    let factor = count & CellStore.isPlain != 0 ? CellStore.scale : 1
    let (high, low) = CellStore.sum(
      Double(bitPattern: words[at]) * factor, Double(bitPattern: words[at + 1]) * factor, value, valueRest)
    let isSmall = abs(high) < CellStore.large * CellStore.scale
    words[at] = (isSmall ? high / CellStore.scale : high).bitPattern
    words[at + 1] = (isSmall ? low / CellStore.scale : low).bitPattern
    words[at + 2] = (count & ~CellStore.isPlain) + n | (isSmall ? CellStore.isPlain : 0)
  }

  /// Sum or mean of a cell; null without values, and where it is no number that a double can hold.
  private func doubleResult(_ at: Int, average: Bool) -> Literal {
    guard let value = double(at, average: average) else { return .null }
    if value.isFinite { return .double(value) }
    outOfRange += 1
    return .null
  }

  /// The same as a number, which may be none that is finite; nil without values.
  private func double(_ at: Int, average: Bool) -> Double? {
    let n = words[at + 2] & ~CellStore.isPlain
    guard n > 0 else { return nil }
    let (high, low) = (Double(bitPattern: words[at]), Double(bitPattern: words[at + 1]))
    let result = average ? Averages.mean(high, low, count: n) : high + low
    return words[at + 2] & CellStore.isPlain != 0 ? result : result / CellStore.scale
  }

  /// Measures of a cell that are null because no double can hold them.
  func outOfRange(_ cell: Int) -> Int {
    layout.slots.count { slot in
      guard case .sumDouble(let average) = slot.kind else { return false }
      return double(cell * layout.stride + slot.word, average: average)?.isFinite == false
    }
  }

  private func extreme(
    _ word: Int, _ max: Bool, _ cells: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<UInt32>, _ argument: Column?
  ) {
    guard let argument else { return }
    let validity = argument.validity
    switch argument.values {
    case .int64(let v): forEach(word, cells, rows, v, validity) { takeInt($0, $1, max, 1) }
    case .bool(let v): forEach(word, cells, rows, v, validity) { takeInt($0, $1 ? 1 : 0, max, 1) }
    case .double(let v): forEach(word, cells, rows, v, validity) { takeDouble($0, $1, max, 1) }
    case .decimal(let v): forEach(word, cells, rows, v, validity) { takeDecimal($0, $1, max, 1) }
    case .string(let v): forEach(word, cells, rows, v, validity) { takeString($0, $1, max, 1) }
    }
  }

  @inline(__always)
  private func takeInt(_ at: Int, _ value: Int64, _ max: Bool, _ n: UInt64) {
    let old = Int64(bitPattern: words[at])
    if words[at + 1] == 0 || (max ? value > old : value < old) { words[at] = UInt64(bitPattern: value) }
    words[at + 1] += n
  }

  private func takeDouble(_ at: Int, _ value: Double, _ max: Bool, _ n: UInt64) {
    let old = Double(bitPattern: words[at])
    // Of equal values, -0 is the smaller: so it does not matter which came first.
    let isTaken = value == old ? max == (value.sign == .plus) : max ? value > old : value < old
    if words[at + 1] == 0 || isTaken { words[at] = value.bitPattern }
    words[at + 1] += n
  }

  private func takeDecimal(_ at: Int, _ value: Int128, _ max: Bool, _ n: UInt64) {
    let old = exact(at)
    if words[at + 2] == 0 || (max ? value > old : value < old) {
      words[at] = UInt64(truncatingIfNeeded: value)
      words[at + 1] = UInt64(truncatingIfNeeded: value >> 64)
    }
    words[at + 2] += n
  }

  private func takeString(_ at: Int, _ value: StringRef, _ max: Bool, _ n: UInt64) {
    defer { words[at + 1] += n }
    if words[at + 1] == 0 {
      words[at] = UInt64(strings.count)
      strings.append(Array(value.bytes))
      return
    }
    let index = Int(words[at])
    let replaces = strings[index].withUnsafeBufferPointer { old in
      let old = old.baseAddress.map { StringRef(start: $0, count: old.count) } ?? .empty
      return max ? old < value : value < old
    }
    if replaces { strings[index] = Array(value.bytes) }
  }

  private func exact(_ at: Int) -> Int128 { Int128(Int64(bitPattern: words[at + 1])) << 64 | Int128(words[at]) }

  // MARK: Merge

  /// Folds cell `from` of `other` (same layout) into `cell`.
  public func merge(_ cell: Int, with other: CellStore, _ from: Int) {
    for slot in layout.slots {
      let at = cell * layout.stride + slot.word
      let source = from * layout.stride + slot.word
      switch slot.kind {
      case .countRows, .countValues: words[at] += other.words[source]
      case .sumExact:
        let n = other.words[source + 2]
        let value = other.exact(source)
        addExact(at, value, n)
      case .sumDouble:
        let (n, plain) = (other.words[source + 2] & ~CellStore.isPlain, other.words[source + 2] & CellStore.isPlain != 0)
        let (high, low) = (Double(bitPattern: other.words[source]), Double(bitPattern: other.words[source + 1]))
        if n > 0 { if plain { addDouble(at, high, low, n) } else { addLarge(at, high, low, n) } }
      case .extremeInt(let max):
        let n = other.words[source + 1]
        if n > 0 { takeInt(at, Int64(bitPattern: other.words[source]), max, n) }
      case .extremeDouble(let max):
        let n = other.words[source + 1]
        if n > 0 { takeDouble(at, Double(bitPattern: other.words[source]), max, n) }
      case .extremeDecimal(let max):
        let n = other.words[source + 2]
        if n > 0 { takeDecimal(at, other.exact(source), max, n) }
      case .extremeString(let max):
        let n = other.words[source + 1]
        guard n > 0 else { continue }
        other.strings[Int(other.words[source])].withUnsafeBufferPointer { value in
          takeString(at, value.baseAddress.map { StringRef(start: $0, count: value.count) } ?? .empty, max, n)
        }
      }
    }
  }

  // MARK: Results

  /// Appends the measures of a cell, in their order.
  public func results(_ cell: Int, into out: inout [Literal]) {
    precondition(cell >= 0 && cell < count, "no such cell")
    for slot in layout.slots { out.append(result(slot, cell * layout.stride + slot.word)) }
  }

  /// The measures of a cell as the state table keeps them (``StateValue``).
  func encodeResults(_ cell: Int, into out: inout ByteWriter) {
    precondition(cell >= 0 && cell < count, "no such cell")
    StateValue.begin(&out)
    for slot in layout.slots { StateValue.append(result(slot, cell * layout.stride + slot.word), to: &out) }
  }

  private func result(_ slot: AggregateLayout.Slot, _ at: Int) -> Literal {
    switch slot.kind {
    case .countRows, .countValues: return .int64(Int64(words[at]))
    case .sumExact(let average): return exactResult(slot, at, average)
    case .sumDouble(let average): return doubleResult(at, average: average)
    case .extremeInt:
      guard words[at + 1] > 0 else { return .null }
      let value = Int64(bitPattern: words[at])
      switch slot.resultType {
      case .timestamp: return .timestamp(value)
      case .bool: return .bool(value != 0)
      default: return .int64(value)
      }
    case .extremeDouble: return words[at + 1] > 0 ? .double(Double(bitPattern: words[at])) : .null
    case .extremeDecimal:
      guard words[at + 2] > 0, case .decimal(let precision, let scale) = slot.resultType else { return .null }
      return .decimal(exact(at), precision: precision, scale: scale)
    case .extremeString:
      guard words[at + 1] > 0 else { return .null }
      let bytes = strings[Int(words[at])]
      return slot.resultType == .binary ? .binary(bytes) : .string(String(decoding: bytes, as: UTF8.self))
    }
  }

  private func exactResult(_ slot: AggregateLayout.Slot, _ at: Int, _ average: Bool) -> Literal {
    guard words[at + 2] > 0 else { return .null }
    let sum = exact(at)
    if average {
      var scale = 0
      if case .decimal(_, let digits)? = slot.argumentType { scale = digits }
      return .double(Averages.mean(sum, scale: scale, count: words[at + 2]))
    }
    if case .decimal(let precision, let scale) = slot.resultType { return .decimal(sum, precision: precision, scale: scale) }
    return .int64(Int64(truncatingIfNeeded: sum))
  }

  // MARK: State

  /// Words of a cell, and the strings it refers to.
  public func save(_ cell: Int, into out: inout ByteWriter) {
    precondition(cell >= 0 && cell < count, "no such cell")
    guard layout.hasStrings else {
      return out.write(raw: UnsafeRawBufferPointer(start: words + cell * layout.stride, count: layout.stride * 8))
    }
    for slot in layout.slots {
      let at = cell * layout.stride + slot.word
      if case .extremeString = slot.kind {
        out.write(words[at + 1])
        out.write(counted: words[at + 1] > 0 ? strings[Int(words[at])] : [])
      } else {
        for word in 0..<slot.kind.words { out.write(words[at + word]) }
      }
    }
  }

  /// Bytes a saved cell takes at least.
  public var savedBytes: Int { layout.stride * 4 }

  /// Overwrites `cell` with what ``save(_:into:)`` wrote.
  public func restore(_ cell: Int, from reader: inout ByteReader) throws(WeirError) {
    precondition(cell >= 0 && cell < count, "no such cell")
    guard layout.hasStrings else {
      for word in 0..<layout.stride { words[cell * layout.stride + word] = try reader.read(UInt64.self) }
      return try checkCounts(of: cell, reader)
    }
    for slot in layout.slots {
      let at = cell * layout.stride + slot.word
      if case .extremeString = slot.kind {
        words[at + 1] = try reader.read(UInt64.self)
        let bytes = Array(try reader.readCounted())
        if words[at + 1] > 0 {
          words[at] = UInt64(strings.count)
          strings.append(bytes)
        }
      } else {
        for word in 0..<slot.kind.words { words[at + word] = try reader.read(UInt64.self) }
      }
    }
    try checkCounts(of: cell, reader)
  }

  /// Each measure's last word is a number of values.
  private func checkCounts(of cell: Int, _ reader: ByteReader) throws(WeirError) {
    for slot in layout.slots {
      var count = words[cell * layout.stride + slot.word + slot.kind.words - 1]
      if case .sumDouble = slot.kind { count &= ~CellStore.isPlain }
      guard count <= UInt64(Bounds.count) else {
        throw reader.corrupt("a number of values is out of range")
      }
    }
  }
}
