import WeirCore

/// Several inputs: each is built like the only one of another plan, one after the other.
extension PlanBuilder {
  /// What follows is about another input: its record, source and columns.
  package func beginInput() {
    set { ($0.record, $0.inputs) = (RecordSpec(fields: [], key: nil, time: nil), []) }
    hasSource = false
  }

  /// The input that was built last.
  package func input(named name: String) -> PlanInput {
    PlanInput(name: name, source: plan.source, record: plan.record, columns: plan.inputs)
  }

  /// Adds inputs to the one that was built last, which is the first. A single input has no name in the plan: it means the same as the short form.
  package func inputs(first: String, others: [PlanInput], at span: SourceSpan? = nil) {
    set { $0.severalInputs = others.isEmpty ? nil : SeveralInputs(first: first, others: others) }
    if let refusal = plan.refusalOfSeveralInputs {
      diagnostics.report("inputs: \(refusal); write a pipeline for each", "not_yet", at: span)
    }
  }
}
