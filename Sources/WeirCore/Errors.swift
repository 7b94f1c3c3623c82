/// What every error of Weir answers: what happened, where, what to do, and what a caller may do about it.
public struct WeirError: Error, Sendable, CustomStringConvertible {
  /// What the error ends.
  public enum Scope: String, Sendable {
    /// One request; others go on.
    case operation
    /// This worker; another may go on from the ledger.
    case worker
    /// The pipeline: no worker can go on before somebody has acted.
    case pipeline
  }

  /// A stable word for programs: `config`, `capture_changed`, `fenced`, `storage`, `full_disk`, `corrupt`, …
  public var code: String
  /// What happened and where.
  public var message: String
  /// What to do.
  public var advice: String?
  /// True when the same call may succeed later without anybody acting.
  public var isRetriable: Bool
  public var fatalTo: Scope
  /// True when repeating the call cannot do harm (nothing was done, or doing it twice is doing it once).
  public var isSafeToRepeat: Bool

  public init(
    _ code: String, _ message: String, advice: String? = nil, isRetriable: Bool = false, fatalTo: Scope = .pipeline,
    isSafeToRepeat: Bool = true
  ) {
    self.code = code
    self.message = message
    self.advice = advice
    self.isRetriable = isRetriable
    self.fatalTo = fatalTo
    self.isSafeToRepeat = isSafeToRepeat
  }

  public var description: String { advice.map { "\(message)\n  \($0)" } ?? message }
}
