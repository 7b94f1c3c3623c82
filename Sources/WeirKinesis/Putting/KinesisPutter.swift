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
    /// Instead of the key's own.
    package var explicitHash: UInt128?
    /// Of an aggregate.
    var packed: Packed?

    package init(key: String, data: [UInt8], explicitHash: UInt128? = nil) {
      (self.key, self.data, self.explicitHash) = (key, data, explicitHash)
    }

    /// What decides which shard has it.
    var hash: UInt128 { explicitHash ?? Aggregate.hash(ofKey: key) }
    /// Of the caller's records.
    var count: Int { packed?.entries.count ?? 1 }
  }

  /// What an aggregate was made of, and for which shard.
  struct Packed: Sendable {
    var entries: [Entry]
    var shard: String
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
  /// nil: each record is put as it is.
  private let packer: Mutex<AggregatePacker>?

  /// - Parameter aggregates: packs records into aggregates.
  package init(_ requests: KinesisRequests, clock: any Clock, aggregates: Bool = false) {
    (self.requests, self.clock) = (requests, clock)
    packer = aggregates ? Mutex(AggregatePacker([])) : nil
  }

  package var counts: Counts { state.withLock { $0 } }
  package var aggregates: Bool { packer != nil }

  /// How many open shards the stream has. Aggregates are made for these shards from now on.
  /// - Throws: `topic_missing`, `refused`, `unavailable`.
  @discardableResult
  package func shards() async throws(WeirError) -> Int {
    do throws(KinesisFailure) { return try await list() } catch { throw error.error }
  }

  private func list() async throws(KinesisFailure) -> Int {
    let all = try await requests.shards()
    let parents = Set(all.flatMap(\.parents))
    let open = all.filter { !parents.contains($0.id) }
    packer?.withLock { $0.shards = open.map { ($0.id, $0.range) } }
    return open.count
  }

  /// Puts records until each is stored or given up.
  /// - Parameter entries: at most ``recordsMax``, if they are not packed into aggregates.
  /// - Throws: what ends the whole load: a stream that is missing, no permission.
  package func put(_ entries: [Entry]) async throws(WeirError) {
    var left = packed(entries)
    var attempt = 0
    while !left.isEmpty {
      do throws(KinesisFailure) {
        // Of few shards, aggregates are far fewer than records; each alone may be large.
        left = try await stored(Array(left.prefix(KinesisPutter.recordsMax))) + left.dropFirst(KinesisPutter.recordsMax)
      } catch {
        guard error.kind == .throttled || error.kind == .passing else { throw error.error }
      }
      if left.isEmpty { return }
      attempt += 1
      let count = left.reduce(0) { $0 + $1.count }
      guard attempt < KinesisPutter.attemptsMax, !Task.isCancelled else { return state.withLock { $0.failed += count } }
      state.withLock { $0.repeated += count }
      await clock.sleep(nanoseconds: min(KinesisPutter.pauseFirst << Int64(min(attempt, 10) - 1), KinesisPutter.pauseMax))
    }
  }

  private func packed(_ entries: [Entry]) -> [Entry] { packer?.withLock { $0.pack(entries) } ?? entries }

  /// One request.
  /// - Returns: what is to be put again.
  private func stored(_ entries: [Entry]) async throws(KinesisFailure) -> [Entry] {
    let results = try await requests.put(entries)
    var again: [Entry] = []
    var elsewhere: [(packed: Packed, shard: String)] = []
    for (entry, shard) in zip(entries, results) {
      if let shard, let packed = entry.packed, packed.shard != shard {
        elsewhere.append((packed, shard))
      } else if shard != nil {
        state.withLock { $0.delivered += entry.count }
      } else {
        again.append(entry)
      }
    }
    return elsewhere.isEmpty ? again : await again + repacked(elsewhere)
  }

  /// Aggregates that another shard got than they were made for: it was split or merged. Where a record of one does not belong to its shard, the
  /// consumer leaves the whole aggregate out, and all its records are put again, as KPL does.
  private func repacked(_ elsewhere: [(packed: Packed, shard: String)]) async -> [Entry] {
    // If it fails, the records are put again once more.
    _ = try? await list()
    var again: [Entry] = []
    for (packed, shard) in elsewhere {
      let range = packer?.withLock { packer in packer.shards.first { $0.id == shard }?.range }
      if let range, packed.entries.allSatisfy({ range.contains($0.hash) }) {
        state.withLock { $0.delivered += packed.entries.count }
      } else {
        again += self.packed(packed.entries)
      }
    }
    return again
  }
}

extension KinesisRequests {
  /// - Returns: of each record, the shard that has it; nil: it was refused.
  func put(_ entries: [KinesisPutter.Entry]) async throws(KinesisFailure) -> [String?] {
    let records = entries.map { entry in
      var record: [JSONValue.Member] = [
        .init("Data", .string(Base64.encode(entry.data))), .init("PartitionKey", .string(entry.key)),
      ]
      if let hash = entry.explicitHash { record.append(.init("ExplicitHashKey", .string(String(hash)))) }
      return JSONValue.object(record)
    }
    let answer = try await send("PutRecords", [name, .init("Records", .array(records))])
    guard let results = answer["Records"]?.array, results.count == entries.count else {
      throw damaged("PutRecords", "another number of records than were put")
    }
    return results.map { result in
      let isRefused = result["ErrorCode"].map { !$0.isNull } ?? false
      return isRefused ? nil : result["ShardId"]?.string ?? ""
    }
  }
}
