import CKafka
import Glibc
import WeirKafkaSettings

/// Settings as librdkafka wants them, being built. The client that is made with it takes it over.
final class KafkaConfiguration {
  private(set) var redactor = Redactor()
  private var conf: OpaquePointer?

  init() { conf = rd_kafka_conf_new() }

  deinit { if let conf { rd_kafka_conf_destroy(conf) } }

  /// Hands the configuration to a new client, whose it is from then on.
  func take() -> OpaquePointer {
    guard let taken = conf else { preconditionFailure("a configuration is taken once") }
    conf = nil
    return taken
  }

  /// What events come by queues instead of callbacks.
  func setEvents(_ events: Int32) {
    rd_kafka_conf_set_events(conf, events)
  }

  func set(_ name: String, _ value: some CustomStringConvertible) throws(KafkaError) {
    var text = [CChar](repeating: 0, count: 512)
    guard rd_kafka_conf_set(conf, name, value.description, &text, text.count) == RD_KAFKA_CONF_OK else {
      throw .settings("Kafka option \(name): \(KafkaConfiguration.string(text))", advice: "See librdkafka's list of options.")
    }
  }

  /// Sets an option without a word of its value in an error (librdkafka's own text would quote it).
  func set(_ name: String, secret: Secret) throws(KafkaError) {
    let value = try secret.read()
    redactor.add(value)
    guard rd_kafka_conf_set(conf, name, value, nil, 0) == RD_KAFKA_CONF_OK else {
      throw .settings("Kafka option \(name): the value in the \(secret) cannot be used")
    }
  }

