import WeirCore
import WeirOperators
import WeirPlan
import Yams

extension PipelineLoader {
  /// Adds an expression to what the plan has already.
  func counted(_ expr: Expr) throws(ExpressionError) -> Expr {
    expressionsSize += expr.size
    guard expressionsSize <= PipelineBounds.expressionsSizeMax else {
      throw ExpressionError("all expressions of the pipeline together are too large from here on (pipeline_expressions)", at: 0)
    }
    return expr
  }

  func counted(_ columns: [OutputColumn]) throws(ExpressionError) -> [OutputColumn] {
    guard columns.count <= PipelineBounds.columnsMax else {
      throw ExpressionError("a table has at most \(PipelineBounds.columnsMax) columns (pipeline_columns)", at: 0)
    }
    for column in columns { _ = try counted(column.expr) }
    return columns
  }
}

extension YAMLReader {
  /// Of the problems that were not kept.
  var more: Diagnostic {
    Diagnostic(
      severity: .error, code: "too_many", message: "and \(moreCount) more problems", suggestion: nil, file: file, line: 1, column: 1)
  }

  /// Whether a list or mapping has no more entries than it may; reported if not.
  func isBounded(_ count: Int, _ what: String, at node: Node?) -> Bool {
    if count <= PipelineBounds.entriesMax { return true }
    report("\(what) has \(count) entries, and at most \(PipelineBounds.entriesMax) (pipeline_entries)", "too_large", at: node)
    return false
  }
}

extension YAMLReader {
  /// A duration, as microseconds, within bounds.
  func duration(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    duration(node, what).flatMap { within(bounds, $0, QuantityText.microseconds, node, what, "bad_duration") }
  }

  /// A size, as bytes, within bounds.
  func bytes(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    bytes(node, what).flatMap { within(bounds, $0, QuantityText.bytes, node, what, "bad_size") }
  }

  private func within(
    _ bounds: LiveBounds.Bounds, _ value: Int64, _ quantity: (String) -> Int64?, _ node: Node, _ what: String, _ code: String
  ) -> Int64? {
    guard let least = quantity(bounds.least), let most = quantity(bounds.most) else { preconditionFailure("a bound is not a quantity") }
    if value >= least, value <= most { return value }
    report("\(what): \(node.string ?? "") is not from \(bounds.least) to \(bounds.most)", code, at: node)
    return nil
  }
}
