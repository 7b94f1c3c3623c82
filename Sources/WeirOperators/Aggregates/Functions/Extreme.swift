import WeirCore

/// `min(x)` and `max(x)` of every type.
struct ExtremeFunction: AggregateFunction {
  let max: Bool
  var name: Measure.Function { max ? .max : .min }

  func result(of argument: ColumnType?) throws(ExpressionError) -> ColumnType {
    guard let argument else { throw ExpressionError("\(name.rawValue) needs an argument", at: 0) }
    guard !argument.isNested else { throw ExpressionError("\(name.rawValue) needs a value with an order, not \(argument.name)", at: 0) }
    return argument
  }

  func accumulator(of argument: ColumnType?) -> any Accumulator {
    switch argument {
    case .double?: ExtremeDouble(max: max)
    case .decimal(let precision, let scale)?: ExtremeDecimal(max: max, precision: precision, scale: scale)
    case .binary?: ExtremeBytes(max: max, isText: false)
    case .string?: ExtremeBytes(max: max, isText: true)
    case .bool?: ExtremeInt(max: max, type: .bool)
    case .timestamp?: ExtremeInt(max: max, type: .timestamp)
    default: ExtremeInt(max: max, type: .int64)
    }
  }
}

/// `[value, n]` by signed order: int64, timestamp, bool.
private struct ExtremeInt: Accumulator {
  let max: Bool
  let type: ColumnType
  var words: Int { 2 }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument else { return }
    switch argument.values {
    case .int64(let values): cells.forEach(values, argument.validity) { take($1, 1, into: $0) }
    case .bool(let values): cells.forEach(values, argument.validity) { take($1 ? 1 : 0, 1, into: $0) }
    default: preconditionFailure("an integer's extreme of \(argument.type.name)")
    }
  }

  @inline(__always)
  private func take(_ value: Int64, _ n: UInt64, into cell: Cell) {
    let old = Int64(bitPattern: cell.words[0])
    if cell.words[1] == 0 || (max ? value > old : value < old) { cell.words[0] = UInt64(bitPattern: value) }
    cell.words[1] += n
  }

  func merge(_ cell: Cell, with other: Cell) {
    if other.words[1] > 0 { take(Int64(bitPattern: other.words[0]), other.words[1], into: cell) }
  }

  func result(_ cell: Cell) -> Literal {
    guard cell.words[1] > 0 else { return .null }
    let value = Int64(bitPattern: cell.words[0])
    switch type {
    case .timestamp: return .timestamp(value)
    case .bool: return .bool(value != 0)
    default: return .int64(value)
    }
  }
}

/// `[bits, n]`
private struct ExtremeDouble: Accumulator {
  let max: Bool
  var words: Int { 2 }
  var isExact: Bool { false }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument, case .double(let values) = argument.values else { return }
    cells.forEach(values, argument.validity) { take($1, 1, into: $0) }
  }

  @inline(__always)
  private func take(_ value: Double, _ n: UInt64, into cell: Cell) {
    let old = Double(bitPattern: cell.words[0])
    // Of equal values, -0 is the smaller: so it does not matter which came first.
    let isTaken = value == old ? max == (value.sign == .plus) : max ? value > old : value < old
    if cell.words[1] == 0 || isTaken { cell.words[0] = value.bitPattern }
    cell.words[1] += n
  }

  func merge(_ cell: Cell, with other: Cell) {
    if other.words[1] > 0 { take(Double(bitPattern: other.words[0]), other.words[1], into: cell) }
  }

  func result(_ cell: Cell) -> Literal { cell.words[1] > 0 ? .double(Double(bitPattern: cell.words[0])) : .null }
}

/// `[low, high, n]`
private struct ExtremeDecimal: Accumulator {
  let max: Bool
  let precision: Int
  let scale: Int
  var words: Int { 3 }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument, case .decimal(let values) = argument.values else { return }
    cells.forEach(values, argument.validity) { take($1, 1, into: $0) }
  }

  @inline(__always)
  private func take(_ value: Int128, _ n: UInt64, into cell: Cell) {
    let old = cell.exact
    if cell.words[2] == 0 || (max ? value > old : value < old) {
      cell.words[0] = UInt64(truncatingIfNeeded: value)
      cell.words[1] = UInt64(truncatingIfNeeded: value >> 64)
    }
    cell.words[2] += n
  }

  func merge(_ cell: Cell, with other: Cell) {
    if other.words[2] > 0 { take(other.exact, other.words[2], into: cell) }
  }

  func result(_ cell: Cell) -> Literal {
    cell.words[2] > 0 ? .decimal(cell.exact, precision: precision, scale: scale) : .null
  }
}

/// `[index of an outside value, n]`: text and bytes, by their bytes.
private struct ExtremeBytes: Accumulator {
  let max: Bool
  let isText: Bool
  var words: Int { 2 }
  var keepsValuesOutside: Bool { true }

  func update(_ cells: CellRows, with argument: Column?) {
    guard let argument, case .string(let values) = argument.values else { return }
    cells.forEach(values, argument.validity) { cell, value in
      if isTaken(value, by: cell) { keep(Array(value.bytes), in: cell) }
      cell.words[1] += 1
    }
  }

  private func isTaken(_ value: StringRef, by cell: Cell) -> Bool {
    if cell.words[1] == 0 { return true }
    return cell.outside.values[Int(cell.words[0])].withUnsafeBufferPointer { old in
      let old = old.baseAddress.map { StringRef(start: $0, count: old.count) } ?? .empty
      return max ? old < value : value < old
    }
  }

  private func keep(_ value: [UInt8], in cell: Cell) {
    if cell.words[1] == 0 { cell.words[0] = cell.outside.add(value) } else { cell.outside.values[Int(cell.words[0])] = value }
  }

  func merge(_ cell: Cell, with other: Cell) {
    guard other.words[1] > 0 else { return }
    // Held by itself: both cells may be of one store, whose values change below.
    let value = other.outside.values[Int(other.words[0])]
    let takes = value.withUnsafeBufferPointer { bytes in
      isTaken(bytes.baseAddress.map { StringRef(start: $0, count: bytes.count) } ?? .empty, by: cell)
    }
    if takes { keep(value, in: cell) }
    cell.words[1] += other.words[1]
  }

  func result(_ cell: Cell) -> Literal {
    guard cell.words[1] > 0 else { return .null }
    let bytes = cell.outside.values[Int(cell.words[0])]
    return isText ? .string(String(decoding: bytes, as: UTF8.self)) : .binary(bytes)
  }

  func save(_ cell: Cell, into out: inout ByteWriter) {
    out.write(cell.words[1])
    out.write(counted: cell.words[1] > 0 ? cell.outside.values[Int(cell.words[0])] : [])
  }

  func restore(_ cell: Cell, from reader: inout ByteReader) throws(WeirError) {
    cell.words[1] = try reader.read(UInt64.self)
    let bytes = Array(try reader.readCounted())
    if cell.words[1] > 0 { cell.words[0] = cell.outside.add(bytes) }
  }
}