  /// librdkafka ends some of its messages with a line end.
  static func string(_ text: [CChar]) -> String {
    String(decoding: text.prefix { $0 != 0 && $0 != 0x0A }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: What consumers and producers share

  func set(_ connection: KafkaConnection) throws(KafkaError) {
    guard !connection.brokers.isEmpty else {
      throw .settings("no Kafka brokers are configured", advice: "brokers: host:9092,host2:9092")
    }
    if let reason = KafkaNames.refusal(ofBrokers: connection.brokers) {
      throw .settings("the Kafka brokers cannot be used: \(reason)", advice: "brokers: host:9092,host2:9092")
    }
    try set("bootstrap.servers", connection.brokers)
    try set("client.id", connection.clientID)
    // As other clients do: a request's last segment must not wait for the broker's delayed acknowledgement of the one before.
    try set("socket.nagle.disable", true)
    // Log lines come as events on our own thread, not from whatever thread librdkafka is in.
    try set("log.queue", true)
    try setIdentity(connection)
  }

  /// The user's own options, after all others: what is set is what was asked for.
  func set(options: [String: String], of role: KafkaOptions.Role) throws(KafkaError) {
    for (name, value) in options.sorted(by: { $0.key < $1.key }) {
      if let reason = KafkaOptions.reason(against: name, value, role) {
        throw .settings("Kafka option \(name) cannot be given: \(reason)")
      }
      try set(name, value)
    }
  }

  private func setIdentity(_ connection: KafkaConnection) throws(KafkaError) {
    switch (connection.tls, connection.sasl) {
    case (nil, nil): try set("security.protocol", "plaintext")
    case (_?, nil): try set("security.protocol", "ssl")
    case (nil, _?): try set("security.protocol", "sasl_plaintext")
    case (_?, _?): try set("security.protocol", "sasl_ssl")
    }
    if let tls = connection.tls { try set(tls) }
    if let sasl = connection.sasl { try set(sasl) }
  }

  private func set(_ tls: KafkaTLS) throws(KafkaError) {
    if let authorities = tls.authorities { try set("ssl.ca.location", readable(authorities, "ca")) }
    if let certificate = tls.certificate { try set("ssl.certificate.location", readable(certificate, "certificate")) }
    // The password goes first: the key is opened with it.
    if let password = tls.keyPassword { try set("ssl.key.password", secret: password) }
    if let key = tls.key { try set("ssl.key.pem", secret: key) }
    guard (tls.certificate == nil) == (tls.key == nil) else {
      throw .settings("mutual TLS needs both a certificate and its key", advice: "Give tls.certificate and tls.key, or neither.")
    }
    try set("ssl.endpoint.identification.algorithm", tls.checksHostName ? "https" : "none")
  }

  /// librdkafka's own words do not name the file.
  private func readable(_ path: String, _ what: String) throws(KafkaError) -> String {
    guard access(path, R_OK) == 0 else {
      throw .settings("tls.\(what): \(path) cannot be read: \(String(cString: strerror(errno)))", advice: "Check its path and permissions.")
    }
    return path
  }

  private func set(_ sasl: KafkaSASL) throws(KafkaError) {
    switch sasl {
    case .plain(let user, let password):
      try set("sasl.mechanisms", "PLAIN")
      try set("sasl.username", secret: user)
      try set("sasl.password", secret: password)
    case .scram(let hash, let user, let password):
      try set("sasl.mechanisms", hash.rawValue)
      try set("sasl.username", secret: user)
      try set("sasl.password", secret: password)
    case .bearer(let token):
      // The token itself is handed over when librdkafka asks for one (see BearerToken).
      try set("sasl.mechanisms", "OAUTHBEARER")
      redactor.add(try token.read())
    case .tokens: try set("sasl.mechanisms", "OAUTHBEARER")
    }
  }
}

extension KafkaConsumerSettings {
  /// Why an option cannot be given in ``KafkaConnection/options``; nil: it can.
  package static func refusal(ofOption name: String, _ value: String) -> String? { KafkaOptions.refusal(name, value, .consumer) }

  func configuration() throws(KafkaError) -> KafkaConfiguration {
    let conf = KafkaConfiguration()
    try conf.set(connection)
    try conf.set("group.id", group)
    if let instance { try conf.set("group.instance.id", instance) }
    if let reason = KafkaLibrary.refusal(of: strategy) {
      throw .settings(reason, advice: "Use assignment: eager, which is the default, or a newer librdkafka.")
    }
    try conf.set("partition.assignment.strategy", strategy.rawValue)
    try conf.set("isolation.level", isolation.rawValue)
    try conf.set("session.timeout.ms", sessionTimeoutMilliseconds)
    // Not about polling here: the client's own threads poll. It is the group's rebalance time-out.
    try conf.set("max.poll.interval.ms", max(sessionTimeoutMilliseconds, rebalanceTimeoutMilliseconds))
    if connection.options["heartbeat.interval.ms"] == nil {
      try conf.set("heartbeat.interval.ms", max(100, min(3_000, sessionTimeoutMilliseconds / 3)))
    }
    try conf.set("enable.auto.commit", false)
    try conf.set("enable.auto.offset.store", false)
    try conf.set("auto.offset.reset", "error")
    // How late topics are seen that fit a pattern, and those that were deleted.
    try conf.set("topic.metadata.refresh.interval.ms", topicRefreshMilliseconds)
    // The end of a partition shows a lane that it is idle, and what is unreadable after the last record.
    try conf.set("enable.partition.eof", true)
    try setSizes(conf)
    try conf.set("statistics.interval.ms", statisticsIntervalMilliseconds)
    try conf.set(options: connection.options, of: .consumer)
    conf.setEvents(
      RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS
        | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH)
    return conf
  }

  private func setSizes(_ conf: KafkaConfiguration) throws(KafkaError) {
    try conf.set("queued.min.messages", queueRecordsPerPartition)
    try conf.set("queued.max.messages.kbytes", max(1, queueBytesPerPartition >> 10))
    // A partition that is assigned, or has room again, waits for the request under way on its broker's connection, and
    // that one waits at the broker as long as this if nothing comes.
    if connection.options["fetch.wait.max.ms"] == nil { try conf.set("fetch.wait.max.ms", 100) }
    // A broker sends at least one batch whatever these say; the response must be allowed to be a little larger.
    let framing = 1 << 20
    if connection.options["fetch.message.max.bytes"] == nil {
      try conf.set("fetch.message.max.bytes", max(1 << 20, recordBytesMax + framing / 2))
    }
    let fetchBytes = max(50 << 20, recordBytesMax + framing)
    if connection.options["fetch.max.bytes"] == nil {
      try conf.set("message.max.bytes", min(1_000_000_000, recordBytesMax + framing / 2))
      try conf.set("fetch.max.bytes", fetchBytes)
      try conf.set("receive.message.max.bytes", fetchBytes + 2 * framing)
    }
  }
}

extension KafkaProducerSettings {
  /// Why an option cannot be given in ``KafkaConnection/options``; nil: it can.
  package static func refusal(ofOption name: String, _ value: String, isGapless: Bool) -> String? {
    KafkaOptions.refusal(name, value, isGapless ? .gaplessProducer : .producer)
  }

  func configuration() throws(KafkaError) -> KafkaConfiguration {
    let conf = KafkaConfiguration()
    try conf.set(connection)
    try conf.set("enable.idempotence", true)
    try conf.set("enable.gapless.guarantee", isGapless)
    try conf.set("compression.codec", compression.rawValue)
    // murmur2_random and murmur2, consistent_random and consistent, fnv1a_random and fnv1a.
    try conf.set("partitioner", fixesKeyless ? String(partitioner.rawValue.dropLast("_random".utf8.count)) : partitioner.rawValue)
    try conf.set("delivery.report.only.error", reports == .failures)
    try conf.set("linger.ms", lingerMilliseconds)
    try conf.set("batch.size", batchBytes)
    try conf.set("batch.num.messages", batchRecords)
    try conf.set("message.max.bytes", recordBytesMax + (1 << 16))
    try conf.set("queue.buffering.max.messages", queueRecords)
    try conf.set("queue.buffering.max.kbytes", max(1, queueBytes >> 10))
    try conf.set("delivery.timeout.ms", deliveryTimeoutMilliseconds)
    try conf.set("statistics.interval.ms", statisticsIntervalMilliseconds)
    try conf.set(options: connection.options, of: isGapless ? .gaplessProducer : .producer)
    conf.setEvents(
      RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_LOG
        | RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH)
    return conf
  }
}

extension KafkaOptions {
  /// Why an option cannot be given in ``KafkaConnection/options``; nil: it can.
  package static func refusal(_ name: String, _ value: String, _ role: Role) -> String? {
    if let reason = reason(against: name, value, role) { return reason }
    do throws(KafkaError) {
      try KafkaConfiguration().set(name, value)
      return nil
    } catch { return error.message }
  }
}
