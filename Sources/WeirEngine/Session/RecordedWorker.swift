import WeirCore
import WeirOperators
import WeirProtocol

/// Replays a capture of a live stream: each recorded shard is one lane, as live.
///
/// The ledger is like that of a live run. Without recorded decisions cuts come after so many input bytes in the order of
/// recording; with them every entry of the live run is made again, number by number.
public struct RecordedWorker: Sendable {
  /// A live run to be repeated: its lake and its ledger there.
  public struct Recorded: Sendable {
    public var lake: any ObjectStore
    public var layout: LedgerLayout

    public init(lake: any ObjectStore, layout: LedgerLayout) {
      self.lake = lake
      self.layout = layout
    }
  }

  private let compiled: CompiledPlan
  private let environment: EngineEnvironment
  private let request: LedgerRequest
  private let keepOpen: Bool
  private let stream: any RecordedStream
  private let recorded: Recorded?
  private let meter: LiveMeter
  private let observe: @Sendable (ReplayProgress) -> Void
  private let stop: Flag

  /// - Parameters:
  ///   - request: its shards and, with `recorded`, its run's id are filled in here.
  ///   - recorded: whose decisions are repeated.
  public init(
    _ compiled: CompiledPlan, environment: EngineEnvironment, request: LedgerRequest, keepOpen: Bool, stream: any RecordedStream,
    recorded: Recorded?, meter: LiveMeter? = nil, observe: @escaping @Sendable (ReplayProgress) -> Void, stop: Flag
  ) {
    self.compiled = compiled
    self.environment = environment
    self.request = request
    self.keepOpen = keepOpen
    self.stream = stream
    self.recorded = recorded
    self.meter = meter ?? LiveMeter(clock: environment.clock)
    self.observe = observe
    self.stop = stop
  }

  public func run() async throws -> ReplayResult {
    var request = self.request
    var decisions: RecordedDecisions?
    if let recorded {
      let opened = try await RecordedDecisions.open(recorded.layout, lake: recorded.lake, environment)
      try await adopt(opened, &request)
      decisions = opened
    } else {
      request.shards = stream.shards.map(\.name)
    }
    let ledger = try await LedgerOpening.open(compiled.plan, request, environment)
    try await check(ledger, request)
    if let recorded { try await SchemaPin.copy(from: recorded.lake, recorded.layout, to: environment.lake, ledger.layout) }
    return try await CaptureRun(compiled: compiled, environment: environment, ledger: ledger, meter: meter, stop: stop)
      .run { [request, decisions] in try await run(ledger, $0, request, decisions, $1) }
  }

