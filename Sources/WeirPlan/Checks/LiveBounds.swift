/// What settings of a live worker may be: below and above, a client, a broker or the worker itself would not work.
package enum LiveBounds {
  /// From and up to, as a pipeline file has them.
  package struct Bounds {
    package let least: String
    package let most: String

    init(_ least: String, _ most: String) {
      self.least = least
      self.most = most
    }
  }

  /// librdkafka takes an hour at most; brokers have narrower bounds of their own (`group.min.session.timeout.ms`).
  package static let session = Bounds("1s", "1h")
  /// Twice that is the group's rebalance time-out, of which librdkafka takes a day.
  package static let handOver = Bounds("100ms", "1h")
  /// Besides, no shorter than a rebalance: the group may rightly be silent for so long.
  package static let silence = Bounds("1s", "30d")
  /// Below, partitions would go idle between two requests.
  package static let idle = Bounds("10ms", "365d")
  /// Above, topics that come late or were recreated would be noticed too late; below, the brokers would be busy answering.
  package static let refresh = Bounds("500ms", "30s")
  /// Below, there is no room for a batch of a producer.
  package static let queue = Bounds("1MiB", "1024GiB")
  /// Below, a worker that waits for an answer would lose its shards; above, those of a worker that died would wait for too long.
  package static let lease = Bounds("3s", "1h")
  /// Below, a shard would refuse: it answers five requests a second, of all that read it.
  package static let poll = Bounds("250ms", "1m")
  package static let drain = Bounds("1s", "1d")
  /// CloudWatch keeps no value for less than a second; alarms look at minutes.
  package static let cloudWatch = Bounds("1s", "1h")
  /// Below, each request to the service would be about the same value; above, a rotation would be noticed too late.
  package static let secretRefresh = Bounds("1s", "1d")
  /// The worker looks at itself about once a second.
  package static let stall = Bounds("1s", "30d")
  package static let dead = Bounds("1s", "30d")
}
