import WeirCore
import WeirEngine
import WeirPlan
import WeirProtocol
import WeirRuntime

/// What a replay says when another process that runs the same pipeline stopped it. Two of them need not know of each other: one commits, or
/// claims the state table, and the other ends. Either may then have nothing left to do.
enum OtherProcess {
  /// - Throws: the error of the body; with the ledger's newest entry where another process caused it.
  static func named<T>(_ plan: Plan, _ wiring: Wiring, _ body: () async throws -> T) async throws -> T {
    do { return try await body() } catch let error as WeirError where error.code == .fenced || error.code == .stateFenced {
      let layout = LedgerLayout(pipeline: plan.pipeline)
      let ledger = try? await Ledger.open(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random)
      throw OtherProcess.error(error, isFinished: await ledger?.fold.isFinished, number: await ledger?.fold.number)
    }
  }

  /// - Parameters:
  ///   - isFinished: the end of the input is in the ledger; nil: it could not be read.
  ///   - number: of its newest entry.
  static func error(_ error: WeirError, isFinished: Bool?, number: Int64?) -> WeirError {
    var named = error
    let entry = number.map { ", and the ledger has entries up to \($0)" } ?? ""
    named.message = "another process runs this pipeline: \(error.message)\(entry)"
    named.advice =
      isFinished == true
      ? "Nothing is lost: the other process has reached the end of the input. Run the same command again: it checks that everything is there."
      : "Nothing is lost. Run the same command again when the other process has ended: it continues from the ledger."
    return named
  }
}
