/// The settings of one source adapter, as a plan holds them: a type of the adapter's own. The rest of Weir asks only what concerns
/// every source.
public protocol SourceSettings: Sendable, Hashable, Codable {
  /// The adapter's name: the key below `source`.
  static var adapter: String { get }
  /// The member of the plan's document that holds the settings; nil for the one source that a plan without such a member has.
  static var member: String? { get }
  /// For a source whose shards are spread over workers; nil for an input that the engine itself partitions over lanes.
  var live: LiveSourceTraits? { get }
  /// The settings without those that no row depends on: what the plan's hash is made of.
  var meaning: Self { get }
  /// Whether a stream (a topic) is one of the source's.
  func reads(_ stream: String) -> Bool
  /// What the source of a plan reads and how lanes share it, for people.
  func summary(of plan: Plan) -> String
}

extension SourceSettings {
  public static var member: String? { adapter }
  public func summary(of plan: Plan) -> String { Self.adapter }
}

/// What the engine asks of a source whose shards several workers share.
public struct LiveSourceTraits: Sendable, Hashable, Codable {
  /// The streams as they are configured: names or patterns.
  public var streams: [String] = []
  /// The only stream, where the configuration names one.
  public var onlyStream: String?
  /// The producers' rule for keys; nil: detected from the records, and recorded in the ledger.
  public var partitioner: Partitioner?
  public var misplaced = Misplaced.halt
  /// A key may be in one shard of each of several streams, so no lane has all records of a key.
  public var readsSeveralStreams = false
  /// The name under which workers share the shards.
  public var group = ""
  /// Microseconds that handing shards over may take.
  public var handOver: Int64 = 22_500_000
  /// Microseconds of the group's silence after which a worker joins again.
  public var silence: Int64 = 135_000_000
  /// A shard without records for this long leaves the merged watermark by a decision.
  public var idleMicroseconds: Int64 = 30_000_000
  /// Its positions are long or sparse (see ``SequenceNumber``): a lane's ordinals count the shard's records.
  public var countsRecords = false
  /// Its shards end, are split and merged.
  public var reshards = false
  /// Microseconds between two looks at the streams.
  public var refresh: Int64 = 30_000_000

  public init() {}
}

/// Which shard of a stream a producer sends a key to.
public enum Partitioner: String, Sendable, Hashable, Codable, CaseIterable {
  /// Java clients.
  case murmur2
  /// librdkafka's default, so most other clients.
  case crc32
  /// Sarama and some Go clients.
  case fnv1a
}

/// What a worker does with a record whose key is not where the producers' rule puts it.
public enum Misplaced: String, Sendable, Hashable, Codable, CaseIterable {
  /// Tables by the record's key are finished in the lane; a record elsewhere stops the pipeline.
  case halt
  /// All tables are merged, wherever the keys are. Duplicates are found within a shard.
  case merge
  /// Tables by the record's key get the shard as one more column of `by`: one result per key and shard, finished in the lane.
  /// Duplicates are found within a shard.
  case perShard = "per_shard"
}
