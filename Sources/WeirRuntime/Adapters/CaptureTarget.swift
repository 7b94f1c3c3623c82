import WeirCore

/// What `weir capture` says of the source, apart from the pipeline file or instead of one.
package struct CaptureRequest: Sendable {
  package var brokers: String?
  /// Instead of the pipeline's.
  package var streams: [String]
  /// `earliest`, `latest` or a time: where shards begin that the capture does not have; nil: as the pipeline says.
  package var start: String?
  /// Further options of the client.
  package var options: [String: String]

  package init(brokers: String?, streams: [String], start: String?, options: [String: String]) {
    (self.brokers, self.streams, self.start, self.options) = (brokers, streams, start, options)
  }
}

/// A source whose settings are checked, for a capture.
package protocol CaptureTarget: Sendable {
  /// The streams, as they were named.
  var streams: [String] { get }
  /// Between two looks at the source's shards.
  var refreshMicroseconds: Int64 { get }
  /// Whether it has a stream of this name.
  func reads(_ stream: String) -> Bool
  /// Whether a capture uses a setting of the pipeline, such as `source.kafka.brokers`.
  func isNeeded(_ setting: String) -> Bool
  func open(log: @escaping ClientLog) async throws -> any CapturableSource
}
