/// A typed scalar expression. Made by the expression compiler, evaluated a column at a time.
///
/// Operands of comparisons and arithmetic have equal types (the compiler inserts casts), except that decimal
/// multiplication adds scales.
public struct Expr: Sendable, Hashable, Codable {
  public var node: Node
  public var type: ColumnType
  /// Canonical text: the same meaning prints the same (names as in `Plan.inputs`); compiling it again gives an equal value.
  public var text: String

  public init(node: Node, type: ColumnType, text: String) {
    self.node = node
    self.type = type
    self.text = text
  }

  public enum Comparison: String, Sendable, Hashable, Codable {
    case equal = "=", notEqual = "<>", less = "<", lessOrEqual = "<=", greater = ">", greaterOrEqual = ">="
  }

  public enum Arithmetic: String, Sendable, Hashable, Codable {
    case add = "+", subtract = "-", multiply = "*", divide = "/", remainder = "%"
  }

  public enum TimeUnit: String, Sendable, Hashable, Codable, CaseIterable { case second, minute, hour, day, month, year }

  public enum Function: String, Sendable, Hashable, Codable, CaseIterable { case abs, lower, upper, length }

  public struct When: Sendable, Hashable, Codable {
    public var condition: Expr
    public var value: Expr
    public init(condition: Expr, value: Expr) {
      self.condition = condition
      self.value = value
    }
  }

  public indirect enum Node: Sendable, Hashable, Codable {
    /// Index into `Plan.inputs`.
    case column(Int)
    case literal(Literal)
    case not(Expr)
    case and(Expr, Expr)
    case or(Expr, Expr)
    case compare(Comparison, Expr, Expr)
    case arithmetic(Arithmetic, Expr, Expr)
    case negate(Expr)
    case isNull(Expr)
    case inList(Expr, [Literal])
    /// SQL pattern with `%` and `_`.
    case like(Expr, pattern: String, escape: String?)
    case when([When], otherwise: Expr?)
    case coalesce([Expr])
    /// `orNull`: a failing cast gives null instead of an error.
    case cast(Expr, orNull: Bool)
    case truncate(TimeUnit, Expr)
    case epochMilliseconds(Expr)
    case concat(Expr, Expr)
    case call(Function, Expr)
  }

  /// The index in `Plan.inputs` if the expression is just a column.
  public var plainColumn: Int? { if case .column(let i) = node { i } else { nil } }

  /// The columns that it reads, ascending.
  public var inputColumns: [Int] {
    var found = Set<Int>()
    collect(&found)
    return found.sorted()
  }

  private func collect(_ found: inout Set<Int>) {
    switch node {
    case .column(let i): found.insert(i)
    case .literal: break
    case .not(let a), .negate(let a), .isNull(let a), .inList(let a, _), .like(let a, _, _), .cast(let a, _), .truncate(_, let a),
      .epochMilliseconds(let a), .call(_, let a):
      a.collect(&found)
    case .and(let a, let b), .or(let a, let b), .compare(_, let a, let b), .arithmetic(_, let a, let b), .concat(let a, let b):
      a.collect(&found)
      b.collect(&found)
    case .when(let branches, let otherwise):
      for branch in branches {
        branch.condition.collect(&found)
        branch.value.collect(&found)
      }
      otherwise?.collect(&found)
    case .coalesce(let all): for one in all { one.collect(&found) }
    }
  }
}
