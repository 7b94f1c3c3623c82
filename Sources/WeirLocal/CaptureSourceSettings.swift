import WeirCore

/// The settings of `source: {capture: …}`, as a plan holds them: none. The files come from the command line.
public struct CaptureSourceSettings: SourceSettings {
  public static let adapter = "capture"
  /// Plans are older than other sources: theirs have no member for a capture.
  public static let member: String? = nil

  public init() {}

  public var live: LiveSourceTraits? { nil }
  public var meaning: CaptureSourceSettings { self }
  public func reads(_ stream: String) -> Bool { false }

  public func summary(of plan: Plan) -> String {
    let key = plan.record.key.map { plan.record.fields[$0].name } ?? "nothing (one lane has all)"
    return "capture \(plan.source.stream), distributed over lanes by \(plan.source.deal.rawValue) of \(key)"
  }
}
