import WeirCore
import WeirOperators
import WeirProtocol

/// A plain capture: its files, or a pipe.
struct CaptureInput: SessionInput {
  /// Makes the source that begins at a place.
  let source: @Sendable (CaptureStart) throws -> any RecordSource
  let keepOpen: Bool
  let latency: LatencyMeter?
  let observe: @Sendable (WorkerEvent) -> Void

  var isShared: Bool { false }
  var mayCollect: Bool { true }

  func complete(_ request: inout LedgerRequest) {}

  func check(_ opened: inout OpenedLedger) async throws {
    // Ledgers from before there was a choice count blank lines as records, to their end.
    if await opened.ledger.fold.genesis.fileEnds == nil { opened.compiled.keepsBlankLines = true }
  }

  func begin(_ opened: OpenedLedger, _ counts: WorkerCounts) -> any Conductor { CaptureRun(input: self, opened: opened, counts: counts) }

  func close() {}
}

/// A replay of a plain capture: what is there to do, and then the work of a ``MarkConductor``.
private struct CaptureRun: Conductor {
  let input: CaptureInput
  let opened: OpenedLedger
  let counts: WorkerCounts

  var entries: Int64 { counts.progress.entries }

  func run(until stop: Flag, interruption: Flag) async throws -> WorkerEnd {
    let ledger = opened.ledger
    if await ledger.fold.hasEnded, !(try await refuseGrowth(await ledger.fold, until: stop)) { return .interrupted }
    if await ledger.fold.isFinished, await !ledger.fold.mergeLane.isClosing, try await hasAllStateRows() { return .unchanged }
    try await opened.decideLookups()
    let fold = await ledger.fold
    do {
      let conductor = try await MarkConductor(opened, fold, counts: counts, latency: input.latency)
      // A pipe that was read to its end just now gives nothing a second time: what is left is to close the windows.
      let source: @Sendable (CaptureStart) throws -> any RecordSource = fold.hasEnded ? { @Sendable _ in EndedSource() } : input.source
      return try await conductor.run(source, keepOpen: input.keepOpen, observe: input.observe, interruption: interruption)
    } catch {
      await MemoryRelief.leave(error, opened.environment.lake, ledger.layout, at: await ledger.fold.number)
      throw error
    }
  }

  private func hasAllStateRows() async throws -> Bool {
    if opened.environment.variant.contains(.unchangedUnlooked) { return true }
    return try await opened.hasAllStateRows()
  }

  /// The ledger has the end of the input, whether or not its windows are closed yet: the capture must be the same, and may
  /// not have grown.
  /// - Returns: false if it was interrupted before that was known.
  private func refuseGrowth(_ fold: LedgerFold, until stop: Flag) async throws -> Bool {
    let first = fold.genesis.lanes.first.flatMap { fold[$0] }
    guard let position = try first?.position?.offset(in: opened.compiled.plan.source.stream) else {
      throw WeirError(
        .corrupt, "the ledger's position is not a byte offset of a capture",
        advice: "It was written for another source: use that version of Weir, or replay into \(.newLake).")
    }
    let source = try input.source(CaptureStart(position: position, prefix: first?.prefixHash, fileEnds: fold.genesis.capturedFileEnds))
    var grew = false
    loop: while true {
      switch try await source.next(until: stop) {
      case nil: return false
      case .block: grew = true; break loop
      case .cut, .caughtUp: continue
      case .end, .outOfRange, .closed: break loop
      }
    }
    await source.close()
    guard !grew else {
      throw WeirError(
        .captureGrew, "there is more input after byte \(position), where the ledger recorded the end of input",
        advice:
          "Its windows are closed. Replay the whole capture into \(.newLake); \(.keepingOpen) the end is not recorded, and the capture may grow."
      )
    }
    return true
  }
}
