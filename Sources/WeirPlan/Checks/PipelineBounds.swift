/// How large a pipeline file and what it is compiled to may be. Each bound is named in the error; all but one are far above what a
/// pipeline needs, and keep the cost of `weir check` linear in the file.
package enum PipelineBounds {
  /// `pipeline_file`: bytes of the file.
  package static let fileBytesMax = 1 << 20
  /// `pipeline_entries`: entries of one list or mapping: fields, checks, tables, measures.
  package static let entriesMax = 2000
  /// `pipeline_columns`: columns of one table.
  package static let columnsMax = 2000
  /// `pipeline_expressions`: the sizes of all expressions together, see ``Expr/size``.
  package static let expressionsSizeMax = 32 << 20
  /// Problems that are shown; the rest is counted.
  package static let problemsMax = 100
}
