import WeirCore

/// The settings of `source: {kinesis: …}`, as a plan holds them.
package struct KinesisSourceSpec: SourceSettings {
  package static let adapter = "kinesis"

  /// A stream's name. Its ARN, where one is given, is in the settings: another account's stream has the same meaning.
  package var stream: String
  /// What becomes of a pipeline whose keys are not where Kinesis's rule puts them.
  package var misplaced: Misplaced
  /// How to reach it: no part of the plan's meaning.
  package var settings: KinesisSettingsSpec

  package init(stream: String, misplaced: Misplaced = .halt, settings: KinesisSettingsSpec = .init()) {
    self.stream = stream
    self.misplaced = misplaced
    self.settings = settings
  }

  package var live: LiveSourceTraits? {
    var traits = LiveSourceTraits()
    (traits.streams, traits.onlyStream, traits.misplaced) = ([stream], stream, misplaced)
    (traits.countsRecords, traits.reshards) = (true, true)
    traits.group = settings.app
    (traits.handOver, traits.silence, traits.refresh) = (settings.handOverMicroseconds, settings.silence, settings.refreshMicroseconds)
    traits.idleMicroseconds = settings.idleMicroseconds
    return traits
  }

  package var meaning: KinesisSourceSpec { KinesisSourceSpec(stream: stream, misplaced: misplaced) }

  package func reads(_ stream: String) -> Bool { stream == self.stream }

  package func summary(of plan: Plan) -> String {
    let place = settings.region.map { " in \($0)" } ?? ""
    let keys =
      switch misplaced {
      case .halt: "a key outside of its shard's hashes stops the pipeline"
      case .merge: "keys may be in any shard, and tables by key are merged"
      case .perShard: "keys may be in any shard, and tables by key have a row per shard"
      }
    return
      "Kinesis stream \(stream)\(place), one lane per shard\(settings.fanOut == nil ? "" : ", read by enhanced fan-out"), shared by the workers of the application \(settings.app) (its leases are in the DynamoDB table \(settings.app)); \(keys)"
  }

  /// A plan's Kinesis source; nil: it has another.
  package static func of(_ plan: Plan) -> KinesisSourceSpec? { plan.source.settings as? KinesisSourceSpec }
}

/// Settings of a Kinesis source: none changes a row.
package struct KinesisSettingsSpec: Sendable, Hashable, Codable {
  package enum Start: Sendable, Hashable, Codable {
    case trimHorizon
    case latest
    /// The first record that arrived at or after it, UTC microseconds.
    case time(Int64)
  }

  /// Reading by enhanced fan-out.
  package struct FanOut: Sendable, Hashable, Codable {
    /// Of a consumer that exists; nil: one with the application's name, which a worker registers.
    package var consumerARN: String?

    package init(consumerARN: String? = nil) { self.consumerARN = consumerARN }
  }

  /// nil: by polling.
  package var fanOut: FanOut?
  /// The name under which workers share the shards, and of the table with their leases.
  package var app = ""
  /// Of a stream that is named by it; requests name the stream in the same way.
  package var arn: String?
  package var start = Start.trimHorizon
  /// nil: as the ARN, the environment and the shared configuration say.
  package var region: String?
  /// Another address of Kinesis than the service's own, such as that of a local server.
  package var endpoint: String?
  /// The same of DynamoDB, for the leases.
  package var leaseEndpoint: String?
  /// A lease whose counter did not change for this long may be taken.
  package var leaseMicroseconds: Int64 = 10_000_000
  /// Between two questions to a shard that had nothing new.
  package var pollMicroseconds: Int64 = 1_000_000
  /// How long handing shards over may take.
  package var handOverMicroseconds: Int64 = 20_000_000
  /// A shard without records for this long leaves the merged watermark by a decision.
  package var idleMicroseconds: Int64 = 30_000_000
  /// How often a worker asks which shards there are, and whether they are still those that it reads.
  package var refreshMicroseconds: Int64 = 30_000_000
  /// Makes the table of leases where it is missing.
  package var createsTable = true

  package init() {}

  /// Microseconds of the lease table's silence after which a worker begins again.
  package var silence: Int64 { max(60_000_000, leaseMicroseconds * 6) }
}
