import WeirCore

/// Checks of single values, whichever front door has parsed them.
extension DiagnosticList {
  /// Whether a list or mapping has no more entries than it may; reported if not.
  package func isBounded(_ count: Int, _ what: String, at span: SourceSpan?) -> Bool {
    if count <= PipelineBounds.entriesMax { return true }
    report("\(what) has \(count) entries; the maximum is \(PipelineBounds.entriesMax) (pipeline_entries)", "too_large", at: span)
    return false
  }

  /// Whether a text is a path of this machine; reported if not.
  package func isPath(_ text: PlanText, _ what: String) -> Bool { isPlace(PathText.problem(text.text), text, what) }

  /// Whether a text is the place of a lake; reported if not.
  package func isLake(_ text: PlanText, _ what: String) -> Bool { isPlace(PathText.lakeProblem(text.text), text, what) }

  private func isPlace(_ problem: PathText.Problem?, _ text: PlanText, _ what: String) -> Bool {
    guard let problem else { return true }
    report(
      "\(what): \(problem.isLater ? "not yet: " : "")\(problem.reason). \(problem.advice)", problem.isLater ? "not_yet" : "bad_value",
      at: text.span)
    return false
  }

  /// Whether a duration in microseconds is within bounds; reported if not.
  /// - Parameter text: as it was written.
  package func isDuration(_ value: Int64, _ text: PlanText, _ what: String, within bounds: LiveBounds.Bounds) -> Bool {
    isWithin(bounds, value, QuantityText.microseconds, text, "\(what)", "bad_duration")
  }

  /// The same for a size in bytes.
  package func isSize(_ value: Int64, _ text: PlanText, _ what: String, within bounds: LiveBounds.Bounds) -> Bool {
    isWithin(bounds, value, QuantityText.bytes, text, what, "bad_size")
  }

  private func isWithin(
    _ bounds: LiveBounds.Bounds, _ value: Int64, _ quantity: (String) -> Int64?, _ text: PlanText, _ what: String, _ code: String
  ) -> Bool {
    guard let least = quantity(bounds.least), let most = quantity(bounds.most) else { preconditionFailure("a bound is not a quantity") }
    if value >= least, value <= most { return true }
    report("\(what): \(text.text) must be from \(bounds.least) to \(bounds.most)", code, at: text.span)
    return false
  }
}
