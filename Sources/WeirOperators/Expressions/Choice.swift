import WeirCore

/// Values that rows take from different vectors: of `case` and `coalesce`.
struct Choice {
  private let type: ColumnType
  private let count: Int
  private var values: Column.Values
  private var valid: [Bool]
  private var isDecided: [Bool]
  private var decided = 0
  private var errors: [Int: String] = [:]
  private var owners: [any AnyObject & Sendable] = []

  init(_ type: ColumnType, _ count: Int) {
    self.type = type
    self.count = count
    valid = [Bool](repeating: false, count: count)
    isDecided = valid
    values =
      switch type {
      case .bool: .bool(valid)
      case .int64, .timestamp: .int64([Int64](repeating: 0, count: count))
      case .double: .double([Double](repeating: 0, count: count))
      case .decimal: .decimal([Int128](repeating: 0, count: count))
      case .string, .binary, .list, .structure, .map: .string([StringRef](repeating: .empty, count: count))
      }
  }

  /// Each row has its value, or an error.
  var isComplete: Bool { decided == count }

  /// Rows without a value yet that fulfil a condition; they have one from now on.
  mutating func open(_ isTaken: (Int) -> Bool) -> [Int] {
    var rows: [Int] = []
    for row in 0..<count where !isDecided[row] && isTaken(row) {
      isDecided[row] = true
      rows.append(row)
    }
    decided += rows.count
    return rows
  }

  /// Rows without a value yet that could not be computed stay so.
  mutating func fail(_ reasons: [Int: String]) {
    for (row, reason) in reasons where !isDecided[row] {
      isDecided[row] = true
      decided += 1
      errors[row] = reason
    }
  }

  mutating func take(_ rows: [Int], from source: Vector) {
    if !source.errors.isEmpty { for row in rows { if let reason = source.errors[row] { errors[row] = reason } } }
    let from = source.validity(count)
    for row in rows { valid[row] = from?[row] ?? true }
    switch values {
    case .bool(var into):
      values = .bool([])
      copy(rows, source.bools, &into)
      values = .bool(into)
    case .int64(var into):
      values = .int64([])
      copy(rows, source.ints, &into)
      values = .int64(into)
    case .double(var into):
      values = .double([])
      copy(rows, source.doubles, &into)
      values = .double(into)
    case .decimal(var into):
      values = .decimal([])
      copy(rows, source.decimals, &into)
      values = .decimal(into)
    case .string(var into):
      values = .string([])
      let arena = Arena(chunkBytes: 256)
      copy(rows, source.strings(arena), &into)
      values = .string(into)
      owners += source.owners + [arena]
    }
  }

  private func copy<T>(_ rows: [Int], _ source: Vector.Operand<T>, _ into: inout [T]) {
    switch source {
    case .constant(let value): for row in rows { into[row] = value }
    case .vector(let values): for row in rows { into[row] = values[row] }
    }
  }

  func finish(_ evaluation: Evaluation) -> Vector {
    evaluation.vector(type, values, valid.allSatisfy { $0 } ? nil : valid, errors, owners: owners)
  }
}
