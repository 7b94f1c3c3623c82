import WeirConfiguration
import WeirCore
import WeirEngine
import WeirOperators
import WeirProtocol
import WeirReport
import WeirRuntime

/// `weir ledger show | verify | restore-tables`.
package enum LedgerCommands {
  package static func show(pipeline file: String, lake: String?, json: Bool, console: Console) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.readWithoutLookups(file)
    let wiring = try await Wiring(try Places(pipeline, lake: lake, store: nil), withState: false, isLooking: true)
    let layout = LedgerLayout(pipeline: pipeline.plan.pipeline)
    let ledger = try await Ledger.required(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random)
    let fold = await ledger.fold
    for number in 0...fold.number {
      guard let entry = try await ledger.read(number) else { continue }
      if json {
        console.json(Array(entry.bytes))
      } else {
        console.data(TerminalText.inline(line(entry)))
      }
      try console.check()
    }
    if !json { console.data(foot(fold)) }
    return 0
  }

  static func line(_ entry: LedgerEntry) -> String {
    if let genesis = entry.genesis {
      return "\(entry.number)  ledger \(genesis.ledgerID), \(genesis.lanes.count) lanes by \(genesis.dealing?.rawValue ?? "shard")"
    }
    var counts = BucketCounts()
    for lane in entry.lanes { counts += lane.counts }
    let files = entry.tables.reduce(0) { $0 + $1.files.count }
    let decisions = entry.lanes.flatMap(\.decisions).map { decision in
      switch decision {
      case .endOfInput: "end of input"
      case .lookup(let name, let hash, _): "lookup \(name) is \(hash.prefix(12))"
      case .lookupRefreshed(let name, let hash, _): "lookup \(name) is \(hash.prefix(12)) from the next entry on"
      case .lookupUsed(let name, let hash, _): "lookup \(name) was \(hash.prefix(12)) for these records"
      case .extensible: "may grow"
      case .lanesListed(let lanes, _): "lanes \(lanes.map(\.text).joined(separator: ", "))"
      case .idle: "idle"
      case .plan(_, let hash, _): "plan \(hash.prefix(12)) replaces the previous plan"
      case .wake: "wake"
      case .shardClosed(_, let children): "shard closed; its keys are in \(children.map(\.lane.text).joined(separator: ", "))"
      case .clock(let at): "clock \(CivilTime.text(ofMicroseconds: at))"
      case .recreated(let from, let to, let reason): "recreated: read from \(to) instead of \(from): \(reason)"
      case .unverified(let reason): "unverified: \(reason)"
      case .partitionsAdded(let added):
        "\(added.stream) has \(added.added.count) more partitions than its \(added.before.count); tables by key are merged from here on"
      case .gap(let from, let to, let reason): "gap \(from) to \(to): \(reason)"
      case .partitioner(let stream, let rules): "keys of \(stream) are partitioned by \(rules.map(\.rawValue).joined(separator: " or "))"
      }
    }
    return
      "\(entry.number)  \(position(entry))watermark \(watermark(entry.mergedWatermark))  in \(counts.input) = \(counts.accepted) accepted + \(counts.duplicate) duplicate + \(counts.filtered) filtered + \(counts.quarantined) quarantined\(blank(counts))  \(files) files"
      + (decisions.isEmpty ? "" : "  [\(decisions.joined(separator: "; "))]")
  }

  /// Lanes of a topic that a line names; the entry has all of them (`--json`).
  private static let lanesToldMax = 4

  /// Up to where an entry's lanes are: a byte of a plain capture, which its lanes share, or positions of a topic's partitions. The
  /// merge lane's is a number of entries.
  private static func position(_ entry: LedgerEntry) -> String {
    let lanes = entry.lanes.filter { $0.lane != .merge }
    guard let first = lanes.first else { return "" }
    guard first.lane.shard.contains("/") else { return "to byte \(first.to.text)  " }
    let told = lanes.prefix(lanesToldMax).map { "\($0.lane.text) to \($0.to.text)" }.joined(separator: ", ")
    return told + (lanes.count > lanesToldMax ? " and \(lanes.count - lanesToldMax) more  " : "  ")
  }

  private static func watermark(_ w: Int64) -> String {
    w == Watermark.minimum ? "none" : w == Watermark.maximum ? "closed" : CivilTime.text(ofMicroseconds: w)
  }

  private static func foot(_ fold: LedgerFold) -> String {
    let t = fold.counts
    return
      "total  in \(t.input) = \(t.accepted) accepted + \(t.duplicate) duplicate + \(t.filtered) filtered + \(t.quarantined) quarantined\(blank(t))\(rescued(t))"
      + KindsText.lines(fold.kinds).map { "\n  \($0)" }.joined()
  }

  /// Blank lines are in no sum.
  private static func blank(_ counts: BucketCounts) -> String {
    counts.blankLines == 0 ? "" : ", and \(counts.blankLines) blank lines"
  }

  /// They are among the accepted.
  private static func rescued(_ counts: BucketCounts) -> String {
    counts.rescued == 0 ? "" : "; \(counts.rescued) of the accepted have members that no field reads"
  }

  /// - Returns: 0; 1 when something is damaged; 2 when something could not be looked at.
  package static func verify(pipeline file: String, lake: String?, store: String?, json: Bool, console: Console) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(file, withLedgerIn: lake)
    let wiring = try await Wiring(try Places(pipeline, lake: lake, store: store), withState: false, isLooking: true)
    let compiled = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
    var state: (any StateTableReader)?
    var note: Wording?
    var isDamaged = false
    var unread: String?
    if !pipeline.plan.state.isEmpty {
      do {
        let table = try AdapterRegistry.standard.stateTable(at: wiring.store, thread: wiring.stateThread)
        // Marks that are not compared, and pages that no row is in.
        try await table.check()
        state = table
      } catch let error as WeirError where [.corrupt, .stateReplaced, .stateMissing, .uncleanStop].contains(error.code) {
        // Damage is a problem; else there is nothing to compare.
        isDamaged = error.code == .corrupt || error.code == .stateReplaced
        note = isDamaged ? error.wording : "\(error.message): not compared"
      } catch let error as WeirError {
        // The lake is verified all the same.
        unread = error.message
      }
    }
    var result = try await LedgerVerify.run(compiled, state: state, environment: wiring.environment())
    if let unread { result.unread.append(unread) }
    if let note { if isDamaged { result.problems.append(note) } else { result.notices.append(note) } }
    func texts(_ all: [String]) -> JSONValue { .array(all.map { .string($0) }) }
    if json {
      console.data(
        JSONValue.members([
          "ok": .bool(result.exitCode == 0), "entries": .int(result.entries), "files": .int(result.files),
          "blobs": .int(result.blobs), "commits": .int(result.commits), "bytes": .int(result.bytes),
          "problems": texts(result.problems.map(\.words)), "notices": texts(result.notices.map(\.words)), "unread": texts(result.unread),
        ]).text)
    } else {
      for problem in result.problems { console.talk(problem.words) }
      for look in result.unread { console.talk("could not read: \(look)") }
      for notice in result.notices { console.talk("notice: \(notice.words)") }
      console.data(
        "\(result.entries) entries, \(result.files) data files, \(result.blobs) blobs, \(result.commits) Delta commits, \(Human.bytes(result.bytes)): \(LedgerCommands.verdict(result))"
      )
    }
    return result.exitCode
  }

  private static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

  private static func verdict(_ result: LedgerVerify.Result) -> String {
    var parts: [String] = []
    if !result.problems.isEmpty { parts.append(counted(result.problems.count, "problem")) }
    if !result.unread.isEmpty { parts.append("\(result.unread.count) could not be read") }
    if parts.isEmpty { parts.append("all agree") }
    if !result.notices.isEmpty { parts.append(counted(result.notices.count, "notice")) }
    return parts.joined(separator: ", ")
  }

  /// Takes tables that are ahead of the ledger, or beside it, back to it (``TableRestore``).
  package static func restoreTables(
    pipeline file: String, lake: String?, store: String?, isDry: Bool, json: Bool, console: Console
  ) async throws -> Int32 {
    let pipeline = try await LoadedPipeline.read(file, withLedgerIn: lake)
    let wiring = try await Wiring(Places(pipeline, lake: lake, store: store), withState: false)
    let compiled = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
    let reports = try await TableRestore.run(compiled, environment: wiring.environment(), isDry: isDry)
    func texts(_ all: [String]) -> JSONValue { .array(all.map { .string($0) }) }
    let layout = LedgerLayout(pipeline: pipeline.plan.pipeline)
    let head = try await Ledger.open(
      layout, store: wiring.lake, clock: wiring.clock, random: wiring.random, allowsHoles: true)?.fold.number
    for report in reports {
      if json {
        console.data(
          JSONValue.members([
            "table": .string(report.table), "dry_run": .bool(isDry), "from": report.from.map { .int($0) } ?? .null, "to": .int(report.to),
            "removed": texts(report.removed), "added": texts(report.added),
          ]).text)
        continue
      }
      let from = report.from.map { "entry \($0)" } ?? "no log"
      // The table is taken back, and then follows the ledger as a worker's does.
      let after = head.flatMap { $0 == report.to ? nil : "; \(isDry ? "the restore then brings it" : "then brought") to entry \($0)" } ?? ""
      console.data(
        "\(report.table): from \(from) to entry \(report.to), \(report.removed.count) files removed, \(report.added.count) added\(after)")
      for path in report.removed { console.data("  - \(path)") }
      for path in report.added { console.data("  + \(path)") }
    }
    let lost = try await TableRestore.lostEntries(compiled, environment: wiring.environment())
    if !json {
      console.talk(
        reports.isEmpty
          ? (lost == nil ? "all tables match the ledger" : "all tables match the ledger's snapshot")
          : isDry ? "dry run: nothing was written" : "\(reports.count) tables restored")
    }
    if !pipeline.plan.state.isEmpty { try await mentionState(wiring, pipeline.plan, console) }
    guard let lost else { return 0 }
    console.talk(
      "the ledger has lost entries: \(lost.count) missing, the first is \(lost.first). The tables were compared with its snapshot alone.\n  Restore the files from a copy of the lake. Workers continue without them, and `weir ledger verify` reports them as missing."
    )
    return 1
  }

  /// The state table is not restored here: the next run does that by itself.
  private static func mentionState(_ wiring: Wiring, _ plan: Plan, _ console: Console) async throws {
    let layout = LedgerLayout(pipeline: plan.pipeline)
    // A store that is missing or damaged is rebuilt too.
    let state: any StateTableReader
    do { state = try AdapterRegistry.standard.stateTable(at: wiring.store, thread: wiring.stateThread) } catch {
      if ![.corrupt, .stateReplaced, .stateMissing, .uncleanStop].contains(error.code) {
        console.talk("the state table was not compared: \(error.message)")
      }
      return
    }
    guard let ledger = try await Ledger.open(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random) else { return }
    let id = Array(await ledger.fold.genesis.ledgerID.utf8)
    for table in plan.state {
      // Another ledger's: neither a run nor a rebuild would take it.
      guard let owner = try? await state.readMeta("owner/\(table.name)"), owner != id else { continue }
      return console.talk("the state table \(table.name) in \(wiring.store) belongs to another ledger: not compared")
    }
    guard let entry = try? await StateProof.strangeEntry(state, ledger) else { return }
    console.talk(
      "the state table in \(wiring.store) has rows of an entry \(entry) that the ledger does not have: the next run rebuilds it; `weir state rebuild PIPELINE` rebuilds it now"
    )
  }
}
