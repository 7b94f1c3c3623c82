import CCurl
import Glibc
import Synchronization
import WeirCore

/// HTTP over libcurl's multi interface: all transfers of all services on one thread of its own, connections kept and reused.
///
///     callers (tasks)            thread
///     send -> queue, wake-up -> lanes (one per origin, bounded) -> libcurl -> continuation
///     cancel -> flag, wake-up -> aborted
package final class CurlClient: AWSTransport {
  package struct Settings: Sendable {
    /// PEM file of the authorities to trust (`AWS_CA_BUNDLE`); nil: the system's.
    package var authorities: String?
    /// Transfers to one origin at the same time, and so connections; more wait.
    package var transfersPerOriginMax = 64
    /// Answers of one origin that are read piece by piece at the same time; more wait.
    package var streamsPerOriginMax = 1024
    /// A connection that was idle for longer is not used again: S3 closes them after 20 s or so.
    package var idleConnectionSeconds = 18
    package init() {}
  }

  private let loop: CurlLoop

  /// Starts the thread, which ends with ``close()`` or with this object.
  package init(_ settings: Settings = Settings()) {
    let loop = CurlLoop(settings)
    self.loop = loop
    BlockingThreads.spawn(name: "weir-aws") { loop.run() }
  }

  deinit { loop.close() }

  package func send(_ request: AWSTransportRequest) async throws(AWSTransportFailure) -> AWSResponse {
    switch try await transfer(request, CancelFlag(), nil) {
    case .answer(let answer): return answer
    case .stream: throw AWSTransportFailure(.configuration, mayBeReceived: true, "an answer was read in pieces, and not as a whole")
    }
  }

  package func open(_ request: AWSTransportRequest, _ limits: AWSStreamLimits) async throws(AWSTransportFailure) -> AWSOpened {
    let (flag, loop) = (CancelFlag(), loop)
    let stream = AWSStream(
      limits, hasRoom: { loop.lookForRoom() },
      closed: {
        flag.set()
        loop.lookForCancelled()
      })
    var request = request
    (request.totalMilliseconds, request.idleSeconds) = (limits.milliseconds, limits.idleSeconds)
    return try await transfer(request, flag, stream)
  }

  private func transfer(_ request: AWSTransportRequest, _ flag: CancelFlag, _ stream: AWSStream?) async throws(AWSTransportFailure)
    -> AWSOpened
  {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { done in
        loop.submit(CurlTransfer(request, flag, stream: stream) { done.resume(returning: $0) })
      }
    } onCancel: {
      flag.set()
      loop.lookForCancelled()
    }
    return try result.get()
  }

  /// Ends transfers that run, refuses later ones, and lets the thread end.
  package func close() { loop.close() }

  // Once a process, before the first handle.
  static let hasBegun: Bool = weir_curl_begin() == CURLE_OK
}

/// The thread and what it shares with callers.
private final class CurlLoop: @unchecked Sendable {
  // Unchecked: `lanes` and `running` are touched only by the thread; `multi` is made before it starts, and woken only while `inbox` says
  // that the thread lives.
  private struct Inbox {
    var transfers: [CurlTransfer] = []
    var hasCancelled = false
    var hasRoom = false
    var isClosed = false
    /// The thread reads no more.
    var hasEnded = false
  }

  /// Transfers of one kind to one origin.
  private struct Lane {
    var running = 0
    var waiting: [CurlTransfer] = []
  }

  /// How long the thread sleeps at most without an event: while transfers wait, whose time may end, and else.
  private static let waitingMilliseconds: Int32 = 50
  private static let idleMilliseconds: Int32 = 1000

  private let settings: CurlClient.Settings
  private let inbox = Mutex(Inbox())
  private let multi: UnsafeMutableRawPointer?
  private var lanes: [CurlLane: Lane] = [:]
  private var running: [UnsafeMutableRawPointer: CurlTransfer] = [:]

