import WeirCore
import WeirOperators

/// The problems of a plan, in the order in which they were found. Bounded: the rest is counted.
package final class DiagnosticList {
  package let file: String
  package private(set) var all: [Diagnostic] = []
  /// Problems that were not kept.
  package private(set) var moreCount = 0
  package private(set) var hasErrors = false

  /// The column of the file for a line and column of what was read, where these differ. All 1-based.
  package var originalColumn: (Int, Int) -> Int = { $1 }
  /// Of the problems that are reported now.
  private var part: Diagnostic.Part?

  package init(file: String) { self.file = file }

  /// Problems that are reported within are of a part of the pipeline.
  package func within<T>(_ part: Diagnostic.Part, _ body: () throws -> T) rethrows -> T {
    let before = self.part
    self.part = part
    defer { self.part = before }
    return try body()
  }

  /// - Parameters:
  ///   - offset: UTF-8 byte of the error within the text at the span.
  ///   - text: that text. Columns count characters, so it is needed where the text is not all ASCII.
  package func report(
    _ message: String, _ code: String, at span: SourceSpan?, offset: Int = 0, in text: String = "",
    suggestion: @autoclosure () -> String? = nil, severity: Diagnostic.Severity = .error, fault: Diagnostic.Fault? = nil
  ) {
    guard all.count < PipelineBounds.problemsMax || severity == .error && !hasErrors else {
      moreCount += 1
      return
    }
    if severity == .error { hasErrors = true }
    let column = span?.column(at: offset - text.utf8.prefix(max(0, offset)).count { $0 & 0xC0 == 0x80 }) ?? 1
    var diagnostic = Diagnostic(
      severity: severity, code: code, message: Printable.visible(message).shortened(toBytes: 2000), suggestion: suggestion(), file: file,
      line: span?.line ?? 1, column: originalColumn(span?.line ?? 1, column))
    (diagnostic.part, diagnostic.fault) = (part, fault)
    all.append(diagnostic)
  }

  package func report(_ error: ExpressionError, in what: String, of text: PlanText) {
    let code = error.isLater ? "not_yet" : error.nameCode ?? "expression"
    let hint = SQLHabits.hint(text.text, error).map { ": \($0)" } ?? ""
    report(
      "\(what): \(error.message)\(hint)", code, at: text.span, offset: error.offset, in: text.text, suggestion: error.suggestion,
      fault: error.unknownColumn.map { .unknownColumn($0) })
  }

  /// Of the problems that were not kept.
  package var more: Diagnostic {
    Diagnostic(severity: .error, code: "too_many", message: "and \(moreCount) more problems", file: file, line: 1, column: 1)
  }
}
