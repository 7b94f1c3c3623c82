import WeirCore
import WeirOperators
import WeirProtocol

/// A changed plan over a ledger that has no accepted record yet: a first try was stopped, or all of its records were rejected. Nothing
/// has been made by the old plan, so the new one replaces it by a decision.
struct PlanReplacement: Sendable {
  let plan: Plan
  let request: LedgerRequest
  let ledger: Ledger

  /// Why the ledger keeps its plan; nil: it may be replaced.
  private func obstacle(_ fold: LedgerFold) -> String? {
    let genesis = fold.genesis
    if fold.counts.accepted > 0 { return "the ledger has accepted records" }
    if fold.hasEnded { return "the ledger has the end of the input" }
    if (genesis.dealing == nil) != (request.shards != nil) || fold.plan["source"]?["stream"] != request.meaning["source"]?["stream"] {
      return "the ledger belongs to another source"
    }
    if fold.tables[TableCatalogue.path(of: .bronze, stream: genesis.stream)] != nil, fold.plan["bronze"] != request.meaning["bronze"] {
      return "the bronze table has rows"
    }
    let hasWatermark = fold.lanes.values.contains { $0.watermark != Watermark.minimum }
    return hasWatermark && time(fold.plan) != time(request.meaning) ? "the watermark is based on the old event time" : nil
  }

  /// `record.time`, with the field itself for its number.
  private func time(_ meaning: JSONValue) -> [JSONValue?] {
    let time = meaning["record"]?["time"]
    let field = time?["field"]?.int.flatMap { number -> JSONValue? in
      guard let fields = meaning["record"]?["fields"]?.array, fields.indices.contains(Int(number)) else { return nil }
      return fields[Int(number)]
    }
    return [field, time?["outOfOrderMicroseconds"], time?["maxAheadMicroseconds"]]
  }

  /// Commits an entry of empty epochs, from which on the new plan is the ledger's, unless another worker has just done so. The lanes
  /// begin with empty states.
  /// - Throws: `plan_changed` where that may not be.
  func decide() async throws {
    let fold = await ledger.fold
    if let obstacle = obstacle(fold) { throw refusal(fold, obstacle) }
    let end = try await ledger.decide(planHash: request.planHash) { fold in
      // Another worker may have committed meanwhile.
      if let obstacle = obstacle(fold) { throw refusal(fold, obstacle) }
      return lanes(fold)
    }
    do { _ = try end.fold() } catch {
      // Another worker that was started with the same changed plan may have been faster: then this is the ledger's plan now.
      if case .fenced = error.end, try await ledger.refresh().plan == request.meaning { return }
      throw error.ofRun
    }
  }

  /// Empty epochs that leave the lanes without a state. They depend on the fold alone, so that no epoch of the old plan follows them:
  /// a worker that has one in hand is fenced.
  private func lanes(_ fold: LedgerFold) -> [LaneCommit] {
    let decision = Decision.plan(meaning: request.meaning, hash: request.planHash, runID: request.runID ?? fold.runID)
    let carriers = carriers(fold)
    return carriers.enumerated().map { number, lane in
      var commit = fold.emptyEpoch(of: lane, decisions: number == 0 ? [decision] : [])
      // What the old plan made of the input is not the new one's.
      commit.state = nil
      // The partials after the merge lane's position were made by the old plan, of rejected records: it skips them.
      commit.endsAtItself = lane == .merge && fold.genesis.dealing == nil && carriers.count > 1
      return commit
    }
  }

  /// All lanes of a capture. Of a live stream the merge lane and the lanes that hold something; workers compare the plan at each commit.
  private func carriers(_ fold: LedgerFold) -> [LaneID] {
    guard fold.genesis.dealing != nil else {
      return (fold.lanes.filter { $0.key != .merge && $0.value.state != nil }.keys + [.merge]).sorted()
    }
    return (fold.genesis.lanes.filter { $0 != .merge } + (fold.mergeLane.epoch > 0 ? [.merge] : [])).sorted()
  }

  private func refusal(_ fold: LedgerFold, _ obstacle: String) -> WeirError {
    WeirError(
      .planChanged,
      "the pipeline \(plan.pipeline) has changed since its ledger was created:\n  "
        + request.describeChange(fold.plan, request.meaning).joined(separator: "\n  ") + "\n  and \(obstacle)",
      advice: "Change it back, or replay into \(.newLake), or give the pipeline and its tables new names and choose \(.otherStore).")
  }
}

extension LedgerFold {
  /// Of a worker that goes by the plan with this hash.
  /// - Throws: `plan_changed` when another worker has replaced it.
  func checkPlan(_ planHash: String) throws(WeirError) {
    guard let change = planChange, change.hash != planHash else { return }
    throw WeirError(
      .planChanged, "another worker has replaced the pipeline with a changed one in entry \(change.entry)",
      advice: "Give all workers the same pipeline file and start this one again.")
  }
}
