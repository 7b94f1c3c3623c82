import Foundation
import Synchronization
import WeirCore
import WeirEngine
import WeirProtocol

/// What a live worker tells: words on standard error, JSON lines on standard output.
final class RunReport: Sendable {
  /// syslog's number of the least that is told of the client's own log: warnings; all where its `debug` option is set.
  private let logLevelMax: Int

  private let console: Console
  private let json: Bool
  private let startedAt = ContinuousClock.now

  init(console: Console, json: Bool, isDebugging: Bool) {
    self.console = console
    self.json = json
    logLevelMax = isDebugging ? 7 : 4
  }

  func tell(_ event: LiveEvent) {
    if json { return console.data(RunReport.json(event).text) }
    switch event {
    case .joined(let number): console.talk("joined; the ledger stands at entry \(number)")
    case .assigned(let positions):
      let all = positions.sorted { $0.key < $1.key }.map { "\($0.key) from \($0.value)" }
      console.talk("reads \(all.isEmpty ? "nothing: there are more workers than partitions" : all.joined(separator: ", "))")
    case .revoked(let shards, let isLost): console.talk("\(isLost ? "lost" : "handed over") \(shards.joined(separator: ", "))")
    case .committed(let progress):
      let line = "\(Human.count(progress.records)) records, entry \(progress.ledgerNumber), complete through \(RunReport.time(progress.mergedWatermark) ?? "nothing yet")"
      if console.isTerminal { console.status(line) }
    case .gap(let shard, let from, let to, let reason):
      console.talk("LOST: positions \(from) to \(to) of \(shard), \(reason); the ledger has an entry that says so")
    case .trouble(let error): console.talk("weir: \(error.description)\n  The worker goes on.")
    }
  }

  private static func json(_ event: LiveEvent) -> JSONValue {
    switch event {
    case .joined(let number): .members(["event": .string("joined"), "ledger": .int(number)])
    case .assigned(let positions):
      .members([
        "event": .string("assigned"),
        "positions": .object(positions.sorted { $0.key < $1.key }.map { .init($0.key, .int($0.value)) }),
      ])
    case .revoked(let shards, let isLost):
      .members(["event": .string("revoked"), "shards": .array(shards.map { .string($0) }), "lost": .bool(isLost)])
    case .committed(let progress): .object([.init("event", .string("committed"))] + members(progress))
    case .gap(let shard, let from, let to, let reason):
      .members([
        "event": .string("gap"), "shard": .string(shard), "from": .int(from), "to": .int(to), "reason": .string(reason),
      ])
    case .trouble(let error):
      .members(["event": .string("trouble"), "code": .string(error.code), "message": .string(error.message)])
    }
  }

  private static func members(_ progress: LiveProgress) -> [JSONValue.Member] {
    [
      .init("records", .int(progress.records)), .init("entries", .int(progress.entries)),
      .init("ledger", .int(progress.ledgerNumber)), .init("shards", .int(Int64(progress.shards))),
      .init("complete_through", time(progress.mergedWatermark).map { .string($0) } ?? .null),
    ]
  }

  private static func time(_ watermark: Int64) -> String? {
    watermark == Watermark.minimum || watermark == Watermark.maximum ? nil : CivilTime.text(ofMicroseconds: watermark)
  }

  /// A line of the Kafka client's own log.
  func log(_ level: Int, _ facility: String, _ text: String) {
    guard level <= logLevelMax else { return }
    console.talk("kafka \(facility): \(text)")
  }

  func end(_ progress: LiveProgress, _ fold: LedgerFold) {
    let elapsed = (ContinuousClock.now - startedAt).components
    let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
    let totals = fold.counts
    if json {
      console.data(
        JSONValue.object(
          [.init("event", .string("done"))] + RunReport.members(progress) + [
            .init("in", .int(totals.input)), .init("accepted", .int(totals.accepted)),
            .init("duplicate", .int(totals.duplicate)), .init("filtered", .int(totals.filtered)),
            .init("quarantined", .int(totals.quarantined)), .init("seconds", .number(Human.fixed(seconds, 3))),
          ]
        ).text)
      return
    }
    if console.isTerminal { console.status("") }
    console.talk("stopped in order; run the same command again to go on")
    console.data("records      \(Human.count(totals.input)) in the ledger, \(Human.count(progress.records)) read by this worker in \(Human.seconds(seconds))")
    console.data("  accepted     \(Human.count(totals.accepted))")
    console.data("  duplicate    \(Human.count(totals.duplicate))")
    console.data("  filtered     \(Human.count(totals.filtered))")
    console.data("  quarantined  \(Human.count(totals.quarantined))")
    console.data("ledger       \(fold.number + 1) entries, \(progress.entries) of them by this worker")
  }
}
