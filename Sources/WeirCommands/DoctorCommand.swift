import WeirConfiguration
import WeirCore
import WeirPlan
import WeirReport
import WeirRuntime

/// `weir doctor`.
package enum DoctorCommand {
  /// - Parameters:
  ///   - pipeline: a file; nil: the lake alone is checked.
  ///   - lake: instead of the pipeline's.
  /// - Returns: 0; 1 when a check failed.
  package static func run(pipeline file: String?, lake: String?, store: String?, json: Bool, console: Console) async throws -> Int32 {
    var findings: [(place: String, finding: StoreCheck.Finding)] = []
    if let file {
      let pipeline = try loadPipeline(file: file, sections: .withClients)
      let wiring = try await Wiring(try Places(pipeline, lake: lake, store: store), withState: false)
      findings += await checked(wiring.lake, random: wiring.random)
      if !pipeline.plan.state.isEmpty { findings.append((wiring.store, await stateTable(wiring))) }
    } else {
      guard let lake else {
        throw WeirError(.config, "nothing to check", advice: "Name a pipeline file, or a lake with --lake.")
      }
      let wiring = try await Wiring(lake: try PathText.checkedLake(lake, "--lake"))
      findings += await checked(wiring.lake, random: wiring.random)
    }
    for (place, finding) in findings { show(place, finding, json, console) }
    return findings.contains { $0.finding.problem != nil } ? 1 : 0
  }

  private static func checked(_ lake: any ObjectStore, random: any RandomSource) async -> [(place: String, finding: StoreCheck.Finding)] {
    await StoreCheck(lake, random: random).run().map { (lake.place, $0) }
  }

  /// One that no run has made yet is no problem.
  private static func stateTable(_ wiring: Wiring) async -> StoreCheck.Finding {
    let what = "the state table can be read"
    do {
      try await AdapterRegistry.standard.stateTable(at: wiring.store, thread: wiring.stateThread).check()
      return StoreCheck.Finding(what: what)
    } catch let error as WeirError where error.code == .stateMissing {
      return StoreCheck.Finding(what: "the state table is not there yet: the first run creates it")
    } catch {
      return StoreCheck.Finding(what: what, problem: (error as? WeirError)?.words ?? "\(error)")
    }
  }

  private static func show(_ place: String, _ finding: StoreCheck.Finding, _ json: Bool, _ console: Console) {
    if json {
      return console.data(
        JSONValue.members([
          "place": .string(place), "check": .string(finding.what), "ok": .bool(finding.problem == nil),
          "problem": finding.problem.map { .string($0) } ?? .null,
        ]).text)
    }
    guard let problem = finding.problem?.replacing("\n  ", with: ". ") else { return console.data("ok      \(place): \(finding.what)") }
    console.data("FAILED  \(place): \(finding.what): \(problem)")
  }
}
