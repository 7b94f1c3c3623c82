import Synchronization
import WeirCore
import WeirOperators
import WeirParquet
import WeirProtocol

/// Publishes tables to topics: a follower of the ledger like the tables, but one that waits for other machines, so
/// it runs in parallel to the commits and not between them. What ``SinkMachine`` says is carried out here.
///
/// Bounds: records are sent a chunk at a time, at most ``bufferedMax`` bytes wait for their acknowledgement, one data file and one
/// row group of it are in memory, and workers stop reading when a topic is `behindMax` entries behind (``isBehind(_:)``).
actor SinkPump {
  /// Bytes that were sent and are not acknowledged.
  static let bufferedMax = 16 << 20
  private static let chunkRows = 1000
  /// Between two looks at the markers of another worker that has entries to publish: no message says how far it is.
  private static let lookNanoseconds: Int64 = 1_000_000_000
  private static let flushNanoseconds: Int64 = 500_000_000
  /// How long an orderly end may be held up; what is left is the next run's.
  private static let drainNanoseconds: Int64 = 15_000_000_000
  /// The same for one that a caller waits for, since anything was acknowledged.
  private static let patienceNanoseconds: Int64 = 2_000_000_000
  /// An unreachable sink is reported this often.
  private static let tellNanoseconds: Int64 = 30_000_000_000

  /// Ends a wait because its end is no longer needed.
  private struct Stopped: Error {}
  /// A topic's marker is not where it was read: look again.
  private struct Moved: Error {}

  private struct Route {
    var spec: SinkSpec.Route
    var rows: SinkRows
    let markers: SinkMarkers
    /// As of the marker that was last read or written; nil: not looked yet.
    var through: Int64?
  }

  private let spec: SinkSpec
  private let environment: EngineEnvironment
  private let effects: SinkEnvironment
  private let ledger: Ledger
  private let ledgerID: String
  private var routes: [Route]
  private var sink: (any RecordSink)?
  private var buffered = 0
  private var toldAt: Int64?
  private let hasFailed = Flag()
  /// It no longer runs: no caller may wait for it.
  private let hasEnded = Flag()
  /// Rung when the ledger has more entries, and when another worker may lead.
  nonisolated let news = Alarm()
  /// Rung when a topic has come nearer to the ledger, and when nothing is published any more.
  nonisolated let advanced = Alarm()
  /// When everything that had been sent was acknowledged last.
  private let acknowledged = Moment()

  /// nil for a plan without topics.
  init?(environment: EngineEnvironment, ledger: Ledger, ledgerID: String, plan: Plan) {
    guard let spec = plan.sinks, let effects = environment.sinks else { return nil }
    self.spec = spec
    self.environment = environment
    self.effects = effects
    self.ledger = ledger
    self.ledgerID = ledgerID
    let layouts = TableLayout.all(plan)
    routes = spec.routes.compactMap { route in
      layouts.first { $0.table == route.table }.map {
        Route(
          spec: route, rows: SinkRows($0, plan: plan, ledgerID: ledgerID), markers: SinkMarkers(route, ledger, environment.lake),
          through: nil)
      }
    }
  }

  /// All topics hold everything through this entry; -1 before anybody looked.
  var through: Int64 { routes.map { $0.through ?? -1 }.min() ?? Int64.max }

  /// Whether reading must wait for the topics (law 5).
  func isBehind(_ number: Int64) -> Bool { routes.contains { number - ($0.through ?? number) > spec.behindMax } }

  // MARK: Running

  /// When an orderly end is over: this long after it began; if a caller waits for it, when nothing was acknowledged for a shorter time.
  private final class Deadline: Sendable {
    private let began = Atomic<Int64>(.max)
    private let acknowledged: Moment
    private let clock: any Clock
    private let isDone: @Sendable () -> Bool
    private let isAwaited: @Sendable () -> Bool

    init(
      _ clock: any Clock, since acknowledged: Moment, isDone: @escaping @Sendable () -> Bool, isAwaited: @escaping @Sendable () -> Bool
    ) {
      self.clock = clock
      self.acknowledged = acknowledged
      self.isDone = isDone
      self.isAwaited = isAwaited
    }

    var hasPassed: Bool {
      guard isDone() else { return false }
      let now = clock.monotonicNanoseconds
      let (isFirst, known) = began.compareExchange(expected: .max, desired: now, ordering: .relaxed)
      if isFirst { return false }
      let still = now - max(known, acknowledged.at.load(ordering: .relaxed))
      return now - known >= SinkPump.drainNanoseconds || isAwaited() && still >= SinkPump.patienceNanoseconds
    }
  }

  /// Monotonic nanoseconds.
  private final class Moment: Sendable { let at = Atomic<Int64>(0) }

  /// Publishes until `isDone`, then what is left, within a time. What is being published then is not started again: an orderly
  /// end repeats nothing.
  ///
  /// - Parameters:
  ///   - isAwaited: a caller waits for the end: it is not held up for brokers that acknowledge nothing.
  ///   - leads: whether this worker publishes; another only looks at the markers. One is enough; two do no harm.
  func run(
    until isDone: Flag, isAwaited: @escaping @Sendable () -> Bool = { false }, leads: @Sendable () async -> Bool
  ) async throws {
    let clock = environment.clock
    let deadline = Deadline(clock, since: acknowledged, isDone: { isDone.isRaised }, isAwaited: isAwaited)
    isDone.whenRaised { [news] in news.ring() }
    defer {
      hasEnded.raise()
      advanced.ring()
    }
    do {
      while !isDone.isRaised {
        let isLeading = await leads()
        if isLeading {
          try await follow(to: await ledger.fold.number) { deadline.hasPassed }
        } else {
          try await look()
        }
        if isDone.isRaised { break }
        let (known, head) = (through, await ledger.fold.number)
        await news.wait(until: isLeading || known >= head ? nil : clock.monotonicNanoseconds + SinkPump.lookNanoseconds, clock)
      }
      if await leads() { try await follow(to: await ledger.fold.number) { deadline.hasPassed } }
      await close()
    } catch {
      hasFailed.raise()
      await close()
      throw error
    }
  }

  /// Publishes in parallel to a run of a worker that has all lanes: everything that is there before it, what comes during it, and the rest
  /// after it. Waits for a sink until it is interrupted.
  /// - Parameter body: gets a flag that is raised when it is to end: with `stop`, or when publishing has failed.
  nonisolated func beside<T: Sendable>(
    until stop: Flag, _ body: @escaping @Sendable (Flag) async throws -> T
  ) async throws -> T {
    try await catchUp { stop.isRaised }
    let (isDone, interruption) = (Flag(), Flag())
    let watcher = stop.whenRaised {
      isDone.raise()
      interruption.raise()
    }
    defer { stop.forget(watcher) }
    hasFailed.whenRaised { interruption.raise() }
    let result = try await withThrowingTaskGroup(of: T?.self) { group in
      group.addTask {
        defer { isDone.raise() }
        return try await body(interruption)
      }
      group.addTask {
        try await self.run(until: isDone, isAwaited: { stop.isRaised }) { true }
        return nil
      }
      var result: T?
      for try await end in group { result = end ?? result }
      return result
    }
    guard let result else { throw WeirError(.internal, "a body neither returned nor threw") }
    try await catchUp { stop.isRaised }
    return result
  }

  private func catchUp(until isStopped: @Sendable () -> Bool) async throws {
    do { try await follow(to: await ledger.fold.number, until: isStopped) } catch {
      await close()
      throw error
    }
    await close()
  }

  /// Waits until the topics are near enough, for a worker whose commits wait.
  func admit(_ number: Int64) async {
    while isBehind(number), !hasEnded.isRaised { await advanced.wait(until: nil, environment.clock) }
  }

  /// Brings all topics up to entry `target`.
  private func follow(to target: Int64, until isStopped: @Sendable () -> Bool) async throws {
    for i in routes.indices {
      while true {
        do {
          try await follow(i, to: target, until: isStopped)
          break
        } catch is Stopped {
          await close()
          return
        } catch is Moved {
          await close()
        } catch let error as WeirError where error.isRetriable {
          // The sink lost records that it had taken; another one begins at the marker.
          await close()
          tell(error)
          if isStopped() { return }
          await environment.clock.sleep(nanoseconds: SinkPump.flushNanoseconds)
        }
      }
    }
  }

  private func follow(_ i: Int, to target: Int64, until isStopped: @Sendable () -> Bool) async throws {
    if let through = routes[i].through, through >= target { return }
    var machine = SinkMachine(target: target, start: spec.start)
    var action = machine.begin
    while true {
      switch action {
      case .readMarker: action = machine.event(.markerRead(try await marker(i)))
      case .readCollected: action = machine.event(.collectedRead(through: try await ledger.collectedThrough()))
      case .readEntries(let after, let through): action = machine.event(.entriesRead(try await entries(i, after, through)))
      case .publish(let entries):
        try await publish(entries, i, until: isStopped)
        action = machine.event(.published)
      case .writeMarker(let through):
        try await write(through, i)
        routes[i].through = through
        advanced.ring()
        action = machine.event(.markerWritten)
      case .fail(let error): throw error
      case .done(let through):
        routes[i].through = max(through, routes[i].through ?? 0)
        advanced.ring()
        return
      }
    }
  }

  private func entries(_ i: Int, _ after: Int64, _ through: Int64) async throws -> [LedgerEntry] {
    do { return try await ledger.entries(after: after, through: through) } catch let error as WeirError
      where error.code == .ledgerCollected
    {
      let route = routes[i].spec
      // This worker may have slept since it read the marker, while another one published, and collected what it had published.
      if let now = try await routes[i].markers.readAll()?.through, now > after { throw Moved() }
      throw WeirError(
        .followerBehind,
        "the topic \(route.topic) has \(route.table) through entry \(after), and the entries after it were collected by a worker whose pipeline did not have the topic",
        advice: "Their rows are in the table. To continue with the entries that the ledger still has, remove \(path(route)) from the lake.")
    }
  }

  // MARK: Records

  private func publish(_ entries: [LedgerEntry], _ i: Int, until isStopped: @Sendable () -> Bool) async throws {
    let route = routes[i]
    for entry in entries {
      var first: Int64 = 0
      for file in entry.files(of: route.spec.table) {
        try await publish(file, route, entry: entry.number, first: first, until: isStopped)
        first += file.rows
      }
    }
    if buffered > 0 { try await flush(until: isStopped) }
  }

  private func publish(
    _ file: DataFile, _ route: Route, entry: Int64, first: Int64, until isStopped: @Sendable () -> Bool
  ) async throws {
    guard let bytes = try await environment.lake.get(file.path) else {
      throw WeirError(.corrupt, "\(file.path): missing (entry \(entry) names it)", advice: "Restore it from a copy of the lake.")
    }
    let threads = environment.threads
    let rows = route.rows
    let reader = try await threads.run {
      guard ContentHash(of: bytes).hex == file.hash else {
        throw WeirError(
          .corrupt, "\(file.path): its bytes are not those that entry \(entry) names", advice: "Restore it from a copy of the lake.")
      }
      return try ParquetReader(bytes, name: file.path)
    }
    var first = first
    for number in 0..<reader.groups {
      let group = try await threads.run { try rows.group(number, of: reader, file: file) }
      for start in stride(from: 0, to: group.rows, by: SinkPump.chunkRows) {
        let range = start..<min(group.rows, start + SinkPump.chunkRows)
        let records = try await threads.run { [first] in try rows.records(group, range, entry: entry, first: first) }
        try await send(records, to: route.spec.topic, until: isStopped)
      }
      first += Int64(group.rows)
    }
  }

  private func send(_ records: [SinkRecord], to topic: String, until isStopped: @Sendable () -> Bool) async throws {
    if isStopped() { throw Stopped() }
    let sink: any RecordSink
    if let known = self.sink { sink = known } else { sink = try await effects.make() }
    self.sink = sink
    try await sink.send(records, to: topic)
    buffered += records.reduce(0) { $0 + $1.byteCount }
    if buffered >= SinkPump.bufferedMax { try await flush(until: isStopped) }
  }

  /// Waits as long as it takes.
  private func flush(until isStopped: @Sendable () -> Bool) async throws {
    guard let sink else { return }
    let began = environment.clock.monotonicNanoseconds
    while try await !sink.flush(within: SinkPump.flushNanoseconds) {
      if isStopped() { throw Stopped() }
      if environment.clock.monotonicNanoseconds - began > 10 * SinkPump.flushNanoseconds {
        tell(
          WeirError(
            .unavailable, "records for topics are waiting for their acknowledgement: are the sinks' brokers reachable?",
            advice:
              "Nothing is lost: they are sent when the brokers are back. Reading stops when a topic is \(spec.behindMax) entries behind."))
      }
    }
    buffered = 0
    acknowledged.at.store(environment.clock.monotonicNanoseconds, ordering: .relaxed)
  }

  private func tell(_ error: WeirError) {
    let now = environment.clock.monotonicNanoseconds
    if let toldAt, now - toldAt < SinkPump.tellNanoseconds { return }
    toldAt = now
    effects.tell(error)
  }

  private func close() async {
    let old = sink
    sink = nil
    buffered = 0
    await old?.close()
  }

  // MARK: Markers

  private func path(_ route: SinkSpec.Route) -> String { ledger.layout.sinkMarkers(table: route.table, topic: route.topic) }

  private func marker(_ i: Int) async throws -> Int64? { try await routes[i].markers.read()?.through }

  private func write(_ through: Int64, _ i: Int) async throws {
    let marker = SinkMarker(ledgerID: ledgerID, through: through, proof: try await proof(of: through)?.value)
    try await routes[i].markers.write(marker)
  }

  /// nil when a topic begins where entries were collected: nothing is known of them.
  private func proof(of number: Int64) async throws -> EntryProof? {
    do { return try await ledger.proof(of: number) } catch let error as WeirError where error.code == .ledgerCollected { return nil }
  }

  /// Whether what the markers say was published are this ledger's entries. Writes nothing.
  func check() async throws { try await SinkMarker.check(spec, ledger, environment.lake) }

  /// Another worker publishes: how far is it?
  private func look() async throws {
    for i in routes.indices { routes[i].through = try await marker(i) ?? routes[i].through }
    advanced.ring()
  }
}
