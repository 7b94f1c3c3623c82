import WeirCore

/// The result of an expression over a block.
package struct EvalResult: Sendable {
  package var column: Column
  /// Rows that could not be computed (overflow, a failed cast), ascending; their value is null.
  package var errors: [(row: Int, reason: String)]
}

/// Evaluates one expression a column at a time, with SQL's null logic.
package struct ExprEvaluator: Sendable {
  package let expr: Expr

  package init(_ expr: Expr) { self.expr = expr }

  /// - Parameters:
  ///   - inputs: by `Plan.inputs`; only those that the expression reads need be there.
  ///   - count: rows.
  package func evaluate(_ inputs: [Column?], count: Int) -> EvalResult {
    let evaluation = Evaluation(inputs: inputs, count: count)
    defer { withExtendedLifetime(evaluation) {} }
    let vector = evaluation.run(expr)
    return EvalResult(column: vector.column(count), errors: vector.errors.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }

  /// For a bool expression: the rows where it is `value` (neither where it is null).
  package func rows(
    thatAre value: Bool, _ inputs: [Column?], count: Int
  ) -> (rows: [Bool], errors: [(row: Int, reason: String)]) {
    let result = evaluate(inputs, count: count)
    guard case .bool(let values) = result.column.values else { preconditionFailure("a mask of \(expr.type.name)") }
    let validity = result.column.validity
    if value, validity == nil { return (values, result.errors) }
    let rows = [Bool](unsafeUninitializedCapacity: count) { out, filled in
      if let validity {
        for row in 0..<count { out[row] = values[row] == value && validity[row] }
      } else {
        for row in 0..<count { out[row] = values[row] == value }
      }
      filled = count
    }
    return (rows, result.errors)
  }
}

/// One evaluation over one block.
struct Evaluation {
  let inputs: [Column?]
  let count: Int
  /// What the bytes of texts between the steps are in. A text is an address and keeps nothing alive, and an optimiser frees an operand after
  /// the last use of its name, which may be before its texts are read.
  private let kept = Kept()

  private final class Kept {
    var owners: [any AnyObject & Sendable] = []
    /// Operands that several parts of an expression have, with their values. See ``sharing(_:_:)``.
    var shared: [(operand: Expr, value: Vector)] = []
    /// Nodes that were computed.
    var steps = 0
  }

  var steps: Int { kept.steps }

  init(inputs: [Column?], count: Int) { (self.inputs, self.count) = (inputs, count) }

  /// For bytes that are needed until the evaluation ends.
  func scratch() -> Arena {
    let arena = Arena(chunkBytes: 256)
    kept.owners.append(arena)
    return arena
  }

  /// The result's texts are there until the evaluation ends, and then as long as the result.
  func run(_ e: Expr) -> Vector {
    if !kept.shared.isEmpty, let found = kept.shared.last(where: { $0.operand.type == e.type && $0.operand.text == e.text }) {
      return found.value
    }
    kept.steps += 1
    let vector = compute(e)
    if case .column = e.node { return vector }
    kept.owners += vector.owners
    return vector
  }

  /// Computes an operand once for all parts of an expression that have it.
  /// - Parameter operand: nil: there is none.
  func sharing(_ operand: Expr?, _ compute: () -> Vector) -> Vector {
    guard let operand else { return compute() }
    kept.shared.append((operand, run(operand)))
    defer { kept.shared.removeLast() }
    return compute()
  }

  private func compute(_ e: Expr) -> Vector {
    switch e.node {
    case .column(let i):
      guard let column = inputs[i] else { preconditionFailure("input column \(i) of \(e.text) was not given") }
      return Vector(type: e.type, .column(column))
    case .literal(let v): return Vector(type: e.type, .constant(v))
    case .not(let a): return not(run(a))
    case .and(let a, let b): return sharing(Shared.ofBetween(a, b)) { logic(run(a), run(b), decides: false) }
    case .or(let a, let b): return logic(run(a), run(b), decides: true)
    case .compare(let op, let a, let b):
      if case .decimal = a.type { return compare(op, scaled(a), scaled(b)) }
      return compare(op, run(a), run(b))
    case .arithmetic(let op, let a, let b):
      if case .decimal = e.type { return decimals(op, scaled(a), scaled(b), e) }
      return arithmetic(op, run(a), run(b), e)
    case .negate(let a): return negate(run(a), e)
    case .isNull(let a):
      let x = run(a)
      let valid = x.validity(count)
      return bools(valid.map { $0.map { !$0 } } ?? [Bool](repeating: false, count: count), nil, x.errors)
    case .inList(let a, let list): return inList(a, list)
    case .like(let a, let pattern, let escape): return like(run(a), LikePattern(pattern, escape: escape))
    case .when(let branches, let otherwise):
      return sharing(Shared.ofCase(branches, otherwise)) { caseWhen(branches, otherwise, e.type) }
    case .nullIf(let a, let b): return nullIf(a, b)
    case .coalesce(let all): return coalesce(all, e.type)
    case .cast(let a, let orNull): return Cast(count: count).run(run(a), to: e.type, orNull: orNull)
    case .truncate(let unit, let a): return truncate(unit, run(a))
    case .epochMilliseconds(let a):
      let x = run(a)
      return vector(.int64, .int64(zipMap(x.ints, .constant(Int64(1000)), count, CivilTime.floorDivide)), x.validity(count), x.errors)
    case .concat: return concat(e)
    case .call(let function, let a): return call(function, run(a), e)
    case .part(let a, let path): return part(run(a), path, e.type)
    case .jsonValue(let a, let path): return jsonValue(run(a), path, e)
    }
  }

  func vector(
    _ type: ColumnType, _ values: Column.Values, _ validity: [Bool]?, _ errors: [Int: String],
    owners: [any AnyObject & Sendable] = []
  ) -> Vector {
    var validity = validity
    if !errors.isEmpty {
      var valid = validity ?? [Bool](repeating: true, count: count)
      for row in errors.keys { valid[row] = false }
      validity = valid
    }
    return Vector(type: type, .column(Column(type: type, values: values, validity: validity, owners: owners)), errors: errors)
  }

  func bools(_ values: [Bool], _ validity: [Bool]?, _ errors: [Int: String]) -> Vector { vector(.bool, .bool(values), validity, errors) }

  func merge(_ a: Vector, _ b: Vector) -> [Int: String] {
    b.errors.isEmpty ? a.errors : a.errors.merging(b.errors) { first, _ in first }
  }

  // MARK: Logic

  private func not(_ x: Vector) -> Vector {
    bools(zipMap(x.bools, .constant(true), count) { a, _ in !a }, x.validity(count), x.errors)
  }

  /// Kleene's and / or: the value `decides` on one side decides, whatever the other side is, an error included.
  private func logic(_ x: Vector, _ y: Vector, decides: Bool) -> Vector {
    let (vx, vy) = (x.validity(count), y.validity(count))
    if vx == nil, vy == nil, x.errors.isEmpty, y.errors.isEmpty {
      return bools(zipMap(x.bools, y.bools, count) { a, b in decides ? a || b : a && b }, nil, [:])
    }
    let a = zipMap(x.bools, .constant(0), count) { v, _ in v }
    let b = zipMap(y.bools, .constant(0), count) { v, _ in v }
    var values = [Bool](repeating: false, count: count)
    var valid = [Bool](repeating: true, count: count)
    for i in 0..<count {
      let left: Bool? = vx?[i] ?? true ? a[i] : nil
      let right: Bool? = vy?[i] ?? true ? b[i] : nil
      if left == decides || right == decides {
        values[i] = decides
      } else if left == nil || right == nil {
        valid[i] = false
      } else {
        values[i] = !decides
      }
    }
    let errors = merge(x, y).filter { !(valid[$0.key] && values[$0.key] == decides) }
    return bools(values, valid, errors)
  }

  // MARK: Comparison

  func compare(_ op: Expr.Comparison, _ x: Vector, _ y: Vector) -> Vector {
    let valid = bothValid(x.validity(count), y.validity(count))
    let errors = merge(x, y)
    let values: [Bool]
    switch x.type {
    case .int64, .timestamp: values = compare(op, x.ints, y.ints)
    case .double: values = compare(op, x.doubles, y.doubles)
    case .decimal: preconditionFailure("decimals have scales")
    case .list, .structure, .map: preconditionFailure("a comparison of \(x.type.name): the plan's compiler refuses it")
    case .bool: values = zipMap(x.bools, y.bools, count) { a, b in Evaluation.holds(op, a ? 1 : 0, b ? 1 : 0) }
    case .string, .binary: values = compareStrings(op, x, y)
    }
    return bools(values, valid, errors)
  }

  func compare<T: Comparable>(_ op: Expr.Comparison, _ x: Vector.Operand<T>, _ y: Vector.Operand<T>) -> [Bool] {
    switch op {
    case .equal: zipMap(x, y, count) { $0 == $1 }
    case .notEqual: zipMap(x, y, count) { $0 != $1 }
    case .less: zipMap(x, y, count) { $0 < $1 }
    case .lessOrEqual: zipMap(x, y, count) { $0 <= $1 }
    case .greater: zipMap(x, y, count) { $0 > $1 }
    case .greaterOrEqual: zipMap(x, y, count) { $0 >= $1 }
    }
  }

  private static func holds(_ op: Expr.Comparison, _ a: Int, _ b: Int) -> Bool {
    switch op {
    case .equal: a == b
    case .notEqual: a != b
    case .less: a < b
    case .lessOrEqual: a <= b
    case .greater: a > b
    case .greaterOrEqual: a >= b
    }
  }

  private func compareStrings(_ op: Expr.Comparison, _ x: Vector, _ y: Vector) -> [Bool] {
    let arena = scratch()
    let (a, b) = (x.strings(arena), y.strings(arena))
    return switch op {
    case .equal: zipMap(a, b, count) { $0 == $1 }
    case .notEqual: zipMap(a, b, count) { !($0 == $1) }
    case .less: zipMap(a, b, count) { $0 < $1 }
    case .lessOrEqual: zipMap(a, b, count) { !($1 < $0) }
    case .greater: zipMap(a, b, count) { $1 < $0 }
    case .greaterOrEqual: zipMap(a, b, count) { !($0 < $1) }
    }
  }

  private func like(_ x: Vector, _ pattern: LikePattern) -> Vector {
    let values = zipMap(x.strings(scratch()), .constant(0), count) { s, _ in pattern.matches(s) }
    return bools(values, x.validity(count), x.errors)
  }

  // MARK: Arithmetic

  private func arithmetic(_ op: Expr.Arithmetic, _ x: Vector, _ y: Vector, _ e: Expr) -> Vector {
    var marks = Marks(bothValid(x.validity(count), y.validity(count)), merge(x, y), count)
    let values: Column.Values
    switch e.type {
    case .double:
      let out = zipMap(x.doubles, y.doubles, count) { a, b in Evaluation.double(op, a, b) }
      for i in 0..<count where !out[i].isFinite {
        marks.mark(i, isZero(y.doubles, i) && (op == .divide || op == .remainder) ? nil : "beyond the largest double", e)
      }
      values = .double(out.map { $0.isFinite ? $0 : 0 })
    case .int64: values = .int64(exact(op, x.ints, y.ints, e, &marks))
    default: preconditionFailure("arithmetic on \(e.type.name)")
    }
    return vector(e.type, values, marks.valid, marks.errors)
  }

  private func isZero(_ x: Vector.Operand<Double>, _ row: Int) -> Bool {
    switch x {
    case .constant(let v): v == 0
    case .vector(let v): v[row] == 0
    }
  }

  @inline(__always)
  private static func double(_ op: Expr.Arithmetic, _ a: Double, _ b: Double) -> Double {
    switch op {
    case .add: a + b
    case .subtract: a - b
    case .multiply: a * b
    case .divide: a / b
    case .remainder: a.truncatingRemainder(dividingBy: b)
    }
  }

  private func exact(
    _ op: Expr.Arithmetic, _ x: Vector.Operand<Int64>, _ y: Vector.Operand<Int64>, _ e: Expr, _ marks: inout Marks
  ) -> [Int64] {
    var overflows: [Int] = []
    var row = 0
    let out = zipMap(x, y, count) { a, b -> Int64 in
      defer { row += 1 }
      let (value, overflow): (Int64, Bool)
      switch op {
      case .add: (value, overflow) = a.addingReportingOverflow(b)
      case .subtract: (value, overflow) = a.subtractingReportingOverflow(b)
      case .multiply: (value, overflow) = a.multipliedReportingOverflow(by: b)
      case .divide, .remainder:
        if b == 0 { overflows.append(row); return 0 }
        (value, overflow) = (b == -1 ? 0 : a % b, false)
      }
      if overflow { overflows.append(row) }
      return overflow ? 0 : value
    }
    for row in overflows { marks.mark(row, op == .remainder ? nil : "overflow", e) }
    return out
  }

  private func negate(_ x: Vector, _ e: Expr) -> Vector {
    switch x.type {
    case .double: return arithmetic(.multiply, x, Vector(type: .double, .constant(.double(-1))), e)
    case .int64: return arithmetic(.subtract, Vector(type: .int64, .constant(.int64(0))), x, e)
    default:
      let zero = Vector(type: x.type, .constant(.decimal(0, precision: 38, scale: 0)))
      return decimals(.subtract, Scaled(vector: zero, factor: 1), Scaled(vector: x, factor: 1), e)
    }
  }
}

/// Rows of a result that are null (division by zero) or errors.
struct Marks {
  private(set) var valid: [Bool]?
  private(set) var errors: [Int: String]
  private let count: Int

  init(_ valid: [Bool]?, _ errors: [Int: String], _ count: Int) {
    self.valid = valid
    self.errors = errors
    self.count = count
  }

  /// Marks a row where both operands are there: as an error, or without a reason as null.
  mutating func mark(_ row: Int, _ reason: String?, _ e: Expr) {
    guard valid?[row] ?? true else { return }
    if let reason { errors[row] = "\(reason) in \(e.text.shortened(toBytes: 1000))" }
    if valid == nil { valid = [Bool](repeating: true, count: count) }
    valid![row] = false
  }
}
