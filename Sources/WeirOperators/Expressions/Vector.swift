import WeirCore

/// What an expression gives over a block: one value for all rows, or a value a row, with the errors of rows.
struct Vector {
  enum Values {
    case constant(Literal)
    case column(Column)
  }
  var type: ColumnType
  var values: Values
  /// Rows that could not be computed; their value is null. Nearly always empty.
  var errors: [Int: String] = [:]

  init(type: ColumnType, _ values: Values, errors: [Int: String] = [:]) {
    self.type = type
    self.values = values
    self.errors = errors
  }

  /// nil: no row is null.
  func validity(_ count: Int) -> [Bool]? {
    switch values {
    case .constant(.null): [Bool](repeating: false, count: count)
    case .constant: nil
    case .column(let c): c.validity
    }
  }

  var owners: [any AnyObject & Sendable] { if case .column(let c) = values { c.owners } else { [] } }

  func column(_ count: Int) -> Column {
    guard case .constant(let value) = values else {
      if case .column(let c) = values { return c }
      preconditionFailure("two kinds of vectors")
    }
    let arena = Arena(chunkBytes: 256)
    let values: Column.Values =
      switch type {
      case .bool: .bool([Bool](repeating: value == .bool(true), count: count))
      case .int64, .timestamp: .int64([Int64](repeating: Vector.int(value), count: count))
      case .double: .double([Double](repeating: Vector.double(value), count: count))
      case .decimal: .decimal([Int128](repeating: Vector.decimal(value), count: count))
      case .string, .binary, .list, .structure, .map: .string([StringRef](repeating: Vector.string(value, arena), count: count))
      }
    return Column(type: type, values: values, validity: validity(count), owners: [arena])
  }

  // MARK: Typed operands

  enum Operand<T> {
    case constant(T)
    case vector([T])

    subscript(row: Int) -> T {
      switch self {
      case .constant(let value): value
      case .vector(let values): values[row]
      }
    }
  }

  private static func int(_ v: Literal) -> Int64 {
    switch v {
    case .int64(let x), .timestamp(let x): x
    default: 0
    }
  }
  private static func double(_ v: Literal) -> Double { if case .double(let x) = v { x } else { 0 } }
  private static func decimal(_ v: Literal) -> Int128 { if case .decimal(let x, _, _) = v { x } else { 0 } }
  private static func string(_ v: Literal, _ arena: Arena) -> StringRef {
    switch v {
    case .string(let s): arena.copy(s)
    case .binary(let b): b.withUnsafeBufferPointer { arena.copy($0) }
    default: .empty
    }
  }

  var bools: Operand<Bool> {
    switch values {
    case .constant(let v): .constant(v == .bool(true))
    case .column(let c): if case .bool(let v) = c.values { .vector(v) } else { .constant(false) }
    }
  }
  var ints: Operand<Int64> {
    switch values {
    case .constant(let v): .constant(Vector.int(v))
    case .column(let c): if case .int64(let v) = c.values { .vector(v) } else { .constant(0) }
    }
  }
  var doubles: Operand<Double> {
    switch values {
    case .constant(let v): .constant(Vector.double(v))
    case .column(let c): if case .double(let v) = c.values { .vector(v) } else { .constant(0) }
    }
  }
  var decimals: Operand<Int128> {
    switch values {
    case .constant(let v): .constant(Vector.decimal(v))
    case .column(let c): if case .decimal(let v) = c.values { .vector(v) } else { .constant(0) }
    }
  }
  /// - Parameter arena: holds a constant's bytes; must live as long as the result.
  func strings(_ arena: Arena) -> Operand<StringRef> {
    switch values {
    case .constant(let v): .constant(Vector.string(v, arena))
    case .column(let c): if case .string(let v) = c.values { .vector(v) } else { .constant(.empty) }
    }
  }
}

/// One tight loop for each shape of operands.
@inline(__always)
func zipMap<A, B, R>(_ a: Vector.Operand<A>, _ b: Vector.Operand<B>, _ count: Int, _ f: (A, B) -> R) -> [R] {
  [R](unsafeUninitializedCapacity: count) { out, initialized in
    switch (a, b) {
    case (.vector(let x), .vector(let y)): for i in 0..<count { out.initializeElement(at: i, to: f(x[i], y[i])) }
    case (.vector(let x), .constant(let y)): for i in 0..<count { out.initializeElement(at: i, to: f(x[i], y)) }
    case (.constant(let x), .vector(let y)): for i in 0..<count { out.initializeElement(at: i, to: f(x, y[i])) }
    case (.constant(let x), .constant(let y)): for i in 0..<count { out.initializeElement(at: i, to: f(x, y)) }
    }
    initialized = count
  }
}

/// Null where either is.
func bothValid(_ a: [Bool]?, _ b: [Bool]?) -> [Bool]? {
  switch (a, b) {
  case (nil, nil): return nil
  case (let v?, nil), (nil, let v?): return v
  case (let v?, let w?): return zip(v, w).map { $0 && $1 }
  }
}
