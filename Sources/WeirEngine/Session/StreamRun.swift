import WeirCore
import WeirOperators
import WeirProtocol

/// A replay of a recorded stream: makes the steps that a ``StepConductor`` carries out.
struct StreamRun: Conductor {
  let input: StreamInput
  let opened: OpenedLedger
  let counts: WorkerCounts

  private var stream: any RecordedStream { input.stream }

  var entries: Int64 { counts.progress.entries }

  func run(until stop: Flag, interruption: Flag) async throws -> WorkerEnd {
    let before = await opened.ledger.fold.number
    let isWhole =
      if let decisions = input.decisions { try await repeats(decisions, interruption) } else { try await replays(interruption) }
    let fold = await opened.ledger.fold
    return !isWhole ? .interrupted : fold.number == before ? .unchanged : fold.isFinished ? .finished : .keptOpen
  }

  // MARK: By the capture's order

  /// - Returns: false if it was interrupted.
  private func replays(_ interruption: Flag) async throws -> Bool {
    let fold = await opened.ledger.fold
    var positions: [String: Int64] = [:]
    for (lane, state) in fold.lanes where lane != .merge {
      positions[lane.shard] = try state.position?.offset(in: lane.shard)
    }
    if fold.hasEnded, let grown = stream.bounds.first(where: { $0.value.high > .offset(positions[$0.key] ?? 0) }) {
      throw WeirError(
        .captureGrew,
        "there are more records of \(grown.key) after position \(positions[grown.key] ?? 0), where the ledger recorded the end of input",
        advice:
          "Its windows are closed. Replay the whole capture into \(.newLake); \(.keepingOpen) the end is not recorded, and the capture may grow."
      )
    }
    // The merge lane's last entry follows the one that ends the others: a run may have been killed between them.
    var isMerged = false
    if let merged = fold.mergeLane.position?.ordinal { isMerged = merged + 1 >= fold.number && !fold.mergeLane.isClosing }
    if fold.isFinished, isMerged, try await opened.hasAllStateRows() { return true }
    try await opened.decideLookups(carrier: [.merge])
    var steps: [RecordedStep] = []
    let family = RecordedFamily(stream.shards)
    let unlisted = stream.shards.filter { !family.isChild($0.name) }.map { LaneID(shard: $0.name) }.filter { fold[$0] == nil }.sorted()
    if !unlisted.isEmpty {
      steps.append(RecordedStep(work: .carrier, decisions: [.merge: [.lanesListed(unlisted, generation: 0)]]))
    }
    let ranges = stream.steps(after: positions, bytes: max(1, opened.compiled.plan.lake.flushBytes))
    if let begin = try begin(fold, hasInput: !ranges.isEmpty, { positions[$0] != nil || family.isReady($0, fold) }) { steps.append(begin) }
    var ended = Set(fold.lanes.filter(\.value.isShardClosed).keys.map(\.shard))
    for next in ranges { steps += try follow(next, family, &ended) }
    let decided = await opened.ledger.fold
    let isSame = fold.lanes.allSatisfy { $0.key == .merge || decided[$0.key]?.epoch == $0.value.epoch }
    guard isSame else { throw Session.replaced(by: decided.number) }
    let conductor = try await StepConductor(
      opened, after: decided.number, stream: stream, counts: counts, observe: input.observe)
    try await conductor.mergeNews()
    try await conductor.closeRest()
    let begun = await opened.ledger.fold
    if !input.keepOpen, !begun.isFinished { steps += try ends(isRecorded: begun.hasEnded, family, &ended) }
    return try await conductor.carryOut(steps, interruption)
  }

