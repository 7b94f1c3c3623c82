/// A live source as a capture reads it: all of its shards, by one program and without a group, so that no other consumer notices.
///
/// A capture has dense positions: those of the source, or where it has none, a count of the shard's records. Errors are ``WeirError``s.
public protocol CapturableSource: ShardLooker {
  /// The streams that are captured, as they were named.
  var streams: [String] { get }
  /// All shards that the source has now.
  func shards() async throws -> [SourceShard]
  func bounds(of shards: [String]) async throws -> [String: ShardBounds]
  /// Where shards begin that the capture does not have.
  /// - Parameter isLater: they have come since the capture began, and are captured from their beginning.
  func starts(of shards: [String], isLater: Bool) async throws -> [String: ShardPoint]
  /// Begins to read shards.
  func assign(_ positions: [String: ShardPoint]) async throws -> [any CapturableShard]
  /// Ends reading shards; they may be assigned again.
  func release(_ shards: [String]) async throws
  /// Ends with an error each question that is under way, and all later ones. Reading and ``close()`` stay as they are.
  func refuseQuestions()
  func close() async
}

/// A shard that is being captured.
public protocol CapturableShard: Sendable {
  var name: String { get }
  /// The next records; waits for them. Called by one task at a time.
  /// - Throws: errors of this shard; after one that passes, reading may continue.
  func next() async throws -> CapturableRead
}

public enum CapturableRead: Sendable {
  /// Records, and positions without records, that follow what was read before.
  case block(RecordedBlock)
  /// Everything that the shard held was handed out; more may come.
  case caughtUp
  /// The shard holds nothing at this position any more. Reading has stopped.
  case outOfRange(at: ShardPoint)
  /// Everything that the shard will ever hold was handed out: these have its keys from then on.
  case ended(children: [SourceShard])
  /// The shard was released, or the source closed.
  case closed
}
