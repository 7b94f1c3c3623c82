/// Which options of librdkafka a user may give.
///
/// An allow-list: librdkafka has options that load libraries (`plugin.library.paths`, `ssl.engine.location`), run commands
/// (`sasl.kerberos.kinit.cmd`), read or write files, or hold pointers, and later versions may add more. What is here only tunes
/// sizes, times and logs, some of it within bounds (``bounds(_:)``): beyond them the design's promises would not hold.
package enum KafkaOptions {
  package enum Role { case consumer, producer, gaplessProducer }

  /// Why an option cannot be given; nil: it can.
  package static func reason(against name: String, _ value: String, _ role: Role) -> String? {
    if let reason = reason(against: name, role) { return reason }
    guard let bound = bounds(role)[name], let number = Int(value.filter { $0 != " " }), !bound.range.contains(number) else { return nil }
    return "\(number) is not from \(bound.range.lowerBound) to \(bound.range.upperBound): \(bound.reason)"
  }

  private static func reason(against name: String, _ role: Role) -> String? {
    if let promise = promises(role)[name] { return promise }
    if let home = homes[name] { return home }
    if common.contains(name) || (role == .consumer ? consumer : producer).contains(name) { return nil }
    if (role == .consumer ? producer : consumer).contains(name) {
      return "it is an option of a \(role == .consumer ? "producer" : "consumer")"
    }
    let near = names(role).filter { distanceIsSmall($0, name) }.min()
    return
      "it is not an allowed option; allowed options only tune sizes, times and logs\(near.map { " (did you mean \($0)?)" } ?? "")"
  }

  /// All that may be given, sorted.
  package static func names(_ role: Role) -> [String] {
    common.union(role == .consumer ? consumer : producer).subtracting(promises(role).keys).sorted()
  }

  private static let common: Set<String> = [
    "api.version.request.timeout.ms", "broker.address.family", "broker.address.ttl", "client.id", "client.rack", "connections.max.idle.ms",
    "debug",
    "enable.sparse.connections", "log.connection.close", "log_level", "max.in.flight", "max.in.flight.requests.per.connection",
    "message.copy.max.bytes", "message.max.bytes", "metadata.max.age.ms", "metadata.request.timeout.ms", "receive.message.max.bytes",
    "reconnect.backoff.max.ms", "reconnect.backoff.ms", "retry.backoff.ms", "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable", "socket.max.fails", "socket.nagle.disable", "socket.receive.buffer.bytes", "socket.send.buffer.bytes",
    "socket.timeout.ms", "statistics.interval.ms", "topic.metadata.propagation.max.ms", "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms", "topic.metadata.refresh.sparse",
  ]

  private static let consumer: Set<String> = [
    "check.crcs", "coordinator.query.interval.ms", "fetch.error.backoff.ms", "fetch.max.bytes", "fetch.message.max.bytes",
    "fetch.min.bytes", "fetch.wait.max.ms", "heartbeat.interval.ms", "max.partition.fetch.bytes",
  ]

  private static let producer: Set<String> = [
    "batch.num.messages", "batch.size", "compression.level", "delivery.timeout.ms", "linger.ms", "message.send.max.retries",
    "message.timeout.ms", "queue.buffering.backpressure.threshold", "queue.buffering.max.kbytes", "queue.buffering.max.messages",
    "queue.buffering.max.ms", "request.timeout.ms", "retries", "sticky.partitioning.linger.ms",
  ]

  /// Options that would break what a client promises.
  private static func promises(_ role: Role) -> [String: String] {
    switch role {
    case .consumer: consumerPromises
    case .producer: producerPromises
    case .gaplessProducer: gaplessPromises
    }
  }

  private static let own = "Weir sets it itself"
  private static let protocolPromises: [String: String] = {
    let old = "Weir needs a current protocol: with an older one the broker leaves out headers, timestamps and transactions"
    return ["api.version.request": old, "api.version.fallback.ms": old, "broker.version.fallback": old]
  }()

  private static let consumerPromises: [String: String] = {
    let behind = "positions come from the ledger; the offsets at the broker are for lag tools only"
    let consumer = [
      "enable.auto.commit": behind, "auto.commit.enable": behind, "auto.commit.interval.ms": behind, "enable.auto.offset.store": behind,
      "auto.offset.reset": "an offset that no longer exists is recorded as a gap, and never skipped",
      "enable.partition.eof": own, "log.queue": own,
    ]
    return consumer.merging(protocolPromises) { own, _ in own }
  }()

  private static let producerPromises: [String: String] = {
    let idempotent = "the producer is always idempotent"
    let producer = [
      "log.queue": own, "enable.idempotence": idempotent, "acks": idempotent, "request.required.acks": idempotent,
      "enable.gapless.guarantee": idempotent, "transactional.id": own, "delivery.report.only.error": own,
    ]
    return producer.merging(protocolPromises) { own, _ in own }
  }()

  /// Of a producer that must leave no gap: a record whose time is over would be left out, and those after it sent.
  private static let gaplessPromises: [String: String] = {
    let waits = "records for a topic wait for its brokers without a limit"
    let own = ["delivery.timeout.ms": waits, "message.timeout.ms": waits, "retries": waits, "message.send.max.retries": waits]
    return producerPromises.merging(own) { own, _ in own }
  }()

  /// Options that are promises only outside of a range.
  private static func bounds(_ role: Role) -> [String: (range: ClosedRange<Int>, reason: String)] {
    switch role {
    case .consumer: consumerBounds
    case .producer, .gaplessProducer: producerBounds
    }
  }

  private static let refresh = "the worker must see new, recreated and deleted topics within 30 s"

  private static let consumerBounds: [String: (range: ClosedRange<Int>, reason: String)] = [
    "topic.metadata.refresh.interval.ms": (10...30_000, refresh + "; use refresh"),
    "topic.metadata.propagation.max.ms": (0...30_000, refresh),
    "metadata.max.age.ms": (1...90_000, refresh),
    "fetch.wait.max.ms": (
      0...5_000, "a partition that is assigned waits this long for its first record, and an idle partition is recognised by its end"
    ),
  ]

  private static let producerBounds: [String: (range: ClosedRange<Int>, reason: String)] = {
    let idempotent = "the producer is always idempotent"
    return [
      "max.in.flight": (1...5, idempotent), "max.in.flight.requests.per.connection": (1...5, idempotent),
      "retries": (1...Int(Int32.max), idempotent), "message.send.max.retries": (1...Int(Int32.max), idempotent),
    ]
  }()

  /// Options whose value has a place of its own in the pipeline.
  private static let homes: [String: String] = {
    let tls = "use tls: {ca, certificate, key, key_password, verify_host}"
    let sasl = "use sasl: {mechanism, user, password}, or {mechanism: OAUTHBEARER, token}"
    let secretTLS = "it holds a secret; name an environment variable or a file in tls: {key, key_password}"
    let secretSASL = "it holds a secret; name an environment variable or a file in sasl: {user, password, token}"
    let queue = "use queue"
    return [
      "bootstrap.servers": "use brokers", "metadata.broker.list": "use brokers", "group.id": "use group",
      "group.instance.id": "use instance", "max.poll.interval.ms": "use handover", "session.timeout.ms": "use session",
      "partition.assignment.strategy": "use assignment", "isolation.level": "use isolation",
      "queued.min.messages": queue, "queued.max.messages.kbytes": queue,
      "partitioner": "use partitioner", "compression.codec": "use compression", "compression.type": "use compression",
      "security.protocol": "it follows from tls and sasl",
      "ssl.ca.location": tls, "ssl.ca.pem": tls, "ssl.certificate.location": tls, "ssl.certificate.pem": tls,
      "ssl.key.location": tls, "ssl.endpoint.identification.algorithm": tls, "enable.ssl.certificate.verification": tls,
      "ssl.key.pem": secretTLS, "ssl.key.password": secretTLS, "ssl_key": secretTLS, "ssl.keystore.password": secretTLS,
      "sasl.mechanisms": sasl, "sasl.mechanism": sasl,
      "sasl.username": secretSASL, "sasl.password": secretSASL, "sasl.oauthbearer.config": secretSASL,
      "sasl.oauthbearer.client.secret": secretSASL,
    ]
  }()

  /// One letter is wrong, missing or too much, or two are exchanged.
  private static func distanceIsSmall(_ a: String, _ b: String) -> Bool {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    guard abs(a.count - b.count) <= 1 else { return false }
    let same = zip(a, b).prefix { $0 == $1 }.count
    let end = zip(a.dropFirst(same).reversed(), b.dropFirst(same).reversed()).prefix { $0 == $1 }.count
    let left = (a.count - same - end, b.count - same - end)
    return max(left.0, left.1) <= 1 || (left == (2, 2) && a[same] == b[same + 1] && a[same + 1] == b[same])
  }
}