  /// Lanes that begin and, before a record is judged, this run's clock for those whose recorded one is missing or old (``ClockGuard``).
  /// - Parameter isWanted: of the stream's shards, those that are read from the start of this run.
  private func begin(
    _ fold: LedgerFold, hasInput: Bool, _ isWanted: (String) -> Bool
  ) throws(WeirError) -> RecordedStep? {
    let now = opened.environment.clock.wallMicroseconds
    let refresh = hasInput ? ClockGuard.refreshNanoseconds(opened.compiled.plan).map { $0 / 1000 } : nil
    func needsClock(_ shard: String) -> Bool {
      guard let refresh else { return false }
      return fold[LaneID(shard: shard)]?.clock.map { now - $0 >= refresh } ?? true
    }
    func position(_ shard: String) -> ShardPoint? { fold[LaneID(shard: shard)]?.position }
    let bounds = stream.bounds.filter { shard, _ in
      guard isWanted(shard), fold[LaneID(shard: shard)]?.isShardClosed != true else { return false }
      return position(shard) == nil || needsClock(shard)
    }.sorted { $0.key < $1.key }
    guard !bounds.isEmpty else { return nil }
    var step = RecordedStep(work: .empty)
    for (shard, bound) in bounds {
      let at = if let known = position(shard) { try known.offset(in: shard) } else { try bound.offsets(in: shard).low }
      step.ranges.append(RecordedRange(shard: shard, from: at, to: at))
      if needsClock(shard) { step.decisions[LaneID(shard: shard)] = [.clock(now)] }
    }
    return step
  }

  /// A step of the stream, and the beginning of shards whose parents end with it.
  /// - Parameter ended: shards that have ended before.
  private func follow(_ ranges: [RecordedRange], _ family: RecordedFamily, _ ended: inout Set<String>) throws(WeirError) -> [RecordedStep] {
    let known = ended
    // A run that continues after the end of a shard has nothing more to say of it.
    let left = ranges.filter { !known.contains($0.shard) }
    guard !left.isEmpty else { return [] }
    var step = StreamRun.step(left)
    let closed = left.filter { $0.children != nil }.map(\.shard)
    for shard in closed { step.decisions[LaneID(shard: shard), default: []].append(family.closed(shard)) }
    ended.formUnion(closed)
    return [step] + (try begin(family.children(of: closed, whenEnded: ended)))
  }

  /// Lanes that begin where their shards do.
  private func begin(_ shards: [String]) throws(WeirError) -> [RecordedStep] {
    guard !shards.isEmpty else { return [] }
    let now = opened.environment.clock.wallMicroseconds
    var step = RecordedStep(work: .empty)
    for shard in shards {
      guard let low = try stream.bounds[shard]?.offsets(in: shard).low else { continue }
      step.ranges.append(RecordedRange(shard: shard, from: low, to: low))
      if ClockGuard.refreshNanoseconds(opened.compiled.plan) != nil { step.decisions[LaneID(shard: shard)] = [.clock(now)] }
    }
    return [step]
  }

  private static func step(_ ranges: [RecordedRange]) -> RecordedStep {
    var step = RecordedStep(work: .epochs(isClosing: false), ranges: ranges)
    for range in ranges where !range.lost.isEmpty || !range.unverified.isEmpty || !range.gaps.isEmpty {
      step.decisions[LaneID(shard: range.shard)] =
        range.unverified.map { .unverified(reason: $0) }
        + range.lost.map {
          .gap(from: .offset($0.lowerBound), to: .offset($0.upperBound), reason: "lost at the source before it was captured")
        }
        + range.gaps.map {
          .gap(from: .offset($0.position), to: .offset($0.position), reason: "lost at the source before it was captured: \($0.reason)")
        }
    }
    return step
  }

  /// The end of input is a decision: an entry carries it, and only the one after it closes windows.
  private func ends(isRecorded: Bool, _ family: RecordedFamily, _ ended: inout Set<String>) throws(WeirError) -> [RecordedStep] {
    // A capture may end between the ends of two shards that are merged: their child has keys, so the other one ends here.
    var last: [RecordedStep] = []
    for shard in family.open(whenEnded: ended) where !isRecorded {
      guard let end = try stream.bounds[shard]?.offsets(in: shard).high else { continue }
      var range = RecordedRange(shard: shard, from: end, to: end)
      range.children = []
      last += try follow([range], family, &ended)
    }
    var ranges: [RecordedRange] = []
    for (shard, bound) in stream.bounds.sorted(by: { $0.key < $1.key }) where !ended.contains(shard) {
      let end = try bound.offsets(in: shard).high
      ranges.append(RecordedRange(shard: shard, from: end, to: end))
    }
    var decided = RecordedStep(work: .epochs(isClosing: false), ranges: ranges)
    for range in ranges { decided.decisions[LaneID(shard: range.shard)] = [.endOfInput] }
    let closing = RecordedStep(work: .epochs(isClosing: true), ranges: ranges)
    return isRecorded ? [closing] : last + [decided, closing]
  }

