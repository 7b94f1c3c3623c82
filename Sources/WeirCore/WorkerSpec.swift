/// Where a live worker answers probes, metrics and questions. A setting, no meaning.
public struct AdminSpec: Sendable, Hashable, Codable {
  /// `host:port`; another host than the loopback one lets others in.
  public var listen: String
  /// Names that clients may use for this server, besides IP addresses, `localhost` and the host of ``listen``.
  public var hosts: [String]?
  /// What everything but probes asks for; nil: nothing.
  public var token: SecretSpec?
  /// Whether `/metrics` asks for ``token`` as well.
  public var protectsMetrics: Bool?
  /// Other machines may reach it without a token.
  public var isInsecure: Bool?

  public init(listen: String = "127.0.0.1:9464") { self.listen = listen }
}

/// How long a live worker may take for what, and how much memory any worker may take. Settings, no meaning.
public struct WorkerSpec: Sendable, Hashable, Codable {
  /// From SIGTERM to the end: what is not handed over by then, the others take when the session has timed out.
  public var drainMicroseconds: Int64 = 25_000_000
  /// Without progress for this long, with something to do: a line in the log.
  public var stallMicroseconds: Int64 = 60_000_000
  /// Without progress for this long: `/live` fails.
  public var deadMicroseconds: Int64 = 300_000_000
  /// Bytes; nil: three quarters of what the container or the machine has.
  public var memoryBytes: Int64?
  /// Metrics for CloudWatch, as lines of the log; nil: none.
  public var cloudWatch: CloudWatchSpec?

  public init() {}
}

/// Metrics in CloudWatch's embedded metric format.
public struct CloudWatchSpec: Sendable, Hashable, Codable {
  public var namespace: String
  /// From one line to the next.
  public var everyMicroseconds: Int64

  public init(namespace: String = "Weir", everyMicroseconds: Int64 = 60_000_000) {
    (self.namespace, self.everyMicroseconds) = (namespace, everyMicroseconds)
  }
}
