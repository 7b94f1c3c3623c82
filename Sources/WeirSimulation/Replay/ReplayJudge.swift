import WeirCore
import WeirEngine
import WeirProtocol
import WeirTesting

/// The oracle of a run of replays.
protocol ReplayJudge: AnyObject {
  var violation: String? { get }
  var marks: Marks { get set }
  var say: ((String) -> Void)? { get set }
  var head: Int64 { get }
  /// Nothing is left to be replayed.
  var isComplete: Bool { get }

  func fail(_ what: String)
  func created(_ path: String, _ bytes: [UInt8])
  func deleted(_ path: String)
  func lost()
  func committed(_ number: Int64)
  func fenced(_ attempt: String, _ wanted: [LaneID: Int64])
  func stored(_ topic: String, _ record: SinkRecord)
  func stateRow(_ row: StateRow, replacing old: StateRow?)
  func stateMark(_ name: String, _ mark: LedgerMark?, replacing old: LedgerMark?)
  func checkEnd(_ table: SimulatedStateTable)
  func checkTopics(_ routes: [SinkSpec.Route])
}

/// What is replayed.
///
/// `@unchecked Sendable`: see ``World``.
struct ReplayScenario: @unchecked Sendable {
  var compiled: CompiledPlan
  var faults: LiveFaults
  let request: LedgerRequest
  let store: SimulatedObjectStore
  /// The input of a run that begins now.
  let input: (Node) -> WorkerInput
  /// When nothing more comes, virtual nanoseconds.
  let endsAt: Int64
  /// Something happens to the input.
  let damage: () -> Void
  /// The faults are over.
  let heal: () -> Void
  /// An error that the input may end a run with.
  let expects: (WeirError) -> Bool
}
