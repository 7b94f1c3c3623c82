import Synchronization
import WeirCore
import WeirEngine
import WeirLMDB

/// The admin endpoints of a live worker: requests in, responses out. Whatever serves HTTP calls ``respond(to:)``.
final class AdminRoutes: Sendable {
  /// Lanes that `/lanes` lists.
  static let lanesMax = 2048
  static let paths = ["/live", "/ready", "/started", "/metrics", "/lanes", "/scale", "/state/TABLE/KEY", "/drain"]

  private let watch: WorkerWatch
  private let drain: @Sendable () -> Void
  private let state = Mutex<LMDBStateTable?>(nil)

  /// - Parameter drain: asks the worker to end in order, as SIGTERM does.
  init(_ watch: WorkerWatch, drain: @escaping @Sendable () -> Void) {
    self.watch = watch
    self.drain = drain
  }

  /// The state table is open.
  func use(_ table: LMDBStateTable?) { state.withLock { $0 = table } }

  func respond(to request: AdminRequest) async -> AdminResponse {
    guard !request.isMalformed, let first = request.path.first else {
      return request.isMalformed ? .error(400, "malformed", "the path is not percent-encoded UTF-8") : index
    }
    if first == "drain", request.path.count == 1 { return drained(request) }
    guard request.method == "GET" || request.method == "HEAD" else {
      return .error(405, "method", "\(request.method) is no method for this", allow: "GET, HEAD")
    }
    switch (first, request.path.count) {
    case ("live", 1): return probe(watch.now.health.live(watch.now.stall))
    case ("ready", 1): return probe(watch.now.health.ready(groupIsShared: watch.meter.snapshot().groupIsShared))
    case ("started", 1): return probe(watch.now.health.started)
    case ("metrics", 1): return AdminResponse(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: watch.metrics())
    case ("lanes", 1): return .json(200, lanes())
    case ("scale", 1): return scale()
    case ("state", 2...): return await row(request)
    default: return .error(404, "not_found", "there are: \(AdminRoutes.paths.joined(separator: ", "))")
    }
  }

  private var index: AdminResponse {
    .json(200, .members(["pipeline": .string(watch.pipeline), "endpoints": .array(AdminRoutes.paths.map { .string($0) })]))
  }

  private func probe(_ answer: WorkerHealth.Answer) -> AdminResponse {
    let health = watch.now.health
    return .json(
      answer.isWell ? 200 : 503,
      .members(["ok": .bool(answer.isWell), "phase": .string(health.name), "why": .string(answer.words)]))
  }

  private func drained(_ request: AdminRequest) -> AdminResponse {
    guard request.method == "POST" else { return .error(405, "method", "/drain wants POST", allow: "POST") }
    // A page in a browser on this machine could send a POST here.
    guard !request.hasOrigin else { return .error(403, "origin", "requests on behalf of a web page are refused") }
    watch.drain()
    drain()
    return .json(202, .members(["draining": .bool(true)]))
  }

  // MARK: Lanes

  private func lanes() -> JSONValue {
    let snapshot = watch.meter.snapshot()
    let shown = snapshot.lanes.prefix(AdminRoutes.lanesMax)
    return .members([
      "pipeline": .string(watch.pipeline), "phase": .string(watch.now.health.name), "stage": .string("\(snapshot.stage)"),
      "ledger": .int(snapshot.ledgerNumber), "complete_through": AdminRoutes.time(snapshot.mergedWatermark),
      "group_shared": snapshot.groupIsShared.map { .string($0) } ?? .null, "lag": snapshot.lag.map { .int($0) } ?? .null,
      "survey_age_seconds": snapshot.surveyNanoseconds.map { .number(Human.fixed(Double($0) / 1e9, 3)) } ?? .null,
      "lanes": .array(shown.map(AdminRoutes.lane)), "left_out": .int(Int64(snapshot.lanes.count - shown.count)),
    ])
  }

  private static func lane(_ lane: LiveSnapshot.Lane) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("shard", .string(lane.shard)), .init("held", .bool(lane.isHeld)),
      .init("activity", lane.isHeld ? .string("\(lane.activity)") : .null),
      .init("consumed", lane.isHeld ? .int(lane.position) : .null), .init("lag", lane.lag.map { .int($0) } ?? .null),
      .init("first", lane.bounds.map { .int($0.low) } ?? .null), .init("end", lane.bounds.map { .int($0.high) } ?? .null),
      .init("seconds_to_data_loss", lane.secondsToDataLoss.flatMap { $0.isFinite ? .number(Human.fixed($0, 3)) : nil } ?? .null),
      .init("records_in", .int(lane.records)),
    ]
    if let ledger = lane.ledger {
      members += [
        .init("committed", ledger.position.map { .int($0) } ?? .null), .init("epoch", .int(ledger.epoch)),
        .init("generation", .int(ledger.generation)), .init("watermark", time(ledger.watermark)), .init("idle", .bool(ledger.isIdle)),
        .init("accepted", .int(ledger.accepted)), .init("duplicate", .int(ledger.duplicate)), .init("filtered", .int(ledger.filtered)),
        .init("quarantined", .int(ledger.quarantined)), .init("state_bytes", .int(ledger.stateBytes)),
      ]
    }
    return .object(members)
  }

  private static func time(_ watermark: Int64) -> JSONValue {
    watermark == Watermark.minimum || watermark == Watermark.maximum ? .null : .string(CivilTime.text(ofMicroseconds: watermark))
  }

  /// For KEDA's metrics-api: the lag of the whole pipeline, whichever worker is asked.
  private func scale() -> AdminResponse {
    let snapshot = watch.meter.snapshot()
    guard let lag = snapshot.lag, !snapshot.lanes.isEmpty else {
      return .error(503, "not_known", "source and ledger were not read yet: \(watch.now.health.words)")
    }
    return .json(
      200,
      .members([
        "pipeline": .string(watch.pipeline), "lag": .int(lag),
        "own_lag": .int(snapshot.lanes.reduce(0) { $0 + ($1.isHeld ? $1.lag ?? 0 : 0) }),
        "workers_max": .int(Int64(snapshot.lanes.count)),
      ]))
  }

  // MARK: State

  /// `/state/TABLE/KEY…`: a part of the path for each column of the key; `?null=COLUMN` for one that is null.
  private func row(_ request: AdminRequest) async -> AdminResponse {
    guard let table = state.withLock({ $0 }) else {
      return .error(503, "not_known", "no state table is open: \(watch.now.health.words)")
    }
    do {
      let reader = try await StateReader(table: request.path[1], in: table, place: "the pipeline \(watch.pipeline)")
      let nulls = request.query.filter { $0.name == "null" }.map(\.value)
      let key = try KeyArgument.values(Array(request.path.dropFirst(2)), nulls: nulls, reader.by, table: request.path[1])
      guard let row = try await reader.row(key) else { return .error(404, "no_row", "there is no such row in \(request.path[1])") }
      return .json(200, row)
    } catch let error as WeirError {
      return .error(error.code == "config" ? 404 : 500, error.code, error.description)
    } catch {
      return .error(500, "internal", "the row could not be read")
    }
  }
}
