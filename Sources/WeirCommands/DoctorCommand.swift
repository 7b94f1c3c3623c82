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
      let pipeline = try await LoadedPipeline.read(file)
      let places = try Places(pipeline, lake: lake, store: store)
      let wiring = try await Wiring(places, withState: false)
      findings += await checked(wiring.lake, random: wiring.random)
      findings += await secrets(pipeline.plan)
      findings += try await wiring.examineLake(places).map { (wiring.lake.place, $0) }
      if !pipeline.plan.state.isEmpty {
        let settings = try await AdapterRegistry.standard.examineStateTable(at: wiring.store, thread: wiring.stateThread)
        findings += (settings + [await stateTable(wiring)]).map { (wiring.store, $0) }
      }
    } else {
      guard let lake else {
        throw WeirError(.config, "nothing to check", advice: "Name a pipeline file, or a lake with --lake.")
      }
      let places = Places(lake: try PathText.checkedLake(lake, "--lake"))
      let wiring = try await Wiring(places, withState: false)
      findings += await checked(wiring.lake, random: wiring.random)
      findings += try await wiring.examineLake(places).map { (wiring.lake.place, $0) }
    }
    for (place, finding) in findings { show(place, finding, json, console) }
    return findings.contains { $0.finding.problem != nil } ? 1 : 0
  }

  private static func checked(_ lake: any ObjectStore, random: any RandomSource) async -> [(place: String, finding: StoreCheck.Finding)] {
    await StoreCheck(lake, random: random).run().map { (lake.place, $0) }
  }

  /// Whether the secrets of AWS that the pipeline names can be read.
  private static func secrets(_ plan: Plan) async -> [(place: String, finding: StoreCheck.Finding)] {
    var findings: [(place: String, finding: StoreCheck.Finding)] = []
    for (place, secret) in plan.storedSecrets {
      let what = "\(secret) can be read"
      do throws(WeirError) {
        try await SecretService.fetch([.stored(secret)])
        findings.append((place, StoreCheck.Finding(what: what)))
      } catch { findings.append((place, StoreCheck.Finding(what: what, problem: error.words))) }
    }
    return findings
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
          "problem": finding.problem.map { .string($0) } ?? .null, "notice": finding.notice.map { .string($0) } ?? .null,
        ]).text)
    }
    guard let problem = finding.problem?.replacing("\n  ", with: ". ") else {
      guard let notice = finding.notice else { return console.data("ok      \(place): \(finding.what)") }
      return console.data("notice  \(place): \(finding.what): \(notice)")
    }
    console.data("FAILED  \(place): \(finding.what): \(problem)")
  }
}
