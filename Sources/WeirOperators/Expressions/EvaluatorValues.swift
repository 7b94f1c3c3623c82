import WeirCore

/// Branches, strings and time.
extension Evaluation {
  /// The branch that each row takes: errors of branches not taken are none. A value is computed only where a row takes it, one
  /// after the other, so memory does not grow with the branches.
  func caseWhen(_ branches: [Expr.When], _ otherwise: Expr?, _ type: ColumnType) -> Vector {
    var chosen = Choice(type, count)
    for branch in branches {
      guard !chosen.isComplete else { break }
      let condition = run(branch.condition)
      chosen.fail(condition.errors)
      let valid = condition.validity(count)
      let hits = zipMap(condition.bools, .constant(0), count) { v, _ in v }
      let rows = chosen.open { hits[$0] && valid?[$0] ?? true }
      if !rows.isEmpty { chosen.take(rows, from: run(branch.value)) }
    }
    if let otherwise, !chosen.isComplete { chosen.take(chosen.open { _ in true }, from: run(otherwise)) }
    return chosen.finish(self)
  }

  /// The first value that is not null; an error before it is the row's error.
  func coalesce(_ all: [Expr], _ type: ColumnType) -> Vector {
    var chosen = Choice(type, count)
    for one in all {
      guard !chosen.isComplete else { break }
      let candidate = run(one)
      chosen.fail(candidate.errors)
      let valid = candidate.validity(count)
      let rows = chosen.open { valid?[$0] ?? true }
      if !rows.isEmpty { chosen.take(rows, from: candidate) }
    }
    return chosen.finish(self)
  }

  func call(_ function: Expr.Function, _ x: Vector, _ e: Expr) -> Vector {
    let valid = x.validity(count)
    switch function {
    case .length:
      // Code points: bytes that do not continue one.
      let values = zipMap(x.strings(scratch()), .constant(0), count) { s, _ in
        Int64(s.bytes.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 })
      }
      return vector(.int64, .int64(values), valid, x.errors)
    case .lower, .upper:
      let arena = Arena()
      let values = zipMap(x.strings(scratch()), .constant(0), count) { s, _ in
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
      for row in 0..<count where ints[row] == Int64.min && valid?[row] ?? true {
        errors[row] = "overflow in \(e.text.shortened(toBytes: 1000))"
      }
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