  // MARK: By a live run's ledger

  /// - Returns: false if it was interrupted.
  private func repeats(_ decisions: RecordedDecisions, _ interruption: Flag) async throws -> Bool {
    var (decisions, opened) = (decisions, opened)
    opened.compiled = try await compiled(await opened.ledger.fold, used: [:])
    var conductor: StepConductor?
    // Versions of lookups that the live run's worker used although there were newer ones.
    var used: [String: String] = [:]
    while true {
      let number = await opened.ledger.fold.number
      let steps = try await decisions.steps(after: number)
      guard let first = steps.first else {
        if conductor != nil { return true }
        return try await repairRows(after: number, interruption)
      }
      if interruption.isRaised { return false }
      if first.changesLookup {
        try await changeLookups(first, decisions)
        opened.compiled = try await compiled(await opened.ledger.fold, used: [:])
        (conductor, used) = (nil, [:])
        counts.update { $0.entries += 1 }
        continue
      }
      if let next = steps.lazy.compactMap(\.usedLookups).first, next != used {
        opened.compiled = try await compiled(await opened.ledger.fold, used: next)
        (conductor, used) = (nil, next)
      }
      let current: StepConductor
      if let conductor {
        current = conductor
      } else {
        current = try await StepConductor(
          opened, after: number, stream: stream, counts: counts, repeatsRun: true, observe: input.observe)
      }
      conductor = current
      guard try await current.carryOut(steps, interruption) else { return false }
    }
  }

  /// A run may have stopped between its last entry and the state table's rows: there is no step left that writes them.
  /// - Returns: false if it was interrupted.
  private func repairRows(after number: Int64, _ interruption: Flag) async throws -> Bool {
    if try await opened.hasAllStateRows() { return true }
    let conductor = try await StepConductor(
      opened, after: number, stream: stream, counts: counts, repeatsRun: true, observe: input.observe)
    return try await conductor.carryOut([], interruption)
  }

  /// Brings the bytes of the recorded lookups into this lake, and the decision with them.
  private func changeLookups(_ step: RecordedStep, _ decisions: RecordedDecisions) async throws {
    let ledger = opened.ledger
    var own: [Decision] = []
    let attempt = ledger.makeAttemptID()
    for decision in step.decisions[.merge] ?? [] {
      guard let (name, hash, path) = decision.broughtLookup else {
        own.append(decision)
        continue
      }
      guard let bytes = try await decisions.lake.get(path), ContentHash(of: bytes).hex == hash else {
        throw WeirError(
          .corrupt, "the lookup \(name) of the live run (\(path)) is missing or changed", advice: "Restore it from a copy of the lake.")
      }
      let place = ledger.layout.lookup(hash: hash, attempt: attempt)
      try await opened.environment.lake.write([NewObject(path: place, bytes: bytes)])
      if case .lookup = decision {
        own.append(.lookup(name: name, hash: hash, path: place))
      } else {
        own.append(.lookupRefreshed(name: name, hash: hash, path: place))
      }
    }
    try await StepConductor.carry(own, ledger, opened.planHash)
  }

  /// The plan with the lookups that the ledger has.
  /// - Parameter used: see ``RecordedStep/usedLookups``.
  private func compiled(_ fold: LedgerFold, used: [String: String]) async throws -> CompiledPlan {
    opened.compiled.with(lookups: try await opened.lookups.tables(fold, known: opened.compiled.lookups, used: used))
  }
}
