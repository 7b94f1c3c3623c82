import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirProtocol

/// What a replay tells: a progress bar on a terminal, JSON lines for programs, a summary at the end.
package final class ReplayReport: Sendable {
  private struct State {
    /// How much of the input is consumed, 0 to 1; nil: nobody knows.
    var share: @Sendable () -> Double? = { nil }
    var startedAt = ContinuousClock.now
    var lastAt = ContinuousClock.now
    var startPosition: Int64 = 0
    var hasWarnedOfFiles = false
  }

  private let console: Console
  private let json: Bool
  private let memory: MemoryBudget
  /// The most that the worker has had of its budget.
  private let peakBytes: @Sendable () -> Int64
  private let state = Mutex(State())

  package init(console: Console, json: Bool, memory: MemoryBudget, peakBytes: @escaping @Sendable () -> Int64) {
    self.peakBytes = peakBytes
    self.console = console
    self.memory = memory
    self.json = json
  }

  package func begin(from position: Int64, share: @escaping @Sendable () -> Double?) {
    state.withLock {
      $0.share = share
      $0.startPosition = position
      $0.startedAt = .now
    }
    if position > 0 { console.talk("resuming at byte \(Human.count(position)), the ledger's position") }
  }

  /// Called after every block; tells at most four times a second.
  package func progress(_ progress: WorkerProgress) {
    let now = ContinuousClock.now
    let isNews = state.withLock { state in
      guard !state.hasWarnedOfFiles, ManyFiles.isTooMany(progress.filesMax) else { return false }
      state.hasWarnedOfFiles = true
      return true
    }
    if isNews { console.talk("weir: " + ManyFiles.words(progress.filesMax)) }
    let due: (@Sendable () -> Double?, Double, Int64)? = state.withLock { state in
      guard now - state.lastAt > .milliseconds(json ? 1000 : 250) else { return nil }
      state.lastAt = now
      return (state.share, ReplayReport.seconds(now - state.startedAt), state.startPosition)
    }
    guard let (shareNow, seconds, start) = due else { return }
    let share = shareNow()
    if json {
      console.data(
        JSONValue.members([
          "event": .string("progress"), "records": .int(progress.records), "position": .int(progress.position),
          "watermark": watermark(progress.watermark), "seconds": .number(Human.fixed(seconds, 3)),
          "share": share.map { .number(Human.fixed(min(1, $0), 4)) } ?? .null,
        ]).text)
    } else if console.isTerminal {
      console.status(line(progress, seconds, start, share))
    }
  }

  private func line(_ progress: WorkerProgress, _ seconds: Double, _ start: Int64, _ share: Double?) -> String {
    let mb = Double(progress.position - start) / 1e6 / max(seconds, 1e-3)
    var text = "\(Human.count(progress.records)) records  \(Human.fixed(mb, 0)) MB/s"
    if progress.watermark != Watermark.minimum { text += "  watermark \(CivilTime.text(ofMicroseconds: progress.watermark))" }
    guard let share else { return text }
    let filled = Int(share * 24)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: max(0, 24 - filled))
    let left = share > 0.01 ? seconds / share * (1 - share) : 0
    return "\(bar) \(Human.fixed(share * 100, 0))%  \(text)  \(Human.seconds(left)) left"
  }

  private func watermark(_ w: Int64) -> JSONValue {
    w == Watermark.minimum || w == Watermark.maximum ? .null : .string(CivilTime.text(ofMicroseconds: w))
  }

  static func reason(_ reason: StateRebuild.Reason) -> String {
    switch reason {
    case .missing: "the state table was missing, or the machine had stopped while it was written"
    case .ahead: "the state table had rows of entries that the ledger does not have"
    case .behind: "the state table did not have all entries of the ledger"
    }
  }

  private static func seconds(_ d: Duration) -> Double {
    Double(d.components.seconds) + Double(d.components.attoseconds) / 1e18
  }

  /// The most memory that this process has had, mapped files with it.
  private static var peakResidentBytes: Int64? {
    // Not getrusage: its number may be that of the program that started this one.
    guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int64($0) }.map { $0 << 10 }
  }

  // MARK: The end

  package func end(_ end: WorkerEnd, _ progress: WorkerProgress, _ fold: LedgerFold, latency: LatencyMeter.Summary?) {
    let seconds = state.withLock { ReplayReport.seconds(.now - $0.startedAt) }
    let tables = fold.tables.sorted { $0.key < $1.key }.map {
      TableTotals(name: $0.key, rows: $0.value.rows, files: $0.value.files, bytes: $0.value.bytes)
    }
    if json {
      console.data(summary(end, progress, fold, tables, seconds, latency).text)
      return
    }
    if console.isTerminal { console.status("") }
    switch end {
    case .unchanged: console.talk("the capture was already consumed and has not changed: nothing to do")
    case .interrupted: console.talk("stopped cleanly after a commit; run the same command to resume")
    case .keptOpen: console.talk("the capture is consumed; its windows stay open (--keep-open)")
    case .finished: console.talk("the capture is consumed and its windows are closed")
    }
    if let rebuilt = progress.stateRebuilt {
      console.talk("\(ReplayReport.reason(rebuilt.reason)): rebuilt, \(Human.count(Int64(rebuilt.rows))) rows")
    }
    let totals = fold.counts
    let rate = Double(progress.records) / max(seconds, 1e-9)
    console.data(
      "records      \(Human.count(totals.input)) in the ledger, \(Human.count(progress.records)) read now in \(Human.seconds(seconds)) (\(Human.rate(rate)))"
    )
    console.data("  accepted     \(Human.count(totals.accepted))")
    console.data("  duplicate    \(Human.count(totals.duplicate))")
    console.data("  filtered     \(Human.count(totals.filtered))")
    console.data("  quarantined  \(Human.count(totals.quarantined))")
    if !progress.rejected.isEmpty { console.data(progress.rejected.text(indent: "    ")) }
    for line in KindsText.lines(fold.kinds) { console.data("  \(line)") }
    if totals.blankLines > 0 { console.data("blank lines  \(Human.count(totals.blankLines)), skipped: they are not records") }
    if let line = ReplayReport.rescued(totals.rescued) { console.data(line) }
    if let line = OutOfRangeText.line(fold) { console.data(line) }
    if progress.uncounted > 0 {
      console.talk(
        "\(Human.count(progress.uncounted)) \(progress.uncounted == 1 ? "record" : "records") did not move the watermark: the event time is far ahead of the records around it, or the stream has too few records to decide. To quarantine such records, set record.time.max_ahead to a duration; to trust all times, set it to off."
      )
    }
    if let position = progress.waitsFrom {
      console.talk(
        "The records from byte \(position) on wait for the next part of the capture: the event time of the first one is far ahead, and too few records follow to say whether its clock is wrong. Without --keep-open a run decides by what is there, and record.time.max_ahead: off trusts every record."
      )
    }
    if let first = progress.firstOther {
      console.talk(
        "The files of \(Human.count(progress.otherEntries)) entries have other bytes than those of the live run; the first is \(first). Either the capture has other records than the live run read, or another version of Weir made the live run's files. Compare the tables if the versions are the same."
      )
    }
    if let latency {
      let parts = [("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p99.9", latency.p999), ("max", latency.max)]
      console.data(
        "latency      \(parts.map { "\($0) \(Human.fixed(Double($1) / 1e6, 1)) ms" }.joined(separator: ", ")) from arrival to visible state"
      )
    }
    let peak = peakBytes()
    let resident = ReplayReport.peakResidentBytes.map { ", at most \(Human.bytes($0)) resident with mapped files" } ?? ""
    console.data(
      "memory       \(Human.bytes(peak)) at most, of a budget of \(Human.bytes(memory.total)); \(Human.bytes(progress.state.total)) of state at the end\(resident)"
    )
    if peak > memory.total {
      console.talk("weir: " + MemoryWords.over(peak, of: memory.total))
    }
    console.data("ledger       \(fold.number + 1) entries, \(progress.entries) of them new")
    for table in tables {
      console.data(
        "table        \(table.name.padding(toLength: max(28, table.name.count), withPad: " ", startingAt: 0)) \(Human.count(table.rows)) rows in \(table.files) files, \(Human.bytes(table.bytes))"
      )
    }
  }

  /// The exit code of a replay that was not interrupted; says why it is not 0.
  package func exitCode(_ plan: Plan, _ fold: LedgerFold) -> Int32 {
    let totals = fold.counts
    guard plan.quarantine.isTooMuch(totals.quarantined, of: totals.input) else { return 0 }
    let share = Human.fixed(Double(totals.quarantined) / Double(totals.input) * 100, 1)
    let limit = Human.fixed((plan.quarantine.exitAbove ?? QuarantineSpec.exitAboveByDefault) * 100, 0)
    console.talk(
      "weir: \(share)% of the ledger's records were rejected, more than \(limit)%: exit code 3\n  Everything is committed; the reasons are in quarantine/\(plan.source.stream). quarantine: {exit_above: …%} sets the limit."
    )
    return ReplayReport.exitCodeTooMuchRejected
  }
  private static let exitCodeTooMuchRejected: Int32 = 3

  private static func rescued(_ count: Int64) -> String? {
    switch count {
    case 0: nil
    case 1: "rescued      1 accepted record has members that no field reads: see _rescued"
    default: "rescued      \(Human.count(count)) accepted records have members that no field reads: see _rescued"
    }
  }

  private func summary(
    _ end: WorkerEnd, _ progress: WorkerProgress, _ fold: LedgerFold, _ tables: [TableTotals], _ seconds: Double,
    _ latency: LatencyMeter.Summary?
  ) -> JSONValue {
    let totals = fold.counts
    return .members([
      "event": .string("done"), "end": .string("\(end)"), "records": .int(progress.records), "in": .int(totals.input),
      "accepted": .int(totals.accepted), "duplicate": .int(totals.duplicate), "filtered": .int(totals.filtered),
      "quarantined": .int(totals.quarantined), "blank_lines": .int(totals.blankLines), "rescued": .int(totals.rescued),
      "reasons": progress.rejected.json,
      "kinds": fold.kinds.json,
      "out_of_range": OutOfRangeText.json(fold),
      "epochs": .int(progress.entries),
      "entries": .int(fold.number + 1),
      "seconds": .number(Human.fixed(seconds, 3)),
      "records_per_second": .int(Int64(Double(progress.records) / max(seconds, 1e-9))),
      "tables": .array(
        tables.map {
          .members(["table": .string($0.name), "rows": .int($0.rows), "files": .int($0.files), "bytes": .int($0.bytes)])
        }),
      "latency_ms": LatencyReport.json(latency),
      "unchanged": .bool(end == .unchanged), "far_ahead": .int(progress.uncounted),
      "waits_from": progress.waitsFrom.map { .int($0) } ?? .null, "other_entries": .int(progress.otherEntries),
      "memory": .members([
        "budget": .int(memory.total), "epoch_max": .int(memory.epochMax), "state_max": .int(memory.stateMax),
        "dedup": .int(progress.state.dedup), "windows": .int(progress.state.windows), "keyed": .int(progress.state.keyed),
        "peak": .int(peakBytes()),
        "peak_resident": ReplayReport.peakResidentBytes.map { .int($0) } ?? .null,
      ]),
      "state_rows_rebuilt": progress.stateRebuilt.map { .int(Int64($0.rows)) } ?? .null,
    ])
  }
}

/// Sums and means of doubles that no double can hold, in summaries.
enum OutOfRangeText {
  /// nil: there are none.
  static func line(_ fold: LedgerFold) -> String? {
    let counts = fold.outOfRange.sorted { $0.key < $1.key }
    guard !counts.isEmpty else { return nil }
    return "null         \(counts.map { "\(Human.count($1)) in \($0)" }.joined(separator: ", ")): sums and means that no double can hold"
  }

  static func json(_ fold: LedgerFold) -> JSONValue {
    .object(fold.outOfRange.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) })
  }
}

/// Rows and files of a table, by the ledger.
struct TableTotals: Sendable {
  var name: String
  var rows: Int64
  var files: Int64
  var bytes: Int64
}
