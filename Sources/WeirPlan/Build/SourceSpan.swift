/// Where a part of a plan was written.
package struct SourceSpan: Sendable, Hashable {
  /// 1-based.
  package var line: Int
  package var column: Int
  /// The column of the text's first character, where the text is on one line as it was written; nil: errors within it are reported at
  /// ``column``.
  package var textColumn: Int?

  package init(line: Int, column: Int, textColumn: Int? = nil) { (self.line, self.column, self.textColumn) = (line, column, textColumn) }

  func column(at offset: Int) -> Int { offset > 0 ? textColumn.map { $0 + offset } ?? column : column }
}

/// A text of a plan: a name, an expression.
package struct PlanText: Sendable, ExpressibleByStringLiteral {
  package var text: String
  package var span: SourceSpan?

  package init(_ text: String, at span: SourceSpan?) { (self.text, self.span) = (text, span) }
  package init(stringLiteral text: String) { self.init(text, at: nil) }
}

/// A duration of a plan, in microseconds. It is read when it is needed: one that is not used is no error.
package struct PlanDuration {
  let microseconds: () -> Int64?
  /// As it was written.
  let text: String
  let span: SourceSpan?

  package init(_ microseconds: Int64, at span: SourceSpan? = nil) {
    let (amount, unit) =
      microseconds % 1_000_000 == 0
      ? (microseconds / 1_000_000, "s") : microseconds % 1000 == 0 ? (microseconds / 1000, "ms") : (microseconds, "us")
    self.init("\(amount)\(unit)", at: span) { microseconds }
  }

  /// - Parameter read: nil where it is no duration, which was reported.
  package init(_ text: String, at span: SourceSpan?, _ read: @escaping () -> Int64?) {
    (microseconds, self.text, self.span) = (read, text, span)
  }
}
