import WeirCore

/// Branches, strings and time.
extension Evaluation {
  /// The branch that each row takes: errors of branches not taken are none.
  func caseWhen(_ branches: [Expr.When], _ otherwise: Expr?, _ type: ColumnType) -> Vector {
    var choice = [Int](repeating: -1, count: count)
    var errors: [Int: String] = [:]
    for (number, branch) in branches.enumerated() {
      let condition = run(branch.condition)
      for (row, reason) in condition.errors where choice[row] == -1 {
        errors[row] = errors[row] ?? reason
        choice[row] = -2
      }
      let valid = condition.validity(count)
      let hits = zipMap(condition.bools, .constant(0), count) { v, _ in v }
      for row in 0..<count where choice[row] == -1 && hits[row] && valid?[row] ?? true { choice[row] = number }
    }
    var candidates = branches.map { run($0.value) }
    if let otherwise {
      for row in 0..<count where choice[row] == -1 { choice[row] = candidates.count }
      candidates.append(run(otherwise))
    }
    return pick(choice, candidates, type, errors)
  }

  /// The first value that is not null; an error before it is the row's error.
  func coalesce(_ all: [Expr], _ type: ColumnType) -> Vector {
    var choice = [Int](repeating: -1, count: count)
    var errors: [Int: String] = [:]
    let candidates = all.map(run)
    for (number, candidate) in candidates.enumerated() {
      for (row, reason) in candidate.errors where choice[row] == -1 {
        errors[row] = errors[row] ?? reason
        choice[row] = -2
      }
      let valid = candidate.validity(count)
      for row in 0..<count where choice[row] == -1 && valid?[row] ?? true { choice[row] = number }
    }
    return pick(choice, candidates, type, errors)
  }

  /// Row by row the value of the chosen candidate; null where none was.
  private func pick(_ choice: [Int], _ candidates: [Vector], _ type: ColumnType, _ errors: [Int: String]) -> Vector {
    let columns = candidates.map { $0.column(count) }
    var valid = [Bool](repeating: false, count: count)
    var errors = errors
    for row in 0..<count where choice[row] >= 0 {
      valid[row] = columns[choice[row]].isValid(row)
      if let reason = candidates[choice[row]].errors[row] { errors[row] = reason }
    }
    func take<T>(_ zero: T, _ get: (Column) -> [T]) -> [T] {
      let sources = columns.map(get)
      return (0..<count).map { valid[$0] ? sources[choice[$0]][$0] : zero }
    }
    let values: Column.Values =
      switch type {
      case .bool: .bool(take(false) { if case .bool(let v) = $0.values { v } else { [] } })
      case .int64, .timestamp: .int64(take(0) { if case .int64(let v) = $0.values { v } else { [] } })
      case .double: .double(take(0) { if case .double(let v) = $0.values { v } else { [] } })
      case .decimal: .decimal(take(0) { if case .decimal(let v) = $0.values { v } else { [] } })
      case .string, .binary: .string(take(.empty) { if case .string(let v) = $0.values { v } else { [] } })
      }
    return vector(type, values, valid, errors, owners: columns.flatMap(\.owners))
  }

  func concat(_ x: Vector, _ y: Vector) -> Vector {
    let arena = Arena()
    let valid = bothValid(x.validity(count), y.validity(count))
    let values = zipMap(x.strings(arena), y.strings(arena), count) { a, b -> StringRef in
      let to = arena.allocate(a.count + b.count)
      to.update(from: a.start, count: a.count)
      (to + a.count).update(from: b.start, count: b.count)
      return StringRef(start: UnsafePointer(to), count: a.count + b.count)
    }
    return vector(.string, .string(values), valid, x.errors.merging(y.errors) { first, _ in first }, owners: [arena])
  }

