import Synchronization
import WeirConfiguration
import WeirCore
import WeirEngine
import WeirPlan
import WeirReport
import WeirRuntime

/// `weir doctor`.
package enum DoctorCommand {
  /// - Parameters:
  ///   - pipeline: a file; nil: the lake alone is checked.
  ///   - lake: instead of the pipeline's.
  ///   - store: the same.
  /// - Returns: 0; 1 when a check failed.
  package static func run(pipeline file: String?, lake: String?, store: String?, json: Bool, console: Console) async throws -> Int32 {
    let report = DoctorReport(json: json, console: console)
    if let file {
      let pipeline = try await LoadedPipeline.readWithoutLookups(file)
      let places = try Places(pipeline, lake: lake, store: store)
      let wiring = try await Wiring(places, withState: false, isLooking: true)
      if try await checkPlaces(places, wiring, report) { try await checkLake(wiring, places, report) }
      try await AdapterRegistry.standard.examineSource(pipeline.plan) { report.add($0, $1) }
      await secrets(pipeline.plan, report)
      for finding in try await wiring.examineCatalog(pipeline.plan, lake: places.lake) { report.add("catalog", finding) }
      if pipeline.namesState || store != nil { try await stateTable(wiring.store, wiring.stateThread, report) }
      return report.hasFailed ? 1 : 0
    }
    guard lake != nil || store != nil else {
      throw WeirError(
        .config, "nothing to check", advice: "Name a pipeline file, a lake with --lake, or a state table with --store.")
    }
    // Before anything is put into the lake.
    let table = try store.map { try AdapterRegistry.standard.stateTablePlace($0, option: "--store") }
    if let lake {
      let places = Places(lake: try PathText.checkedLake(lake, "--lake"))
      let wiring = try await Wiring(places, withState: false, isLooking: true)
      if try await checkPlaces(places, wiring, report) { try await checkLake(wiring, places, report) }
    }
    if let table { try await stateTable(table, BlockingThreads(count: 1), report) }
    return report.hasFailed ? 1 : 0
  }

  /// Whether the lake and the state table are in no other table or ledger. Else nothing is put there.
  private static func checkPlaces(_ places: Places, _ wiring: Wiring, _ report: DoctorReport) async throws -> Bool {
    let what = "no other lake or table contains it"
    do throws(WeirError) {
      try await places.check(wiring.effects, needsAnswers: true)
      report.add(wiring.lake.place, StoreCheck.Finding(what: what))
      return true
    } catch {
      report.add(wiring.lake.place, StoreCheck.Finding(what: what, problem: error.words))
      return false
    }
  }

  /// A store that did not do the first thing has one line: what its settings are matters later.
  private static func checkLake(_ wiring: Wiring, _ places: Places, _ report: DoctorReport) async throws {
    let place = wiring.lake.place
    let check = StoreCheck(wiring.lake, random: wiring.random)
    let traces = places.lakeDirectory.map { LakeTraces($0, check.ownDirectory) }
    defer { traces?.remove() }
    if traces?.isNew == true { report.add(place, StoreCheck.Finding(what: "the directory is not there yet: the first run creates it")) }
    let found = await check.run { report.add(place, $0) }
    if found.count == 1 { return }
    for finding in try await wiring.examineLake(places) { report.add(place, finding) }
  }

  /// Whether the secrets of AWS that the pipeline names can be read.
  private static func secrets(_ plan: Plan, _ report: DoctorReport) async {
    for (place, secret) in plan.storedSecrets {
      let what = "\(secret) can be read"
      do throws(WeirError) {
        try await SecretService.fetch([.stored(secret)])
        report.add(place, StoreCheck.Finding(what: what))
      } catch { report.add(place, StoreCheck.Finding(what: what, problem: error.words)) }
    }
  }

  /// One that no run has made yet is no problem. What is in a table with a problem is not read.
  private static func stateTable(_ place: String, _ thread: BlockingThreads, _ report: DoctorReport) async throws {
    do throws(WeirError) { try PlaceCheck.check(state: place) } catch {
      return report.add(place, StoreCheck.Finding(what: "no lake's table or ledger contains it", problem: error.words))
    }
    let settings = try await AdapterRegistry.standard.examineStateTable(at: place, thread: thread)
    for finding in settings { report.add(place, finding) }
    if settings.contains(where: { $0.problem != nil }) { return }
    let what = "the state table can be read"
    do {
      try await AdapterRegistry.standard.stateTable(at: place, thread: thread).check()
      report.add(place, StoreCheck.Finding(what: what))
    } catch let error as WeirError where error.code == .stateMissing {
      report.add(place, StoreCheck.Finding(what: "the state table is not there yet: the first run creates it"))
    } catch {
      report.add(place, StoreCheck.Finding(what: what, problem: (error as? WeirError)?.words ?? "\(error)"))
    }
  }
}

/// Shows each finding when it is known: a service that does not answer takes some seconds.
private final class DoctorReport: Sendable {
  private let json: Bool
  private let console: Console
  private let failed = Mutex(false)

  init(json: Bool, console: Console) { (self.json, self.console) = (json, console) }

  var hasFailed: Bool { failed.withLock { $0 } }

  func add(_ place: String, _ finding: StoreCheck.Finding) {
    var finding = finding
    finding.problem = finding.problem.map(DoctorWords.withoutWorker)
    if finding.problem != nil { failed.withLock { $0 = true } }
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

/// What is said of a check.
package enum DoctorWords {
  /// Without the sentence that reassures the operator of a worker: no worker runs here.
  package static func withoutWorker(_ problem: String) -> String {
    guard let start = problem.firstRange(of: "Nothing is lost") else { return problem }
    let end = problem[start.upperBound...].firstRange(of: ". ")?.upperBound ?? problem.endIndex
    let before = problem[..<start.lowerBound]
    let rest = problem[end...]
    return rest.isEmpty ? String(before.reversed().drop { $0.isWhitespace }.reversed()) : String(before + rest)
  }
}
