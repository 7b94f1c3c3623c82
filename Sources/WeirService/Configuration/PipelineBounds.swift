import WeirCore
import WeirOperators
import Yams

/// How large a pipeline file and what it is compiled to may be. Each bound is named in the error; all but one are far above what a
/// pipeline needs, and keep the cost of `weir check` linear in the file.
enum PipelineBounds {
  /// `pipeline_file`: bytes of the file.
  static let fileBytesMax = 1 << 20
  /// `pipeline_entries`: entries of one list or mapping: fields, checks, tables, measures.
  static let entriesMax = 2000
  /// `pipeline_columns`: columns of one table.
  static let columnsMax = 2000
  /// `pipeline_expressions`: the sizes of all expressions together, see ``Expr/size``.
  static let expressionsSizeMax = 32 << 20
  /// Problems that are shown; the rest is counted.
  static let problemsMax = 100
}

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
