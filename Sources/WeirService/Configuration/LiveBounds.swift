import Yams

/// What settings of a live worker may be: below and above, a client, a broker or the worker itself would not work.
enum LiveBounds {
  /// From and up to, as a pipeline file has them.
  struct Bounds {
    let least: String
    let most: String

    init(_ least: String, _ most: String) {
      self.least = least
      self.most = most
    }
  }

  /// librdkafka takes an hour at most; brokers have narrower bounds of their own (`group.min.session.timeout.ms`).
  static let session = Bounds("1s", "1h")
  /// Twice that is the group's rebalance time-out, of which librdkafka takes a day.
  static let handOver = Bounds("100ms", "1h")
  /// Besides, no shorter than a rebalance: the group may rightly be silent for so long.
  static let silence = Bounds("1s", "30d")
  /// Below, partitions would go idle between two requests.
  static let idle = Bounds("10ms", "365d")
  /// Above, topics that come late or were recreated would be noticed too late; below, the brokers would be busy answering.
  static let refresh = Bounds("500ms", "30s")
  /// Below, there is no room for a batch of a producer.
  static let queue = Bounds("1MiB", "1024GiB")
  static let drain = Bounds("1s", "1d")
  /// The worker looks at itself about once a second.
  static let stall = Bounds("1s", "30d")
  static let dead = Bounds("1s", "30d")
}

extension YAMLReader {
  /// A duration, as microseconds, within bounds.
  func duration(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    duration(node, what).flatMap { within(bounds, $0, QuantityText.microseconds, node, what, "bad_duration") }
  }

  /// A size, as bytes, within bounds.
  func bytes(_ node: Node, _ what: String, within bounds: LiveBounds.Bounds) -> Int64? {
    bytes(node, what).flatMap { within(bounds, $0, QuantityText.bytes, node, what, "bad_size") }
  }

  private func within(
    _ bounds: LiveBounds.Bounds, _ value: Int64, _ quantity: (String) -> Int64?, _ node: Node, _ what: String, _ code: String
  ) -> Int64? {
    guard let least = quantity(bounds.least), let most = quantity(bounds.most) else { preconditionFailure("a bound is not a quantity") }
    if value >= least, value <= most { return value }
    report("\(what): \(node.string ?? "") is not from \(bounds.least) to \(bounds.most)", code, at: node)
    return nil
  }
}
