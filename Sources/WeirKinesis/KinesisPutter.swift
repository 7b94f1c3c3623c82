import Synchronization
import WeirCore

/// Puts records into a stream.
///
/// PutRecords stores some records of a request and refuses others, each for a reason of its own (API reference, "PutRecords"): those of a
/// shard that gets more than 1,000 records or 1 MB a second. What was refused is put again after a pause, which grows; so records of one key
/// may change their order.
package final class KinesisPutter: Sendable {
  package struct Entry: Sendable {
    package var key: String
    package var data: [UInt8]

    package init(key: String, data: [UInt8]) { (self.key, self.data) = (key, data) }
  }

  package struct Counts: Sendable, Hashable {
    package var delivered = 0
    /// Refused so often that they were given up.
    package var failed = 0
    /// Put again after they were refused.
    package var repeated = 0
  }

  /// Of a request.
  package static let recordsMax = 500
  /// The same, of keys and data: half of what the service takes.
  package static let bytesMax = 5 << 20
  private static let attemptsMax = 20
  private static let pauseFirst: Int64 = 100_000_000
  private static let pauseMax: Int64 = 5_000_000_000

  private let requests: KinesisRequests
  private let clock: any Clock
  private let state = Mutex(Counts())

  package init(_ requests: KinesisRequests, clock: any Clock) { (self.requests, self.clock) = (requests, clock) }

  package var counts: Counts { state.withLock { $0 } }

  /// How many open shards the stream has.
  /// - Throws: `topic_missing`, `refused`, `unavailable`.
  package func shards() async throws(WeirError) -> Int {
    do throws(KinesisFailure) {
      let all = try await requests.shards()
      let parents = Set(all.flatMap(\.parents))
      return all.count { !parents.contains($0.id) }
    } catch { throw error.error }
  }

  /// Puts records, at most ``recordsMax``, until each is stored or given up.
  /// - Throws: what ends the whole load: a stream that is missing, no permission.
  package func put(_ entries: [Entry]) async throws(WeirError) {
    var left = entries
    var attempt = 0
    while !left.isEmpty {
      do throws(KinesisFailure) {
        let refused = try await requests.put(left)
        let stored = left.count - refused.count
        state.withLock { $0.delivered += stored }
        left = refused.map { left[$0] }
      } catch {
        guard error.kind == .throttled || error.kind == .passing else { throw error.error }
      }
      if left.isEmpty { return }
      attempt += 1
      guard attempt < KinesisPutter.attemptsMax, !Task.isCancelled else {
        let count = left.count
        return state.withLock { $0.failed += count }
      }
      let count = left.count
      state.withLock { $0.repeated += count }
      await clock.sleep(nanoseconds: min(KinesisPutter.pauseFirst << Int64(min(attempt, 10) - 1), KinesisPutter.pauseMax))
    }
  }
}

extension KinesisRequests {
  /// - Returns: numbers of the records that were refused, in order.
  func put(_ entries: [KinesisPutter.Entry]) async throws(KinesisFailure) -> [Int] {
    let records = entries.map { entry in
      JSONValue.members(["Data": .string(Base64.encode(entry.data)), "PartitionKey": .string(entry.key)])
    }
    let answer = try await send("PutRecords", [name, .init("Records", .array(records))])
    guard let results = answer["Records"]?.array, results.count == entries.count else {
      throw damaged("PutRecords", "another number of records than were put")
    }
    return results.indices.filter { results[$0]["ErrorCode"].map { !$0.isNull } ?? false }
  }
}
