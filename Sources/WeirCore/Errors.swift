/// What every error of Weir answers: what happened, where, what to do, and what a caller may do about it.
public struct WeirError: Error, Sendable, CustomStringConvertible {
  /// What the error ends.
  public enum Scope: String, Sendable {
    /// One request; others continue.
    case operation
    /// This worker; another may continue from the ledger.
    case worker
    /// The pipeline: no worker can continue until an operator has acted.
    case pipeline
  }

  /// What it is: decides everything but the text.
  public var code: Code
  /// What happened and where.
  public var message: String
  /// What to do.
  public var advice: Wording?
  /// What it ends: what the code says, unless the caller that met it narrows it (an operation that failed may end no worker).
  public var fatalTo: Scope

  public var isRetriable: Bool { code.rule.isRetriable }
  public var isSafeToRepeat: Bool { code.rule.isSafeToRepeat }

  public init(_ code: Code, _ message: String, advice: Wording? = nil) {
    self.code = code
    self.message = message
    self.advice = advice
    fatalTo = code.rule.fatalTo
  }

  /// In words that fit every front door; the service has words of its own for what to do.
  public var description: String { wording.description }
  /// Message and advice.
  public var wording: Wording { advice.map { "\(message)\n  \($0)" } ?? Wording(message) }
}