  func call(_ function: Expr.Function, _ x: Vector, _ e: Expr) -> Vector {
    let arena = Arena()
    let valid = x.validity(count)
    switch function {
    case .length:
      // Code points: bytes that do not continue one.
      let values = zipMap(x.strings(arena), .constant(0), count) { s, _ in
        Int64(s.bytes.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 })
      }
      return vector(.int64, .int64(values), valid, x.errors)
    case .lower, .upper:
      let values = zipMap(x.strings(arena), .constant(0), count) { s, _ in
        let text = String(decoding: s.bytes, as: UTF8.self)
        return arena.copy(function == .lower ? text.lowercased() : text.uppercased())
      }
      return vector(.string, .string(values), valid, x.errors, owners: [arena])
    case .abs: return absolute(x, valid, e)
    }
  }

  private func absolute(_ x: Vector, _ valid: [Bool]?, _ e: Expr) -> Vector {
    var errors = x.errors
    switch x.type {
    case .double: return vector(.double, .double(zipMap(x.doubles, .constant(0), count) { a, _ in a.magnitude }), valid, errors)
    case .int64:
      let ints = zipMap(x.ints, .constant(0), count) { a, _ in a }
      for row in 0..<count where ints[row] == Int64.min && valid?[row] ?? true { errors[row] = "overflow in \(e.text)" }
      return vector(.int64, .int64(ints.map { $0 == Int64.min ? 0 : abs($0) }), valid, errors)
    default: return vector(x.type, .decimal(zipMap(x.decimals, .constant(0), count) { a, _ in a < 0 ? -a : a }), valid, errors)
    }
  }

  func truncate(_ unit: Expr.TimeUnit, _ x: Vector) -> Vector {
    let values = zipMap(x.ints, .constant(0), count) { t, _ -> Int64 in
      func floor(_ width: Int64) -> Int64 { CivilTime.floorDivide(t, width) * width }
      switch unit {
      case .second: return floor(1_000_000)
      case .minute: return floor(60_000_000)
      case .hour: return floor(3_600_000_000)
      case .day: return floor(CivilTime.microsecondsPerDay)
      case .month, .year:
        let date = CivilTime.date(ofDay: CivilTime.day(ofMicroseconds: t))
        return FieldValues.dayNumber(date.year, unit == .year ? 1 : date.month, 1) * CivilTime.microsecondsPerDay
      }
    }
    return vector(.timestamp, .int64(values), x.validity(count), x.errors)
  }
}

/// A compiled SQL pattern: `%` any text, `_` any one code point.
struct LikePattern {
  private enum Part: Equatable {
    case any
    case one
    case byte(UInt8)
  }
  private let parts: [Part]

  init(_ pattern: String, escape: String?) {
    var parts: [Part] = []
    var isEscaped = false
    // Code points, not Characters: a combining mark behind a % does not make it another sign.
    let escape = escape?.unicodeScalars.first
    for character in pattern.unicodeScalars {
      if !isEscaped, let escape, character == escape {
        isEscaped = true
        continue
      }
      if !isEscaped, character == "%" {
        if parts.last != .any { parts.append(.any) }
      } else if !isEscaped, character == "_" {
        parts.append(.one)
      } else {
        parts += UTF8.encode(character).map { $0.map { .byte($0) } } ?? []
      }
      isEscaped = false
    }
    self.parts = parts
  }

  /// Greedy with one place to go back to, the last `%`: linear in practice, never exponential.
  func matches(_ s: StringRef) -> Bool {
    var at = 0
    var part = 0
    var anyPart = -1
    var anyAt = 0
    while true {
      if part < parts.count, parts[part] == .any {
        anyPart = part
        anyAt = at
        part += 1
        continue
      }
      if at == s.count, part == parts.count { return true }
      if at < s.count, part < parts.count, let step = step(parts[part], s, at) {
        at += step
        part += 1
        continue
      }
      guard anyPart >= 0, anyAt < s.count else { return false }
      anyAt += 1
      at = anyAt
      part = anyPart + 1
    }
  }

  private func step(_ part: Part, _ s: StringRef, _ at: Int) -> Int? {
    switch part {
    case .any: return nil
    case .byte(let b): return s.start[at] == b ? 1 : nil
    case .one:
      guard s.start[at] & 0xC0 != 0x80 else { return nil }
      var n = 1
      while at + n < s.count, s.start[at + n] & 0xC0 == 0x80 { n += 1 }
      return n
    }
  }
}
