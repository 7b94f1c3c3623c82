import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirProtocol

/// What a live worker tells: words on standard error, JSON lines on standard output.
package final class RunReport: Sendable {
  /// The client's `debug` option is set.
  private let isDebugging: Bool

  /// Lines about single records that are told in a minute.
  private static let recordLinesMax = 60

  private let console: Console
  private let log: Log
  private let json: Bool
  private let clock: any Clock
  private let rejected = Mutex(RejectedReasons())
  private let hasWarnedOfFiles = Mutex(false)
  private let budget = Mutex(LineBudget(linesMax: recordLinesMax))
  private let startedAt = ContinuousClock.now

  package init(log: Log, json: Bool, isDebugging: Bool, clock: any Clock) {
    console = log.console
    self.log = log
    self.json = json
    self.clock = clock
    self.isDebugging = isDebugging
  }

  /// The first line of the log: which versions run.
  package func begin(_ version: String, _ libraries: [(name: String, version: String)]) {
    guard !json else { return }
    log.info(
      "weir \(version)\(libraries.map { ", \($0.name) \($0.version)" }.joined())",
      [.init("event", .string("starting")), .init("version", .string(version))]
        + libraries.map { .init($0.name.lowercased(), .string($0.version)) })
  }

  /// With `json` each event is a line on standard output, and the log has only what is amiss.
  package func tell(_ event: WorkerEvent) {
    if json { console.data(RunReport.json(event).text) }
    switch event {
    case .joined(let number): inform("joined; the ledger is at entry \(number)", event)
    case .assigned(let positions):
      let all = positions.sorted { $0.key < $1.key }.map { "\($0.key) from \($0.value)" }
      let nothing = "nothing: other workers have all partitions, or there are none yet"
      inform("reads \(all.isEmpty ? nothing : all.joined(separator: ", "))", event)
    case .revoked(let shards, let isLost):
      let words = "\(isLost ? "lost" : "handed over") \(shards.joined(separator: ", "))"
      if isLost { log.warning(words, RunReport.members(event)) } else { inform(words, event) }
    case .committed(let progress): committed(progress, event)
    // Only a replay reports it, which has another report.
    case .consumed: break
    case .quarantined(let rejected): quarantined(rejected)
    case .gap(let shard, let from, let to, let reason):
      log.error("LOST: positions \(from) to \(to) of \(shard), \(reason); the ledger records this", RunReport.members(event))
    case .processedElsewhere(let shard, let from, let to):
      log.warning(
        "\(shard) is read from position \(to) on instead of \(from): another program has processed the records before it, as accepted. The ledger records this as a gap. Leave --accept-checkpoints out from now on",
        RunReport.members(event))
    case .recreated(let shard, let from, let to, let reason):
      log.error(
        "LOST: the records of the old \(shard) from position \(from) on; the new one is read from position \(to), as accepted (\(reason)). The ledger records this. Leave --accept-recreated out from now on",
        RunReport.members(event))
    case .partitionsAdded(let stream, let before, let added):
      log.warning(
        "\(stream) has \(before + added) partitions instead of \(before), as accepted: tables by key are merged over the partitions from now on. The ledger records this. Leave --accept-partitions out from now on",
        RunReport.members(event))
    case .streamGone(let stream, let shards):
      log.warning(
        "\(stream) no longer exists at the source: its \(shards.count == 1 ? "partition does" : "\(shards.count) partitions do") not hold back windows any more; the ledger records this. What was read of it is kept. If it is created again, it is checked before it is read",
        RunReport.members(event))
    case .checksAgain(let shards):
      let named = shards.prefix(3).joined(separator: ", ") + (shards.count > 3 ? " and \(shards.count - 3) more" : "")
      log.warning(
        "\(named): the broker reports an end before the position that was read. The worker asks again for up to a minute, because a broker can report an end that is too low for a while",
        RunReport.members(event))
    case .unverified(let shard, let reason):
      log.warning(
        "cannot verify that \(shard) is still the partition that was read: \(reason). Reading continues; the ledger records this",
        RunReport.members(event))
    case .lookupRefreshed(let name, let hash, let entry):
      inform("the lookup \(name) has a new version, \(hash.prefix(12)), from entry \(entry) on", event)
    case .trouble(let error):
      // Of others nobody can say yet what follows.
      log.trouble(error, error.fatalTo == .worker ? "\n  The worker tries again with a new session." : "")
    }
  }

  private func inform(_ words: String, _ event: WorkerEvent) { if !json { log.info(words, RunReport.members(event)) } }

  private func committed(_ progress: WorkerProgress, _ event: WorkerEvent) {
    if hasWarnedOfFiles.withLock({ !$0 && ManyFiles.isTooMany(progress.filesMax) }) {
      hasWarnedOfFiles.withLock { $0 = true }
      log.warning(ManyFiles.words(progress.filesMax), [.init("event", .string("many_files"))])
    }
    guard !json else { return }
    let line =
      "\(Human.count(progress.records)) records, entry \(progress.ledgerNumber), watermark \(RunReport.time(progress.mergedWatermark) ?? "none yet")"
    if log.format == .text, console.isTerminal { console.status(line) } else { log.debug(line, RunReport.members(event)) }
  }

  /// The most frequent reasons, each with its first record, as long as the minute's lines last.
  private func quarantined(_ rejected: RejectedReasons) {
    self.rejected.withLock { $0.add(rejected) }
    let (admitted, untold) = budget.withLock { budget in
      (
        rejected.top.prefix(RejectedReasons.shownMax).filter { _ in budget.admit(at: clock.monotonicNanoseconds) },
        budget.takeUntold()
      )
    }
    for kind in admitted {
      let sample = kind.sample
      let trace = sample.trace.map { " (trace \($0.traceID), span \($0.spanID))" } ?? ""
      let more = kind.count > 1 ? " (and \(Human.count(kind.count - 1)) more like it in this epoch)" : ""
      let hint = sample.hint.map { "\n  hint: \($0)" } ?? ""
      log.warning(
        "quarantined: the record at position \(sample.position) of \(sample.shard)\(trace): \(kind.stage): \(sample.reason)\(more)\(hint)",
        [.init("event", .string("quarantined"))] + Log.members(kind))
    }
    let counts = rejected.byStage.sorted { $0.key < $1.key }
    let all = counts.reduce(0) { $0 + $1.value }
    log.debug(
      "quarantined: \(all) records of an epoch: \(counts.map { "\($0.key) \($0.value)" }.joined(separator: ", "))",
      [.init("event", .string("quarantined_epoch")), .init("records", .int(all)), .init("suppressed", .int(untold))])
  }

  private static func members(_ event: WorkerEvent) -> [JSONValue.Member] { json(event).members ?? [] }

  private static func json(_ event: WorkerEvent) -> JSONValue {
    switch event {
    case .joined(let number): .members(["event": .string("joined"), "ledger": .int(number)])
    case .assigned(let positions):
      .members([
        "event": .string("assigned"),
        "positions": .object(positions.sorted { $0.key < $1.key }.map { .init($0.key, $0.value.position.json) }),
      ])
    case .revoked(let shards, let isLost):
      .members(["event": .string("revoked"), "shards": .array(shards.map { .string($0) }), "lost": .bool(isLost)])
    case .committed(let progress): .object([.init("event", .string("committed"))] + members(progress))
    case .consumed(let progress): .object([.init("event", .string("consumed"))] + members(progress))
    case .gap(let shard, let from, let to, let reason):
      .members([
        "event": .string("gap"), "shard": .string(shard), "from": from.position.json, "to": to.position.json, "reason": .string(reason),
      ])
    case .processedElsewhere(let shard, let from, let to):
      .members([
        "event": .string("processed_elsewhere"), "shard": .string(shard), "from": from.position.json, "to": to.position.json,
      ])
    case .recreated(let shard, let from, let to, let reason):
      .members([
        "event": .string("recreated"), "shard": .string(shard), "from": from.position.json, "to": to.position.json,
        "reason": .string(reason),
      ])
    case .partitionsAdded(let stream, let before, let added):
      .members([
        "event": .string("partitions_added"), "stream": .string(stream), "before": .int(Int64(before)), "added": .int(Int64(added)),
      ])
    case .streamGone(let stream, let shards):
      .members(["event": .string("stream_gone"), "stream": .string(stream), "shards": .array(shards.map { .string($0) })])
    case .checksAgain(let shards):
      .members(["event": .string("checks_again"), "shards": .array(shards.map { .string($0) })])
    case .unverified(let shard, let reason):
      .members(["event": .string("unverified"), "shard": .string(shard), "reason": .string(reason)])
    case .quarantined(let rejected):
      .members([
        "event": .string("quarantined"),
        "stages": .object(rejected.byStage.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
        "samples": .array(rejected.top.prefix(RejectedReasons.shownMax).map { .object(Log.members($0)) }),
      ])
    case .lookupRefreshed(let name, let hash, let entry):
      .members([
        "event": .string("lookup_refreshed"), "lookup": .string(name), "hash": .string(hash), "entry": .int(entry),
      ])
    case .trouble(let error):
      .members(["event": .string("trouble"), "code": .string(error.code.rawValue), "message": .string(error.message)])
    }
  }

  private static func members(_ progress: WorkerProgress) -> [JSONValue.Member] {
    [
      .init("records", .int(progress.records)), .init("entries", .int(progress.entries)),
      .init("ledger", .int(progress.ledgerNumber)), .init("shards", .int(Int64(progress.shards))),
      .init("complete_through", time(progress.mergedWatermark).map { .string($0) } ?? .null),
      .init("memory_budget", .int(progress.memoryBudget)), .init("memory_peak", .int(progress.memoryPeak)),
    ]
  }

  private static func time(_ watermark: Int64) -> String? {
    watermark == Watermark.minimum || watermark == Watermark.maximum ? nil : CivilTime.text(ofMicroseconds: watermark)
  }

  /// A line of a Kafka client's own log.
  package func log(_ level: Int, _ facility: String, _ text: String) { log.kafka(level, facility, text, isDebugging: isDebugging) }

  /// - Parameter fold: nil: the worker was stopped before it had opened the ledger.
  package func end(_ progress: WorkerProgress, _ fold: LedgerFold?) {
    log.end()
    let elapsed = (ContinuousClock.now - startedAt).components
    let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
    let totals = fold?.counts ?? BucketCounts()
    let rejected = self.rejected.withLock { $0 }
    if json {
      console.data(
        JSONValue.object(
          [.init("event", .string("done"))] + RunReport.members(progress) + [
            .init("in", .int(totals.input)), .init("accepted", .int(totals.accepted)),
            .init("duplicate", .int(totals.duplicate)), .init("filtered", .int(totals.filtered)),
            .init("quarantined", .int(totals.quarantined)), .init("rescued", .int(totals.rescued)), .init("reasons", rejected.json),
            .init("kinds", (fold?.kinds ?? [:]).json),
            .init("out_of_range", fold.map(OutOfRangeText.json) ?? .members([:])),
            .init("seconds", .number(Human.fixed(seconds, 3))),
          ]
        ).text)
      return
    }
    if log.format == .text, console.isTerminal { console.status("") }
    log.info("stopped cleanly; run the same command to resume", [.init("event", .string("done"))] + RunReport.members(progress))
    if log.format == .json { return }
    console.data(
      "records      \(Human.count(totals.input)) in the ledger, \(Human.count(progress.records)) read by this worker in \(Human.seconds(seconds))"
    )
    console.data("  accepted     \(Human.count(totals.accepted))")
    console.data("  duplicate    \(Human.count(totals.duplicate))")
    console.data("  filtered     \(Human.count(totals.filtered))")
    console.data("  quarantined  \(Human.count(totals.quarantined))")
    if !rejected.isEmpty { console.data(rejected.text(indent: "    ")) }
    for line in KindsText.lines(fold?.kinds ?? [:]) { console.data("  \(line)") }
    if let line = fold.flatMap(OutOfRangeText.line) { console.data(line) }
    if progress.memoryPeak > 0 {
      console.data("memory       \(Human.bytes(progress.memoryPeak)) at most, of a budget of \(Human.bytes(progress.memoryBudget))")
      if progress.memoryPeak > progress.memoryBudget {
        log.warning(MemoryWords.over(progress.memoryPeak, of: progress.memoryBudget), [.init("event", .string("over_budget"))])
      }
    }
    console.data("ledger       \(fold.map { $0.number + 1 } ?? 0) entries, \(progress.entries) of them by this worker")
  }
}