  private func run(
    _ ledger: Ledger, _ followers: Followers, _ request: LedgerRequest, _ decisions: RecordedDecisions?,
    _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> (end: ReplayEnd, progress: ReplayProgress) {
    let before = await ledger.fold.number
    let (isWhole, progress) =
      if let decisions {
        try await repeats(decisions, ledger, followers, request, isInterrupted)
      } else {
        try await replays(ledger, followers, request, isInterrupted)
      }
    let fold = await ledger.fold
    let end: ReplayEnd =
      !isWhole ? .interrupted : fold.number == before ? .unchanged : fold.isFinished ? .finished : .keptOpen
    return (end, progress)
  }

  /// A ledger that is there must be this replay's.
  private func check(_ ledger: Ledger, _ request: LedgerRequest) async throws {
    let fold = await ledger.fold
    guard fold.genesis.dealing == nil, fold.runID == request.runID || request.isEarlierRunID(fold.runID) else {
      throw WeirError(
        .captureChanged,
        "the ledger in this lake belongs to another run (\(fold.runID)): a live worker's, or a replay of another capture",
        advice: "Replay into a lake of its own (--lake DIR --store DIR).")
    }
  }

  // MARK: By the capture's order

  private func replays(
    _ ledger: Ledger, _ followers: Followers, _ request: LedgerRequest, _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> (Bool, ReplayProgress) {
    let fold = await ledger.fold
    var positions: [String: Int64] = [:]
    for (lane, state) in fold.lanes where lane != .merge {
      positions[lane.shard] = try state.position?.offset(in: lane.shard)
    }
    if fold.hasEnded, let grown = stream.bounds.first(where: { $0.value.high > .offset(positions[$0.key] ?? 0) }) {
      throw WeirError(
        .captureGrew,
        "there are more records of \(grown.key) after position \(positions[grown.key] ?? 0), where the ledger recorded the end of input",
        advice:
          "Its windows are closed. Replay the whole capture into a new lake (--lake DIR --store DIR); with --keep-open the end is not recorded, and the capture may grow."
      )
    }
    // The merge lane's last entry follows the one that ends the others: a run may have been killed between them.
    var isMerged = false
    if let merged = fold.mergeLane.position?.ordinal { isMerged = merged + 1 >= fold.number }
    if fold.isFinished, isMerged { return (true, ReplayProgress()) }
    try await LookupVersions(compiled: compiled, ledger: ledger, environment: environment).decide(
      planHash: request.planHash, carrier: [.merge])
    var steps: [RecordedStep] = []
    let unlisted = stream.shards.map { LaneID(shard: $0.name) }.filter { fold[$0] == nil }.sorted()
    if !unlisted.isEmpty {
      steps.append(RecordedStep(work: .carrier, decisions: [.merge: [.lanesListed(unlisted, generation: 0)]]))
    }
    let input = stream.steps(after: positions, bytes: max(1, compiled.plan.lake.flushBytes))
    if let begin = try begin(positions, fold, hasInput: !input.isEmpty) { steps.append(begin) }
    steps += input.map(RecordedWorker.step)
    if !keepOpen, !fold.isFinished { steps += try ends(isRecorded: fold.hasEnded) }
    let session = try await RecordedSession(
      compiled: compiled, environment: environment, ledger: ledger, followers: followers, stream: stream,
      planHash: request.planHash, progress: ReplayProgress(), meter: meter)
    try await session.mergeBehind()
    let isWhole = try await session.carryOut(steps, observe: observe, isInterrupted: isInterrupted)
    return (isWhole, session.progress)
  }

  /// Lanes that begin and, before a record is judged, this run's clock for those whose recorded one is missing or old (``ClockGuard``).
  private func begin(_ positions: [String: Int64], _ fold: LedgerFold, hasInput: Bool) throws(WeirError) -> RecordedStep? {
    let now = environment.clock.wallMicroseconds
    let refresh = hasInput ? ClockGuard.refreshNanoseconds(compiled.plan).map { $0 / 1000 } : nil
    func needsClock(_ shard: String) -> Bool {
      guard let refresh else { return false }
      return fold[LaneID(shard: shard)]?.clock.map { now - $0 >= refresh } ?? true
    }
    let bounds = stream.bounds.filter { positions[$0.key] == nil || needsClock($0.key) }.sorted { $0.key < $1.key }
    guard !bounds.isEmpty else { return nil }
    var step = RecordedStep(work: .empty)
    for (shard, bound) in bounds {
      let at = if let known = positions[shard] { known } else { try bound.offsets(in: shard).low }
      step.ranges.append(RecordedRange(shard: shard, from: at, to: at))
      if needsClock(shard) { step.decisions[LaneID(shard: shard)] = [.clock(now)] }
    }
    return step
  }

  private static func step(_ ranges: [RecordedRange]) -> RecordedStep {
    var step = RecordedStep(work: .epochs(isClosing: false), ranges: ranges)
    for range in ranges where !range.lost.isEmpty || !range.unverified.isEmpty {
      step.decisions[LaneID(shard: range.shard)] =
        range.unverified.map { .unverified(reason: $0) }
        + range.lost.map {
          .gap(from: .offset($0.lowerBound), to: .offset($0.upperBound), reason: "lost at the source before it was captured")
        }
    }
    return step
  }

  /// The end of input is a decision: an entry carries it, and only the one behind it closes windows.
  private func ends(isRecorded: Bool) throws(WeirError) -> [RecordedStep] {
    var ranges: [RecordedRange] = []
    for (shard, bound) in stream.bounds.sorted(by: { $0.key < $1.key }) {
      let end = try bound.offsets(in: shard).high
      ranges.append(RecordedRange(shard: shard, from: end, to: end))
    }
    var decided = RecordedStep(work: .epochs(isClosing: false), ranges: ranges)
    for range in ranges { decided.decisions[LaneID(shard: range.shard)] = [.endOfInput] }
    let closing = RecordedStep(work: .epochs(isClosing: true), ranges: ranges)
    return isRecorded ? [closing] : [decided, closing]
  }

  // MARK: By a live run's ledger

  private func adopt(_ decisions: RecordedDecisions, _ request: inout LedgerRequest) async throws {
    let genesis = await decisions.ledger.fold.genesis
    let plan = await decisions.ledger.fold.plan
    guard plan == request.meaning else {
      throw WeirError(
        .planChanged,
        "the live run was of a pipeline that means something else:\n  "
          + request.describeChange(plan, request.meaning).joined(separator: "\n  "),
        advice: "Replay its own pipeline, or leave --decisions out.")
    }
    request.runID = genesis.runID
    request.shards = genesis.lanes.filter { $0 != .merge }.map(\.shard)
  }

  private func repeats(
    _ decisions: RecordedDecisions, _ ledger: Ledger, _ followers: Followers, _ request: LedgerRequest,
    _ isInterrupted: @escaping @Sendable () -> Bool
  ) async throws -> (Bool, ReplayProgress) {
    var decisions = decisions
    var progress = ReplayProgress()
    var compiled = try await RecordedWorker.recompiled(self.compiled, environment.lake, await ledger.fold)
    var session: RecordedSession?
    while true {
      let steps = try await decisions.steps(after: await ledger.fold.number)
      guard let first = steps.first else { return (true, progress) }
      if isInterrupted() { return (false, progress) }
      if first.changesLookup {
        try await changeLookups(first, decisions, ledger, request)
        compiled = try await RecordedWorker.recompiled(self.compiled, environment.lake, await ledger.fold)
        session = nil
        progress.entries += 1
        continue
      }
      let current: RecordedSession
      if let session {
        current = session
      } else {
        current = try await RecordedSession(
          compiled: compiled, environment: environment, ledger: ledger, followers: followers, stream: stream,
          planHash: request.planHash, progress: progress, meter: meter, repeatsRun: true)
      }
      session = current
      let isWhole = try await current.carryOut(steps, observe: observe, isInterrupted: isInterrupted)
      progress = current.progress
      if !isWhole { return (false, progress) }
    }
  }

  /// Brings the bytes of the recorded lookups into this lake, and the decision with them.
  private func changeLookups(
    _ step: RecordedStep, _ decisions: RecordedDecisions, _ ledger: Ledger, _ request: LedgerRequest
  ) async throws {
    var own: [Decision] = []
    let attempt = ledger.makeAttemptID()
    for decision in step.decisions[.merge] ?? [] {
      guard case .lookup(let name, let hash, let path) = decision else {
        own.append(decision)
        continue
      }
      guard let bytes = try await decisions.lake.get(path), ContentHash(of: bytes).hex == hash else {
        throw WeirError(
          .corrupt, "the lookup \(name) of the live run (\(path)) is missing or changed", advice: "Restore it from a copy of the lake.")
      }
      let place = ledger.layout.lookup(hash: hash, attempt: attempt)
      try await environment.lake.write([NewObject(path: place, bytes: bytes)])
      own.append(.lookup(name: name, hash: hash, path: place))
    }
    try await RecordedSession.carry(own, ledger, request.planHash)
  }

  /// The plan with the lookups that the ledger has.
  private static func recompiled(_ compiled: CompiledPlan, _ lake: any ObjectStore, _ fold: LedgerFold) async throws -> CompiledPlan {
    var tables: [LookupTable] = []
    for (spec, table) in zip(compiled.plan.lookups, compiled.lookups) {
      guard let version = fold.lookups[spec.name], version.hash != table.contentHash.hex else {
        tables.append(table)
        continue
      }
      guard let bytes = try await lake.get(version.path), ContentHash(of: bytes).hex == version.hash else {
        throw WeirError(
          .corrupt, "the lookup \(spec.name) (\(version.path)) is missing or changed", advice: "Restore it from a copy of the lake.")
      }
      let field = compiled.plan.record.fields[spec.key]
      tables.append(
        try LookupTable(
          name: spec.name, bytes: bytes, file: version.path, key: field.name, keyType: field.type,
          types: Dictionary(uniqueKeysWithValues: spec.columns.map { ($0.name, $0.type) })))
    }
    return CompiledPlan(compiled.plan, lookups: tables)
  }
}
