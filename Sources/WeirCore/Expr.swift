/// A typed scalar expression. Made by the expression compiler, evaluated a column at a time.
///
/// Operands of comparisons and arithmetic have equal types (the compiler inserts casts), except that decimal
/// multiplication adds scales.
public struct Expr: Sendable, Hashable, Codable {
  public let node: Node
  public let type: ColumnType
  /// Canonical text: the same meaning prints the same (names as in `Plan.inputs`); compiling it again gives an equal value.
  public let text: String
  /// Nested objects and arrays in its JSON, with this one: hashing, encoding and evaluation recurse so deep. See ``levelsMax``.
  public let levels: Int
  /// About how many bytes its JSON has: each node counts with ``nodeSize`` and its text. See ``sizeMax``.
  public let size: Int

  /// A compiled expression has no more levels. Foundation reads and writes 512 levels of JSON, and a plan and its ledger entry have a
  /// few around an expression.
  public static let levelsMax = 500
  /// A compiled expression is no larger. It bounds what each record costs as well: about 10,000 chained comparisons.
  public static let sizeMax = 16 << 20
  private static let nodeSize = 400
  fileprivate static let literalSize = 24

  public init(node: Node, type: ColumnType, text: String) {
    self.node = node
    self.type = type
    self.text = text
    let inner = node.extent
    levels = inner.levels + 2
    size = Expr.nodeSize + text.utf8.count + inner.size
  }

  private enum CodingKeys: String, CodingKey { case node, type, text }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      node: try values.decode(Node.self, forKey: .node), type: try values.decode(ColumnType.self, forKey: .type),
      text: try values.decode(String.self, forKey: .text))
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
    case inList(Expr, LiteralList)
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
    /// The part of a nested value at a path: members of structs and keys of maps by name, elements of lists by number. Null where there
    /// is none.
    case part(Expr, [PathStep])
    /// The scalar at a path of a text of JSON, as a text; null where there is none, or an object or array.
    case jsonValue(Expr, [PathStep])
    /// Null where the first equals the second, else the first, which is evaluated once. The second has the type in which they are compared.
    /// Only in expressions that are too large with `when`, where the first is there twice: plans of earlier versions keep their meaning.
    case nullIf(Expr, Expr)
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
    if case .column(let i) = node { found.insert(i) }
    for child in node.children { child.collect(&found) }
  }
}

extension Expr.Node {
  /// The expressions that it is made of, in their order.
  public var children: [Expr] {
    switch self {
    case .column, .literal: []
    case .not(let a), .negate(let a), .isNull(let a), .inList(let a, _), .like(let a, _, _), .cast(let a, _), .truncate(_, let a),
      .epochMilliseconds(let a), .call(_, let a), .part(let a, _), .jsonValue(let a, _):
      [a]
    case .and(let a, let b), .or(let a, let b), .compare(_, let a, let b), .arithmetic(_, let a, let b), .concat(let a, let b),
      .nullIf(let a, let b):
      [a, b]
    case .when(let branches, let otherwise): branches.flatMap { [$0.condition, $0.value] } + (otherwise.map { [$0] } ?? [])
    case .coalesce(let all): all
    }
  }

  /// Levels below the node's own object, and bytes, of what it is made of.
  fileprivate var extent: (levels: Int, size: Int) {
    let children = children
    let deepest = children.lazy.map(\.levels).max() ?? 0
    let size = children.reduce(0) { $0 + $1.size }
    switch self {
    case .column: return (1, 0)
    case .literal: return (3, 0)
    case .inList(_, let items): return (1 + max(deepest, 3), size + items.values.count * Expr.literalSize)
    // A list in the node; a branch is an object in it.
    case .when: return (3 + deepest, size)
    case .coalesce: return (2 + deepest, size)
    // A list of steps in the node.
    case .part, .jsonValue: return (1 + max(deepest, 1), size)
    default: return (1 + deepest, size)
    }
  }
}
