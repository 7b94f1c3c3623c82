import WeirCore
import WeirEngine
import WeirOperators
import WeirProtocol

/// `weir ledger show | verify`.
public enum LedgerCommands {
  public static func show(pipeline file: String, lake: String?, json: Bool, console: Console) async throws -> Int32 {
    let pipeline = try loadPipeline(file: file)
    let wiring = try Wiring(Places(pipeline, lake: lake, store: nil), withState: false)
    let layout = LedgerLayout(pipeline: pipeline.plan.pipeline)
    let ledger = try await Ledger.required(layout, store: wiring.lake, clock: wiring.clock, random: wiring.random)
    let fold = await ledger.fold
    for number in 0...fold.number {
      guard let entry = try await ledger.read(number) else { continue }
      if json {
        console.data(Array(entry.bytes))
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
      case .extensible: "may grow"
      case .lanesListed(let lanes, _): "lanes \(lanes.map(\.text).joined(separator: ", "))"
      case .idle: "idle"
      case .wake: "wake"
      case .gap(let from, let to, let reason): "gap \(from.text) to \(to.text): \(reason)"
      case .partitioner(let stream, let rules): "keys of \(stream) lie by \(rules.map(\.rawValue).joined(separator: " or "))"
      }
    }
    return
      "\(entry.number)  \(position(entry))watermark \(watermark(entry.mergedWatermark))  in \(counts.input) = \(counts.accepted) accepted + \(counts.duplicate) duplicate + \(counts.filtered) filtered + \(counts.quarantined) quarantined  \(files) files"
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
      "total  in \(t.input) = \(t.accepted) accepted + \(t.duplicate) duplicate + \(t.filtered) filtered + \(t.quarantined) quarantined"
  }

  /// - Returns: 0, or 1 when something does not agree.
  public static func verify(pipeline file: String, lake: String?, store: String?, json: Bool, console: Console) async throws -> Int32 {
    let pipeline = try loadPipeline(file: file)
    let wiring = try Wiring(Places(pipeline, lake: lake, store: store), withState: false)
    let compiled = CompiledPlan(pipeline.plan, lookups: pipeline.lookups)
    let result = try await LedgerVerify.run(compiled, environment: wiring.environment())
    if json {
      console.data(
        JSONValue.members([
          "ok": .bool(result.problems.isEmpty), "entries": .int(result.entries), "files": .int(result.files),
          "blobs": .int(result.blobs), "commits": .int(result.commits), "bytes": .int(result.bytes),
          "problems": .array(result.problems.map { .string($0) }), "notes": .array(result.notes.map { .string($0) }),
        ]).text)
    } else {
      for problem in result.problems { console.talk(problem) }
      for note in result.notes { console.talk(note) }
      console.data(
        "\(result.entries) entries, \(result.files) data files, \(result.blobs) blobs, \(result.commits) Delta commits, \(Human.bytes(result.bytes)): \(result.problems.isEmpty ? "all agree" : "\(result.problems.count) problems")"
      )
    }
    return result.problems.isEmpty ? 0 : 1
  }
}
