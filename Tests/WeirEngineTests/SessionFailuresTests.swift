import Testing
import WeirCore
import WeirProtocol

@testable import WeirEngine

/// What an error means for a worker, without one.
@Suite struct SessionFailuresTests {
  private func ended(
    _ failures: inout SessionFailures, _ code: WeirError.Code, entries: Int64 = 0, isStopping: Bool = false
  ) -> WeirError? {
    try? failures.ended(with: WeirError(code, "x"), entries: entries, after: 0, isStopping: isStopping).reported
  }

  @Test func everyErrorEndsAWorkerThatIsAlone() {
    var failures = SessionFailures(isShared: false)
    failures.began()
    for code in [WeirError.Code.fenced, .unavailable, .corrupt] { #expect(ended(&failures, code) == nil) }
    #expect(throws: WeirError.self) {
      try failures.ended(with: CommitRefused(end: .unknown(number: 3)), entries: 1, after: 2, isStopping: false)
    }
  }

  @Test func aFenceEndsTheSessionUntilItHappensTooOften() {
    var failures = SessionFailures(isShared: true)
    failures.began()
    for _ in 1..<SessionFailures.vainSessionsMax { #expect(ended(&failures, .fenced)?.fatalTo == .worker) }
    #expect(ended(&failures, .fenced) == nil, "sessions in vain")
    #expect(ended(&failures, .fenced, entries: 1) != nil, "a commit of its own: not in vain")
    #expect(ended(&failures, .corrupt) == nil)
  }

  @Test func aSourceThatNeverAnsweredEndsTheWorkerAndOneThatDidDoesNot() {
    var failures = SessionFailures(isShared: true)
    for _ in 1..<SessionFailures.firstAttemptsMax { #expect(ended(&failures, .unavailable) != nil) }
    #expect(ended(&failures, .unavailable) == nil)
    failures.began()
    for _ in 0..<20 { #expect(ended(&failures, .unavailable) != nil) }
  }

  @Test func aWorkerThatIsToEndReportsWhatPassesByItself() {
    var failures = SessionFailures(isShared: true)
    failures.began()
    for _ in 0..<10 { #expect(ended(&failures, .fenced, isStopping: true)?.fatalTo == .operation) }
    #expect(ended(&failures, .corrupt, isStopping: true) == nil)
  }
}
