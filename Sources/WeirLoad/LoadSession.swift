import WeirCapture
import WeirCore
import WeirEngine
import WeirKafka
import WeirLocal
import WeirProtocol
import WeirRuntime

/// What a load holds a pipeline against.
package struct LoadVerification: Sendable {
  let plan: Plan
  let store: String
  let watch: LoadWatch
  let check: StateCheck?
  let ledger: Ledger
  let lake: any ObjectStore
  /// The ledger's number before the load.
  let before: Int64
  /// How long everything may take to become visible behind the last record.
  let settleMicroseconds: Int64

  package init(
    plan: Plan, store: String, watch: LoadWatch, check: StateCheck?, ledger: Ledger, lake: any ObjectStore, before: Int64,
    settleMicroseconds: Int64
  ) {
    self.plan = plan
    self.store = store
    self.watch = watch
    self.check = check
    self.ledger = ledger
    self.lake = lake
    self.before = before
    self.settleMicroseconds = settleMicroseconds
  }
}

/// A load from its first record to the last check.
package struct LoadSession: Sendable {
  private static let flushNanoseconds: Int64 = 120_000_000_000
  private static let lookNanoseconds: Int64 = 250_000_000
  private static let settleLookNanoseconds: Int64 = 5_000_000
  /// Looks from one moment of the report to the next: a second.
  private static let looksPerMoment = 4
  /// Moments that are kept: of a longer load every second, then every fourth … is left out.
  private static let momentsMax = 4000

  let sender: any LoadSender
  let outlet: any LoadOutlet
  let verification: LoadVerification?
  let meter: LatencyMeter
  /// By partition.
  let bases: [Int64]
  let clock: any Clock
  let report: LoadReport

  package init(
    sender: any LoadSender, outlet: any LoadOutlet, verification: LoadVerification?, meter: LatencyMeter, bases: [Int64], clock: any Clock,
    report: LoadReport
  ) {
    self.sender = sender
    self.outlet = outlet
    self.verification = verification
    self.meter = meter
    self.bases = bases
    self.clock = clock
    self.report = report
  }

  package func run(title: String, isInterrupted: @escaping @Sendable () -> Bool) async throws -> LoadResult {
    let ending = Ending()
    let isSent = Ending()
    let thread = BlockingThreads(count: 1)
    var result = LoadResult(title: title)
    sender.prepare()
    await withTaskGroup(of: [LoadMoment].self) { group in
      group.addTask {
        await ending.guarding {
          try await thread.run { [sender] in try sender.run { isInterrupted() || ending.isAsked } }
          isSent.ask()
          try await KafkaGroup.translating { try await outlet.flush(within: LoadSession.flushNanoseconds) }
          try await settle(isInterrupted)
        }
        isSent.ask()
        ending.ask()
        return []
      }
      group.addTask {
        await ending.guarding { try await outlet.carry() }
        return []
      }
      if let watch = verification?.watch {
        group.addTask {
          await ending.guarding { try await watch.run { ending.isAsked } }
          return []
        }
      }
      group.addTask { await look(until: { ending.isAsked }, isSent: { isSent.isAsked }) }
      for await moments in group where !moments.isEmpty { result.moments = moments }
    }
    thread.stop()
    result.seconds = Double(sender.counts.elapsedNanoseconds) / 1e9
    do { try ending.check() } catch let error as WeirError where error.code.isOfSource && outlet.delivery.failed > 0 {
      result.failures.append(error.words)
    }
    try await conclude(&result)
    return result
  }

  /// Waits until everything is visible, or for as long as that may take.
  private func settle(_ isInterrupted: () -> Bool) async throws {
    guard let verification else { return }
    let ends = zip(bases, sender.sentTo).map { $0 + $1 }
    let most = clock.monotonicNanoseconds + verification.settleMicroseconds * 1000
    while await !verification.watch.hasReached(ends), clock.monotonicNanoseconds < most, !isInterrupted() {
      await clock.sleep(nanoseconds: LoadSession.settleLookNanoseconds)
    }
  }

  private func look(until isDone: () -> Bool, isSent: () -> Bool) async -> [LoadMoment] {
    var moments: [LoadMoment] = []
    var (before, at) = (Int64(0), sender.startedAt)
    var collected = LatencyHistogram()
    var looks = 0
    var every = LoadSession.looksPerMoment
    while true {
      // The last moment is that of the end.
      let isLast = isDone()
      let now = clock.monotonicNanoseconds
      looks += 1
      collected.add(meter.takeInterval())
      let sent = sender.counts.sent
      let seconds = Double(now - sender.startedAt) / 1e9
      let span = max(1e-3, Double(now - at) / 1e9)
      if looks % every == 0 || isLast {
        let moment = LoadMoment(
          seconds: seconds, wanted: sender.rate(at: seconds - span / 2), sent: Double(sent - before) / span,
          behindMilliseconds: isSent() ? 0 : Double(sender.counts.behindNanoseconds) / 1e6, latency: .init(collected))
        moments.append(moment)
        report.live(moment, sent: sent, of: sender.total, waiting: Int(outlet.delivery.waiting))
        (before, at, collected) = (sent, now, LatencyHistogram())
        if moments.count >= LoadSession.momentsMax {
          moments = moments.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
          every *= 2
        }
      }
      if isLast { return moments }
      await clock.sleep(nanoseconds: LoadSession.lookNanoseconds)
    }
  }

  private func conclude(_ result: inout LoadResult) async throws {
    let delivery = outlet.delivery
    (result.sent, result.delivered, result.failed) = (delivery.sent, delivery.delivered, delivery.failed)
    result.repeated = delivery.repeated
    result.behindMaxMilliseconds = Double(sender.counts.behindMaxNanoseconds) / 1e6
    guard let verification else { return }
    result.histogram = meter.histogram
    result.latency = .init(result.histogram)
    result.isSettled = await verification.watch.hasReached(zip(bases, sender.sentTo).map { $0 + $1 })
    guard let driver = sender as? LoadDriver else { return }
    result.samples = await verification.watch.samples
    if let check = verification.check {
      let store = try AdapterRegistry.standard.stateTable(at: verification.store)
      result.findings.append(try await check.check(store, driver.templates, sent: delivery.sent))
    }
    result.findings += try await GoldCheck(ledger: verification.ledger, lake: verification.lake)
      .check(verification.plan, dueIn: driver.dueIn, startedMilliseconds: driver.startedMilliseconds, from: verification.before)
  }
}
