import Foundation
import WeirCore
import WeirEngine
import WeirKafka
import WeirKafkaSettings

/// A plan's Kafka settings as the adapter's.
package enum KafkaWiring {
  /// Blocks of all shards together, one being made and one being worked on: so blocks are small where shards are many.
  private static let blocksBytes = 64 << 20
  private static let recordBytes = 300

  /// - Parameters:
  ///   - brokers: instead of the plan's.
  ///   - shards: about how many will be read, for the sizes of their queues.
  ///   - memory: of a worker: its queues and blocks have a part of it.
  package static func settings(
    _ spec: KafkaSourceSpec, brokers: String?, shards: Int, memory: MemoryBudget? = nil
  ) -> KafkaConsumerSettings {
    let from = spec.settings
    var connection = KafkaConnection(brokers: brokers ?? from.brokers)
    connection.tls = from.tls.map(tls)
    connection.sasl = from.sasl.map(sasl)
    connection.options = from.options
    var settings = KafkaConsumerSettings(connection: connection, topics: spec.topics, group: from.group)
    settings.strategy = from.isCooperative ? .cooperative : .eager
    settings.instance = from.instance
    settings.isolation = from.readsUncommitted ? .readUncommitted : .readCommitted
    settings.sessionTimeoutMilliseconds = Int(from.sessionMicroseconds / 1000)
    settings.rebalanceTimeoutMilliseconds = Int(from.rebalance / 1000)
    settings.topicRefreshMilliseconds = Int(from.refresh / 1000)
    let share = max(1, shards)
    let queue = memory.map { min(from.queueBytes, $0.queueBytes) } ?? from.queueBytes
    settings.queueBytesPerPartition = min(16 << 20, max(queue < from.queueBytes ? 64 << 10 : 1 << 20, Int(queue) / share))
    // Each record takes this much beside its bytes.
    if let memory { settings.queueRecordsPerPartition = min(100_000, max(500, Int(memory.queueBytes) / share / recordBytes)) }
    let blocks = memory.map { min(blocksBytes, Int($0.queueBytes)) } ?? blocksBytes
    settings.blockBytes = min(memory?.blockBytes ?? 1 << 20, max(64 << 10, blocks / share))
    settings.blocksAhead = share > 16 ? 0 : 1
    return settings
  }

  /// Waits for the records of one batch, which costs nothing where thousands are sent at once.
  private static let sinkLingerMilliseconds = 5

  /// - Parameter source: of a live pipeline, for a sink without brokers of its own.
  static func settings(_ spec: KafkaSinkSpec, source: KafkaSourceSpec?, brokers: String?) -> KafkaProducerSettings {
    let own = spec.brokers != nil
    var connection = KafkaConnection(brokers: spec.brokers ?? brokers ?? source?.settings.brokers ?? "")
    connection.tls = (own ? spec.tls : spec.tls ?? source?.settings.tls).map(tls)
    connection.sasl = (own ? spec.sasl : spec.sasl ?? source?.settings.sasl).map(sasl)
    connection.options = spec.options
    var settings = KafkaProducerSettings(connection: connection)
    settings.compression = .init(rawValue: spec.compression.rawValue) ?? .none
    settings.partitioner =
      switch spec.partitioner {
      case .murmur2: .murmur2
      case .crc32: .crc32
      case .fnv1a: .fnv1a
      }
    settings.lingerMilliseconds = sinkLingerMilliseconds
    // The engine itself bounds what waits; a broker that is away is waited for.
    settings.queueBytes = 64 << 20
    settings.deliveryTimeoutMilliseconds = 0
    settings.isGapless = true
    settings.fixesKeyless = true
    return settings
  }

  package static func start(_ start: KafkaSettingsSpec.Start) -> KafkaStart {
    switch start {
    case .earliest: .earliest
    case .latest: .latest
    case .time(let microseconds): .timestamp(microseconds / 1000)
    case .offsets(let offsets):
      .offsets(
        offsets.reduce(into: [:]) { result, item in
          let parts = item.key.split(separator: "/")
          if parts.count == 2, let number = Int32(parts[1]) { result[KafkaPartition(String(parts[0]), number)] = item.value }
        })
    }
  }

  package static func secret(_ spec: SecretSpec) -> Secret {
    switch spec {
    case .environment(let name): .environment(name)
    case .file(let path): .file(path)
    case .stored(let stored):
      .provided(
        SecretProvider(
          "\(stored)", read: { () throws(WeirError) in try SecretService.read(stored) },
          current: { SecretService.renewed(stored) }, refused: { SecretService.shared.refused(stored) }))
    }
  }

  private static func tls(_ spec: TLSSpec) -> KafkaTLS {
    var tls = KafkaTLS()
    tls.authorities = spec.authorities
    tls.certificate = spec.certificate
    tls.key = spec.key.map(secret)
    tls.keyPassword = spec.keyPassword.map(secret)
    tls.checksHostName = spec.checksHostName
    return tls
  }

  private static func sasl(_ spec: KafkaSettingsSpec.SASL) -> KafkaSASL {
    switch spec {
    case .token(let token): .bearer(token: secret(token))
    case .awsIAM(let region): .tokens(MSKSigner.tokens(region: region))
    case .password("SCRAM-SHA-256", let user, let password): .scram(.sha256, user: secret(user), password: secret(password))
    case .password("SCRAM-SHA-512", let user, let password): .scram(.sha512, user: secret(user), password: secret(password))
    case .password(_, let user, let password): .plain(user: secret(user), password: secret(password))
    }
  }
}
