import Testing
import WeirCore

@testable import WeirReport

/// What to do, in words of the library and in those of the command line.
struct RemedyTests {
  @Test func `the engine's advice has the words of the front door that shows it`() {
    let error = WeirError(
      .ledgerCorrupt, "it is missing", advice: "Without a copy, run \(.restoreTables), or replay into \(.newLake) of \(3) tables.")
    #expect(
      error.words
        == "it is missing\n  Without a copy, run `weir ledger restore-tables PIPELINE`, or replay into a new lake (--lake DIR --store DIR) of 3 tables."
    )
    #expect(
      error.description
        == "it is missing\n  Without a copy, run a restore of the tables from the ledger, or replay into a new lake of 3 tables.")
    #expect(error.advice?.remedies == [.restoreTables, .newLake])
    let outer: Wording = "Or \(error.advice ?? "")"
    #expect(outer.remedies == [.restoreTables, .newLake])
  }

  @Test func `each remedy has words of its own here and there`() {
    let all = Remedy.examples
    for texts in [all.map(\.phrase), all.map(\.words)] {
      #expect(Set(texts).count == all.count && !texts.contains(""))
    }
    for remedy in all { #expect(!remedy.phrase.contains("--") && !remedy.phrase.contains("`"), "\(remedy)") }
  }

  @Test func `logs for programs and people have the command line's words`() {
    let error = WeirError(.stateMissing, "no table", advice: "Run \(.rebuildState).")
    let advice = Log.members(error).first { $0.name == "advice" }
    #expect(advice?.value.string == "Run `weir state rebuild PIPELINE`.")
  }
}
