import CKafka
import Dispatch
import Glibc
import Synchronization
import WeirCore

/// A librdkafka client with the thread that serves its events: what consumer and producer have in common.
final class KafkaClient: @unchecked Sendable {
  // Unchecked: `handle` is librdkafka's, whose calls are thread-safe; it is freed once, by `destroy`, after which no code
  // has a client to call.

  let handle: OpaquePointer
  let redactor: Redactor
  private let connection: KafkaConnection
  private let observer: KafkaObserver
  private let token: BearerToken?
  private let rotation: PasswordRotation?
  private let strays: Strays
  let watch: ConnectionWatch
  /// Monotonic nanoseconds after which the thread ends whatever `isDone` says; the maximum: it is not to end.
  private let endsAt = Atomic<Int64>(.max)
  private let isEnding = Atomic<Bool>(false)
  private struct Served: @unchecked Sendable {
    // Unchecked: librdkafka's queues may be used from any thread.
    let queue: OpaquePointer
  }
  /// What the serving thread waits for; nil before it is there, and once it uses it no more.
  private let served = Mutex<Served?>(nil)
  private let hasEnded = Mutex<(ended: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))

  init(
    _ kind: rd_kafka_type_t, _ configuration: KafkaConfiguration, connection: KafkaConnection, observer: KafkaObserver
  ) throws(KafkaError) {
    redactor = configuration.redactor
    self.connection = connection
    self.observer = observer
    token = BearerToken(connection.sasl)
    rotation = PasswordRotation(connection.sasl)
    var text = [CChar](repeating: 0, count: 512)
    let conf = configuration.take()
    watch = ConnectionWatch(connection)
    strays = Strays(observer: observer, redactor: redactor, watch: watch)
    strays.listen(conf, isTLS: connection.tls != nil)
    guard let handle = rd_kafka_new(kind, conf, &text, text.count) else {
      rd_kafka_conf_destroy(conf)
      let words = configuration.redactor.clean(KafkaConfiguration.string(text))
      guard let place = connection.tls?.place(ofFailure: words) else { throw .settings("Kafka: \(words)") }
      throw .settings("\(place) cannot be used: \(words)", advice: "Is it PEM, and do certificate, key and key_password belong together?")
    }
    self.handle = handle
  }

  /// Errors that librdkafka puts among a partition's records, like those of a topic that was deleted. The calls that take records from a
  /// queue do not hand them out, and without this they were only logged.
  private final class Strays: Sendable {
    private let observer: KafkaObserver
    private let redactor: Redactor
    private let watch: ConnectionWatch
    private let told = Mutex<(@Sendable (KafkaError) -> Void)?>(nil)

    init(observer: KafkaObserver, redactor: Redactor, watch: ConnectionWatch) {
      self.observer = observer
      self.redactor = redactor
      self.watch = watch
    }

    func tell(_ body: @escaping @Sendable (KafkaError) -> Void) { told.withLock { $0 = body } }

    /// The client keeps this object for as long as librdkafka may call.
    func listen(_ conf: OpaquePointer, isTLS: Bool) {
      rd_kafka_conf_set_opaque(conf, Unmanaged.passUnretained(self).toOpaque())
      rd_kafka_conf_set_error_cb(conf) { _, code, reason, opaque in
        guard let opaque else { return }
        Unmanaged<Strays>.fromOpaque(opaque).takeUnretainedValue()
          .came(rd_kafka_resp_err_t(rawValue: code), reason.map { String(cString: $0) })
      }
      if isTLS { watchCertificates(conf) }
    }

    /// Notes why OpenSSL does not accept a certificate: librdkafka has the same words for all reasons. OpenSSL's verdict is kept.
    private func watchCertificates(_ conf: OpaquePointer) {
      rd_kafka_conf_set_ssl_cert_verify_cb(conf) { _, broker, _, error, _, _, _, text, size, opaque in
        guard let error, let opaque else { return 0 }
        if error.pointee == 0 { return 1 }
        if let broker {
          Unmanaged<Strays>.fromOpaque(opaque).takeUnretainedValue().watch.found(error.pointee, in: String(cString: broker))
        }
        if let text, size > 0 {
          let words = ConnectionFailure.Verification(error.pointee).words.utf8.prefix(size - 1)
          for (index, byte) in words.enumerated() { text[index] = CChar(bitPattern: byte) }
          text[words.count] = 0
        }
        return 0
      }
    }

    private func came(_ code: rd_kafka_resp_err_t, _ reason: String?) {
      let error = KafkaError(code, "cannot read", detail: reason.map(redactor.clean))
      guard let body = told.withLock({ $0 }) else { return observer.log(Strays.errorLevel, "ERROR", error.message) }
      body(error)
    }

    /// syslog's.
    private static let errorLevel = 3
  }

  /// Receives errors that come among records, on the thread that reads them.
  func tellStrays(_ body: @escaping @Sendable (KafkaError) -> Void) { strays.tell(body) }

  /// Serves `queue` on a thread of its own until ``end()``; `handle` gets the events that are not the same for all.
  ///
  /// The queue is destroyed at the end.
  func serve(
    queue: OpaquePointer, name: String, isDone: @escaping @Sendable () -> Bool = { true },
    event: @escaping @Sendable (OpaquePointer) -> Void
  ) {
    nonisolated(unsafe) let queue = queue
    served.withLock { $0 = Served(queue: queue) }
    BlockingThreads.spawn(name: name) {
      while !self.hasToEnd(isDone) {
        let isEnding = self.isEnding.load(ordering: .acquiring)
        self.rotation?.look(self.handle, self.redactor)
        guard let next = rd_kafka_queue_poll(queue, isEnding ? KafkaClient.endingMilliseconds : KafkaClient.pollMilliseconds) else {
          continue
        }
        self.dispatch(next, event)
        rd_kafka_event_destroy(next)
      }
      self.served.withLock { $0 = nil }
      rd_kafka_queue_destroy(queue)
      let waiter = self.hasEnded.withLock { state in
        state.ended = true
        return state.waiter
      }
      waiter?.resume()
    }
  }

  private func hasToEnd(_ isDone: () -> Bool) -> Bool {
    guard isEnding.load(ordering: .acquiring) else { return false }
    return isDone() || KafkaClient.now >= endsAt.load(ordering: .relaxed)
  }

  /// Monotonic nanoseconds.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// A wait for the next event. The end of a client interrupts it. It must be far below `max.poll.interval.ms`, which is at least 6 s: a
  /// consumer that waits longer loses its partitions.
  private static let pollMilliseconds: Int32 = 1000
  /// While the client ends: between two looks whether it is done.
  private static let endingMilliseconds: Int32 = 50

  private func dispatch(_ event: OpaquePointer, _ other: (OpaquePointer) -> Void) {
    switch rd_kafka_event_type(event) {
    case RD_KAFKA_EVENT_LOG:
      var facility: UnsafePointer<CChar>?
      var text: UnsafePointer<CChar>?
      var level: Int32 = 0
      guard rd_kafka_event_log(event, &facility, &text, &level) == 0, let text else { return }
      // About a setting of our own, which no user can do anything about.
      if facility.map({ String(cString: $0) }) == "CONFWARN", String(cString: text).contains("enable.gapless.guarantee is experimental") {
        return
      }
      let line = redactor.clean(String(cString: text))
      if facility.map({ String(cString: $0) }) == "FAIL" { watch.logged(line) }
      observer.log(Int(level), facility.map { String(cString: $0) } ?? "", line)
    case RD_KAFKA_EVENT_STATS:
      if let text = rd_kafka_event_stats(event) { observer.statistics(String(cString: text)) }
    case RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH:
      token?.hand(to: handle)
    default:
      other(event)
    }
  }

  /// The error of an event. A fatal one is asked for: the event says only that there is one.
  func error(of event: OpaquePointer, _ action: String) -> KafkaError {
    var code = rd_kafka_event_error(event)
    var detail = rd_kafka_event_error_string(event).map { String(cString: $0) }
    var error: KafkaError
    if code == RD_KAFKA_RESP_ERR__FATAL {
      var text = [CChar](repeating: 0, count: 512)
      code = rd_kafka_fatal_error(handle, &text, text.count)
      detail = KafkaConfiguration.string(text)
      error = KafkaError(code, action, detail: detail.map(redactor.clean))
      error.isRetriable = false
      if error.fatalTo == .operation { error.fatalTo = .worker }
    } else {
      detail = detail.map(redactor.clean)
      let passes = code == RD_KAFKA_RESP_ERR__AUTHENTICATION && rotation?.refused() == true
      error = watch.failed(code, detail ?? "", passes: passes)?.error(action, connection) ?? KafkaError(code, action, detail: detail)
    }
    return error
  }

  /// Lets librdkafka's log lines come through `queue`.
  func sendLog(to queue: OpaquePointer) {
    rd_kafka_set_log_queue(handle, queue)
  }

  /// Ends the serving thread (once `isDone` says so too, or after this number of nanoseconds) and frees the client, on `threads`.
  ///
  /// - Parameter last: waits for calls that still use the client.
  func end(on threads: BlockingThreads, within nanoseconds: Int64, last: @escaping @Sendable () -> Void = {}) async {
    endsAt.store(KafkaClient.now + nanoseconds, ordering: .relaxed)
    isEnding.store(true, ordering: .releasing)
    served.withLock { if let queue = $0?.queue { rd_kafka_queue_yield(queue) } }
    await withCheckedContinuation { continuation in
      let ended = hasEnded.withLock { state in
        if !state.ended { state.waiter = continuation }
        return state.ended
      }
      if ended { continuation.resume() }
    }
    try? await threads.run { self.destroy(within: KafkaClient.destroySeconds, last) }
  }

  /// How long librdkafka may take to end its calls and threads, which is a moment, or long, or for ever.
  private static let destroySeconds = 5

  /// Frees the client. Where a broker is unreachable, a call may wait for it for a minute; where a partition vanished under the client (its
  /// topic was deleted), librdkafka may wait for ever for records of its own (its issues 4362 and 4724). Such a client is left
  /// behind, and ends later or with the process.
  private func destroy(within seconds: Int, _ last: @escaping @Sendable () -> Void) {
    let done = DispatchSemaphore(value: 0)
    BlockingThreads.spawn(name: "kafka-destroy") {
      last()
      self.destroy()
      done.signal()
    }
    guard done.wait(timeout: .now() + .seconds(seconds)) == .timedOut else { return }
    observer.log(
      KafkaClient.warningLevel, "DESTROY",
      "a client did not stop within \(seconds) s and is abandoned: a broker is unreachable, or one of its partitions was deleted")
  }

  /// syslog's.
  private static let warningLevel = 4

  private func destroy() {
    // What is still in a queue was given up by the caller that closes; consumers have left their group before.
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
  }
}

extension BlockingThreads {
  /// Threads of a client, for calls into librdkafka that block or copy for long.
  static func kafka(_ count: Int, _ name: String) -> BlockingThreads {
    BlockingThreads(count: count, name: name) { KafkaError.misuse("the Kafka client is closed") }
  }
}
