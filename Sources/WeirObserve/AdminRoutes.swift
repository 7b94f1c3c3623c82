import Synchronization
import WeirCore
import WeirEngine
import WeirReport
import WeirRuntime

/// The paths that there are, and what each asks for.
enum AdminRoute: String, CaseIterable {
  case index, live, ready, started, metrics, lanes, scale, state, drain

  /// - Returns: nil: there is no such path.
  init?(_ path: [String]) {
    guard let first = path.first else {
      self = .index
      return
    }
    guard let route = AdminRoute(rawValue: first), route != .index, route == .state ? path.count >= 2 : path.count == 1 else { return nil }
    self = route
  }

  var needs: AdminAccess.Need {
    switch self {
    case .live, .ready, .started: .nothing
    case .metrics: .metricsToken
    case .index, .lanes, .scale, .state, .drain: .token
    }
  }

  var methods: [String] { self == .drain ? ["POST"] : ["GET", "HEAD"] }

  var text: String? {
    switch self {
    case .index: nil
    case .state: "/state/TABLE/KEY"
    default: "/\(rawValue)"
    }
  }
}

/// The admin endpoints of a live worker: requests in, responses out. Whatever serves HTTP calls ``respond(to:)``.
package final class AdminRoutes: Sendable {
  /// Lanes that `/lanes` lists.
  static let lanesMax = 2048
  /// Requests other than probes that are answered at the same time.
  static let askedMax = 4
  static let paths = AdminRoute.allCases.compactMap(\.text)

  private let watch: WorkerWatch
  private let access: AdminAccess?
  private let drain: @Sendable () -> Void
  private let state = Mutex<(any StateTableReader)?>(nil)
  private let asked = Atomic<Int>(0)

  /// - Parameters:
  ///   - access: nil: nothing is served, so nothing is asked.
  ///   - drain: asks the worker to end in order, as SIGTERM does.
  init(_ watch: WorkerWatch, access: AdminAccess?, drain: @escaping @Sendable () -> Void) {
    self.watch = watch
    self.access = access
    self.drain = drain
  }

  /// The state table is open.
  package func use(_ table: (any StateTableReader)?) { state.withLock { $0 = table } }

  func respond(to request: AdminRequest) async -> AdminResponse {
    let route = request.isMalformed ? nil : AdminRoute(request.path)
    // What does not exist asks for the token too: without it nobody learns what exists.
    if let refused = access?.renewed.refusal(of: request, needs: route?.needs ?? .token) { return refused }
    if request.isMalformed { return .error(400, "malformed", "the path is not percent-encoded UTF-8") }
    guard let route else { return .error(404, "not_found", "available paths: \(AdminRoutes.paths.joined(separator: ", "))") }
    guard route.methods.contains(request.method) else {
      let methods = route.methods.joined(separator: ", ")
      return .error(405, "method", "\(request.method) is not allowed here; allowed: \(methods)", allow: methods)
    }
    // Probes are never refused, and wait for few others.
    guard route.needs != .nothing else { return await answer(route, request) }
    defer { asked.subtract(1, ordering: .relaxed) }
    guard asked.add(1, ordering: .relaxed).newValue <= AdminRoutes.askedMax else {
      return .error(503, "busy", "\(AdminRoutes.askedMax) requests are already being answered; try again")
    }
    return await answer(route, request)
  }

  private func answer(_ route: AdminRoute, _ request: AdminRequest) async -> AdminResponse {
    switch route {
    case .index: return index
    case .live: return probe(watch.now.health.live(watch.now.stall))
    case .ready: return probe(watch.now.health.ready(groupIsShared: watch.meter.snapshot().groupIsShared))
    case .started: return probe(watch.now.health.started)
    case .metrics: return metrics(request)
    case .lanes: return .json(200, lanes())
    case .scale: return scale()
    case .state: return await row(request)
    case .drain: return drained(request)
    }
  }

  /// `?names=old`: under the names of version 0.1, which the next version removes.
  private func metrics(_ request: AdminRequest) -> AdminResponse {
    var names = Metric.Names.current
    for pair in request.query where pair.name == "names" {
      guard let named = Metric.Names(rawValue: pair.value) else {
        return .error(400, "names", "names=\(pair.value): use names=current (the default) or names=old")
      }
      names = named
    }
    return AdminResponse(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: watch.metrics(names))
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
    // A page in a browser on this machine could send a POST here.
    guard !request.hasOrigin else { return .error(403, "origin", "requests from web pages are refused") }
    watch.drain()
    drain()
    return .json(202, .members(["draining": .bool(true)]))
  }

  // MARK: Lanes

  private func lanes() -> JSONValue {
    let snapshot = watch.meter.snapshot()
    let shown = snapshot.lanes.prefix(AdminRoutes.lanesMax)
    let catalog = watch.catalog.map { [JSONValue.Member("catalog", $0.json)] } ?? []
    let members: JSONValue = .members([
      "pipeline": .string(watch.pipeline), "phase": .string(watch.now.health.name), "stage": .string("\(snapshot.stage)"),
      "ledger": .int(snapshot.ledgerNumber), "complete_through": AdminRoutes.time(snapshot.mergedWatermark),
      "group_shared": snapshot.groupIsShared.map { .string($0) } ?? .null, "lag": snapshot.lag.map { .int($0) } ?? .null,
      "survey_age_seconds": snapshot.surveyNanoseconds.map { .number(Human.fixed(Double($0) / 1e9, 3)) } ?? .null,
      "lanes": .array(shown.map(AdminRoutes.lane)), "left_out": .int(Int64(snapshot.lanes.count - shown.count)),
    ])
    return .object((members.members ?? []) + catalog)
  }

  private static func lane(_ lane: LiveSnapshot.Lane) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("shard", .string(lane.shard)), .init("held", .bool(lane.isHeld)),
      .init("activity", lane.isHeld ? .string("\(lane.activity)") : .null),
      .init("consumed", lane.isHeld ? .int(lane.position) : .null), .init("lag", lane.lag.map { .int($0) } ?? .null),
      .init("first", lane.bounds.map(\.low.json) ?? .null), .init("end", lane.bounds.map(\.high.json) ?? .null),
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
      return .error(503, "not_known", "the source and the ledger have not been read yet: \(watch.now.health.words)")
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
      guard let row = try await reader.row(key) else { return .error(404, "no_row", "no such row in \(request.path[1])") }
      return .json(200, row)
    } catch let error as WeirError {
      return .error([.config, .stateMissing].contains(error.code) ? 404 : 500, error.code.rawValue, error.words)
    } catch {
      return .error(500, "internal", "the row could not be read")
    }
  }
}
