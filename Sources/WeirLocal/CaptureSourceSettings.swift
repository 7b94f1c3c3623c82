import WeirCore

/// The settings of `source: {capture: …}`, as a plan holds them: none. The files come from the command line.
package struct CaptureSourceSettings: SourceSettings {
  package static let adapter = "capture"
  /// Plans are older than other sources: theirs have no member for a capture.
  package static let member: String? = nil

  package init() {}

  package var live: LiveSourceTraits? { nil }
  package var meaning: CaptureSourceSettings { self }
  package func reads(_ stream: String) -> Bool { false }

  package func summary(of plan: Plan) -> String {
    let key = plan.record.keyText ?? "nothing (one lane has all)"
    return "capture \(plan.source.stream), distributed over lanes by \(plan.source.deal.rawValue) of \(key)"
  }
}
