import Foundation
import Testing
import WeirConfiguration
import WeirCore
import WeirDelta
import WeirLocal
import WeirOperators
import WeirTesting

@testable import WeirEngine
@testable import WeirProtocol

/// Each outcome of a commit is an error of its own: `unknown` is not a fence (law 2).
@Suite struct CommitOutcomeTests {
  /// A lake that never says what became of an entry, and never has it.
  private func unclear(_ store: any ObjectStore) -> any ObjectStore {
    InterceptedStore(
      store,
      before: {
        if case .put(let path) = $0, path.contains("/ledger/"), !path.hasSuffix("0000.json") { throw WeirError(.storage, "no answer") }
      })
  }

  private static let yaml = """
    pipeline: p
    source: {kafka: {brokers: "b:1", topic: t, group: g}}
    record:
      key: user
      time: {field: at}
      fields: {user: string!, at: timestamp_s!}
    lookups: {names: {file: names.csv, key: user}}
    """

  private let path = NSTemporaryDirectory() + "weir-outcomes-" + UUID().uuidString

  private func bench() async throws -> (compiled: CompiledPlan, ledger: Ledger, environment: EngineEnvironment, request: LedgerRequest) {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try "user,name\nu,Ute\n".write(toFile: path + "/names.csv", atomically: true, encoding: .utf8)
    try CommitOutcomeTests.yaml.write(toFile: path + "/p.yaml", atomically: true, encoding: .utf8)
    let loaded = try loadPipeline(file: path + "/p.yaml", sections: .standard)
    let threads = BlockingThreads(count: 1)
    let environment = EngineEnvironment(
      lake: unclear(LocalObjectStore(root: path + "/lake", threads: threads, random: SystemRandom())),
      tables: DeltaFormat(), state: nil,
      clock: ManualClock(.moves), random: SystemRandom(), threads: threads, parallel: 1)
    let request = LedgerRequest(
      meaning: .string("m"), planHash: "h", lanes: nil, runID: nil, shards: ["t/0"], describeChange: { _, _ in [] })
    let ledger = try await LedgerOpening.open(loaded.plan, request, environment)
    return (CompiledPlan(loaded.plan, lookups: loaded.lookups), ledger, environment, request)
  }

  private func expectUnknown(_ body: () async throws -> Void) async {
    do {
      try await body()
      Issue.record("it is unknown what became of the entry")
    } catch {
      let told = (error as? CommitRefused).map { [$0.ofSession, $0.ofRun] } ?? [error as? WeirError].compactMap(\.self)
      #expect(!told.isEmpty && told.allSatisfy { $0.code == .unknown && $0.isRetriable && $0.fatalTo == .worker }, "\(error)")
    }
  }

  @Test func anUnknownOutcomeIsNoFenceWhateverTheEntryCarries() async throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let (compiled, ledger, environment, request) = try await bench()
    await expectUnknown {
      try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment).decide(planHash: "h", carrier: [.merge])
    }
    await expectUnknown { try await StepConductor.carry([.extensible], ledger, "h") }
    var changed = request
    (changed.meaning, changed.planHash) = (.string("another"), "another")
    await expectUnknown { try await PlanReplacement(plan: compiled.plan, request: changed, ledger: ledger).decide() }
    #expect(await ledger.fold.number == 0)
  }

  @Test func anAttemptThatIsTooOldIsAbandonedAndNotFenced() async throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let (_, ledger, _, _) = try await bench()
    let began = ledger.now - CommitMachine.attemptNanosecondsMax - 1
    let end = try await ledger.decide(planHash: "h", began: began) { [$0.emptyEpoch(of: .merge)] }
    let refused = #expect(throws: CommitRefused.self) { try end.fold() }
    for error in [refused?.ofSession, refused?.ofRun] { #expect(error?.code == .abandoned && error?.isRetriable == true) }
  }
}
