/// A typed scalar expression. Made by the expression parser, evaluated a column at a time.
public struct Expr: Sendable, Hashable, Codable {
  public var node: Node
  public var type: ColumnType
  /// Canonical text: the same meaning prints the same (names as in `Plan.inputs`).
  public var text: String

  public init(node: Node, type: ColumnType, text: String) {
    self.node = node
    self.type = type
    self.text = text
  }

  public indirect enum Node: Sendable, Hashable, Codable {
    /// Index into `Plan.inputs`.
    case column(Int)
    case literal(Literal)
  }

  /// The index in `Plan.inputs` if the expression is just a column.
  public var plainColumn: Int? { if case .column(let i) = node { i } else { nil } }
}