  init(_ settings: CurlClient.Settings) {
    self.settings = settings
    multi = CurlClient.hasBegun ? curl_multi_init() : nil
    if let multi {
      _ = weir_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, settings.transfersPerOriginMax * 4)
      _ = weir_curl_multi_set_long(
        multi, CURLMOPT_MAX_HOST_CONNECTIONS, settings.transfersPerOriginMax + settings.streamsPerOriginMax)
    }
  }

  // MARK: Callers

  func submit(_ transfer: CurlTransfer) {
    let isRefused = inbox.withLock { inbox in
      if inbox.isClosed { return true }
      inbox.transfers.append(transfer)
      wake(inbox)
      return false
    }
    if isRefused { transfer.abort(.closed, "the client is closed") }
  }

  func lookForCancelled() {
    inbox.withLock { inbox in
      inbox.hasCancelled = true
      wake(inbox)
    }
  }

  func lookForRoom() {
    inbox.withLock { inbox in
      inbox.hasRoom = true
      wake(inbox)
    }
  }

  func close() {
    inbox.withLock { inbox in
      inbox.isClosed = true
      wake(inbox)
    }
  }

  private func wake(_ inbox: Inbox) {
    if !inbox.hasEnded, let multi { _ = curl_multi_wakeup(multi) }
  }

  // MARK: Thread

  func run() {
    // OpenSSL writes to sockets that the other side may have closed: SIGPIPE stays with this thread, blocked.
    var signals = sigset_t()
    sigfillset(&signals)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    while let taken = next() {
      let new = taken.transfers
      for transfer in new { lanes[transfer.lane, default: Lane()].waiting.append(transfer) }
      if taken.hasCancelled { abortCancelled() }
      if taken.hasRoom { for transfer in running.values { transfer.readOn() } }
      for lane in Set(new.map(\.lane)) { fill(lane) }
      perform()
      let hasWaiting = endLate()
      if let multi { _ = curl_multi_poll(multi, nil, 0, hasWaiting ? CurlLoop.waitingMilliseconds : CurlLoop.idleMilliseconds, nil) }
    }
    for transfer in running.values { stop(transfer, .closed, "the client is closed") }
    for lane in lanes.values { for transfer in lane.waiting { transfer.abort(.closed, "the client is closed") } }
    if let multi { _ = curl_multi_cleanup(multi) }
  }

  /// nil: the client is closed.
  private func next() -> Inbox? {
    let (taken, isOver) = inbox.withLock { inbox in
      defer { (inbox.transfers, inbox.hasCancelled, inbox.hasRoom) = ([], false, false) }
      let isOver = inbox.isClosed || multi == nil
      if isOver { (inbox.isClosed, inbox.hasEnded) = (true, true) }
      return (inbox, isOver)
    }
    if !isOver { return taken }
    for transfer in taken.transfers { transfer.abort(.closed, "the client is closed") }
    return nil
  }

  private func abortCancelled() {
    for (key, lane) in lanes {
      let cancelled = lane.waiting.filter(\.isCancelled)
      if !cancelled.isEmpty { lanes[key]?.waiting.removeAll(where: \.isCancelled) }
      for transfer in cancelled { transfer.abort(.cancelled, "the request was cancelled") }
    }
    for transfer in running.values where transfer.isCancelled {
      stop(transfer, .cancelled, "the request was cancelled")
      free(transfer.lane)
    }
  }

  /// Ends transfers whose time is over before they have started.
  /// - Returns: whether any still wait.
  private func endLate() -> Bool {
    var hasWaiting = false
    for (key, lane) in lanes where !lane.waiting.isEmpty {
      let late = lane.waiting.filter { $0.millisecondsLeft <= 0 }
      if !late.isEmpty { lanes[key]?.waiting.removeAll { transfer in late.contains { $0 === transfer } } }
      for transfer in late { transfer.abort(.timeout, "too many requests to \(key.origin) run for this one to start in its time") }
      hasWaiting = hasWaiting || late.count < lane.waiting.count
    }
    return hasWaiting
  }

  /// Starts what may start.
  private func fill(_ key: CurlLane) {
    let runningMax = key.isStream ? settings.streamsPerOriginMax : settings.transfersPerOriginMax
    while var lane = lanes[key], !lane.waiting.isEmpty, lane.running < runningMax {
      let transfer = lane.waiting.removeFirst()
      if let handle = begin(transfer) {
        lane.running += 1
        running[handle] = transfer
      }
      lanes[key] = lane
    }
    if let lane = lanes[key], lane.running == 0, lane.waiting.isEmpty { lanes[key] = nil }
  }

  private func begin(_ transfer: CurlTransfer) -> UnsafeMutableRawPointer? {
    if transfer.isCancelled {
      transfer.abort(.cancelled, "the request was cancelled")
      return nil
    }
    guard let multi, let handle = transfer.start(settings) else { return nil }
    guard curl_multi_add_handle(multi, handle) == CURLM_OK else {
      transfer.abort(.configuration, "libcurl accepts no more requests")
      return nil
    }
    return handle
  }

  private func free(_ key: CurlLane) {
    lanes[key]?.running -= 1
    fill(key)
  }

  /// Until no transfer ends any more: what starts in place of an ended one may end in its first step, and a wait would not see that.
  private func perform() {
    guard let multi else { return }
    var isBusy: Int32 = 0
    repeat { _ = curl_multi_perform(multi, &isBusy) } while endTransfers(multi)
  }

  /// - Returns: whether there were any.
  private func endTransfers(_ multi: UnsafeMutableRawPointer) -> Bool {
    var code = CURLE_OK
    var hasEnded = false
    while let handle = weir_curl_multi_next_done(multi, &code) {
      guard let transfer = running.removeValue(forKey: handle) else { continue }
      _ = curl_multi_remove_handle(multi, handle)
      transfer.end(code)
      free(transfer.lane)
      hasEnded = true
    }
    return hasEnded
  }

  private func stop(_ transfer: CurlTransfer, _ kind: AWSTransportFailure.Kind, _ reason: String) {
    guard let handle = transfer.handle else { return }
    running[handle] = nil
    if let multi { _ = curl_multi_remove_handle(multi, handle) }
    transfer.abort(kind, reason)
  }
}
