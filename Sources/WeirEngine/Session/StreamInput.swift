import WeirCore
import WeirOperators
import WeirProtocol

/// A live run to be repeated: its lake and its ledger there.
package struct RecordedRun: Sendable {
  package var lake: any ObjectStore
  package var layout: LedgerLayout

  package init(lake: any ObjectStore, layout: LedgerLayout) {
    self.lake = lake
    self.layout = layout
  }
}

/// A capture of a live stream, and the live run whose decisions are repeated; nil: none.
struct StreamInput: SessionInput {
  let stream: any RecordedStream
  let decisions: RecordedDecisions?
  /// Of the live run's ledger.
  let genesis: Genesis?
  let plan: JSONValue?
  let keepOpen: Bool
  let observe: @Sendable (WorkerEvent) -> Void

  init(
    _ stream: any RecordedStream, _ decisions: RecordedDecisions?, keepOpen: Bool, observe: @escaping @Sendable (WorkerEvent) -> Void
  ) async {
    (self.stream, self.decisions, self.keepOpen, self.observe) = (stream, decisions, keepOpen, observe)
    let fold = await decisions?.ledger.fold
    (genesis, plan) = (fold?.genesis, fold?.plan)
  }

  var isShared: Bool { false }
  /// Entries that are repeated keep their numbers: one more would take the place of the next.
  var mayCollect: Bool { decisions == nil }

  func complete(_ request: inout LedgerRequest) throws {
    guard let genesis, let plan else {
      // Children are listed when their parents end.
      let family = RecordedFamily(stream.shards)
      request.shards = stream.shards.map(\.name).filter { !family.isChild($0) }
      return
    }
    guard plan == request.meaning else {
      throw WeirError(
        .planChanged,
        "the live run had a different pipeline:\n  "
          + request.describeChange(plan, request.meaning).joined(separator: "\n  "),
        advice: "Replay its own pipeline, or replay \(.withoutDecisions).")
    }
    request.runID = genesis.runID
    request.shards = genesis.lanes.filter { $0 != .merge }.map(\.shard)
  }

  /// A ledger that is there must be this replay's.
  func check(_ opened: inout OpenedLedger) async throws {
    let (fold, request) = (await opened.ledger.fold, opened.request)
    guard fold.genesis.dealing == nil, fold.runID == request.runID || request.isEarlierRunID(fold.runID) else {
      throw WeirError(
        .captureChanged,
        "the ledger in this lake belongs to another run (\(fold.runID)): a live worker's, or a replay of another capture",
        advice: "Replay into \(.ownLake).")
    }
    guard let decisions else { return }
    try await SchemaPin.copy(from: decisions.lake, decisions.ledger.layout, to: opened.environment.lake, opened.ledger.layout)
  }

  func begin(_ opened: OpenedLedger, _ counts: WorkerCounts) -> any Conductor { StreamRun(input: self, opened: opened, counts: counts) }

  func close() {}
}
