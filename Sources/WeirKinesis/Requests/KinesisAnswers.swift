import WeirCore

/// A shard as ListShards describes it (API reference, "Shard").
package struct KinesisShard: Sendable, Hashable {
  /// `shardId-000000000003`.
  package var id: String
  /// One after a split, two after a merge.
  package var parents: [String]
  /// Hashes of its records' keys.
  package var range: HashRange
  /// It takes no more records: a number after that of its last one.
  package var end: SequenceNumber?

  package var isClosed: Bool { end != nil }

  package init(id: String, parents: [String] = [], range: HashRange = .all, end: SequenceNumber? = nil) {
    (self.id, self.parents, self.range, self.end) = (id, parents, range, end)
  }

  /// nil: damaged.
  init?(_ json: JSONValue) {
    guard let id = json["ShardId"]?.string, !id.isEmpty, let range = KinesisShard.range(json) else { return nil }
    self.id = id
    self.range = range
    parents = [json["ParentShardId"], json["AdjacentParentShardId"]].compactMap { $0?.string }.filter { !$0.isEmpty }
    end = json["SequenceNumberRange"]?["EndingSequenceNumber"]?.string.flatMap { SequenceNumber($0) }
  }

  private static func range(_ json: JSONValue) -> HashRange? {
    guard let keys = json["HashKeyRange"], let first = keys["StartingHashKey"]?.string.flatMap({ UInt128($0) }),
      let last = keys["EndingHashKey"]?.string.flatMap({ UInt128($0) }), first <= last
    else { return nil }
    return HashRange(first, last)
  }

  /// As a lane's shard: `stream/shardId-…`, with the number at its end.
  package func source(_ stream: String) -> SourceShard {
    SourceShard(
      name: "\(stream)/\(id)", stream: stream, number: id.lastIndex(of: "-").flatMap { Int(id[id.index(after: $0)...]) } ?? 0,
      parents: parents.map { "\(stream)/\($0)" }, hashRange: range)
  }
}

/// What DescribeStreamSummary says.
struct StreamSummary: Sendable, Equatable {
  /// When the stream was made, milliseconds since 1970: it tells one stream of a name from the next.
  var created: String
  var retentionHours: Int64
  /// Consumers are registered by it.
  var arn: String?
  /// Such as `ACTIVE`; empty: the service does not say.
  var status: String

  init?(_ json: JSONValue) {
    guard let summary = json["StreamDescriptionSummary"] else { return nil }
    switch summary["StreamCreationTimestamp"] {
    case .int(let seconds)?: created = "created \(seconds.saturatingProduct(1000))"
    case .number(let text)?:
      // Of the same moment there are several texts.
      guard let seconds = Double(text), abs(seconds) < 1e12 else { return nil }
      created = "created \(Int64((seconds * 1000).rounded()))"
    case .string(let text)?: created = "created \(text)"
    default: return nil
    }
    retentionHours = summary["RetentionPeriodHours"]?.int ?? 24
    arn = summary["StreamARN"]?.string
    status = summary["StreamStatus"]?.string ?? ""
  }
}

/// A record as the shard stores it: an outer record, which may be an aggregate.
struct OuterRecord: Sendable, Equatable {
  /// A number without leading zeros, see ``SequenceNumber``.
  var sequence: SequenceNumber
  /// UTC milliseconds since 1970, by the service's clock; -1: it does not say.
  var arrival: Int64
  var key: String
  var data: [UInt8]

  init(sequence: SequenceNumber, arrival: Int64 = -1, key: String, data: [UInt8]) {
    (self.sequence, self.arrival, self.key, self.data) = (sequence, arrival, key, data)
  }
}

/// What GetRecords says, and an event of SubscribeToShard.
struct RecordsAnswer: Sendable, Equatable {
  var records: [OuterRecord] = []
  /// An iterator, or the number after which a subscription continues; nil: the shard has ended.
  var next: String?
  /// nil: the service does not say.
  var millisecondsBehind: Int64?
  /// Of keys and data.
  var bytes = 0
}

extension RecordsAnswer {
  /// nil: damaged. A record that cannot be read would be a record lost.
  init?(_ json: JSONValue, next name: String = "NextShardIterator") {
    next = json[name]?.string
    millisecondsBehind = json["MillisBehindLatest"]?.int
    guard let list = json["Records"]?.array else { return nil }
    records.reserveCapacity(list.count)
    for item in list {
      guard let digits = item["SequenceNumber"]?.string, let sequence = SequenceNumber(digits), let key = item["PartitionKey"]?.string,
        let text = item["Data"]?.string, let data = Base64Text.bytes(text)
      else { return nil }
      records.append(OuterRecord(sequence: sequence, arrival: RecordsAnswer.arrival(item), key: key, data: data))
      bytes += key.utf8.count + data.count
    }
  }

  /// Seconds since 1970 with a fraction, as a number.
  private static func arrival(_ item: JSONValue) -> Int64 {
    switch item["ApproximateArrivalTimestamp"] {
    case .int(let seconds)?: seconds.saturatingProduct(1000)
    case .number(let text)?: Double(text).flatMap { abs($0) < 1e12 ? Int64(($0 * 1000).rounded()) : nil } ?? -1
    default: -1
    }
  }
}

/// RFC 4648, section 4, with its padding.
enum Base64Text {
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, letter) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8.enumerated() {
      values[Int(letter)] = UInt8(value)
    }
    return values
  }()

  /// - Returns: nil: it is none.
  static func bytes(_ text: String) -> [UInt8]? {
    var text = text
    return text.withUTF8 { read($0) }
  }

  private static func read(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    guard !text.isEmpty else { return [] }
    let padding = text.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
    guard padding < 2 || text[text.count - 1] == text[text.count - 2] else { return nil }
    if padding == 1, text[text.count - 1] != UInt8(ascii: "=") { return nil }
    let count = text.count / 4 * 3 - padding
    var isSound = true
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { out, written in
      values.withUnsafeBufferPointer { values in
        for start in stride(from: 0, to: text.count, by: 4) {
          var word: UInt32 = 0
          for at in start..<start + 4 {
            let value = at >= text.count - padding ? 0 : values[Int(text[at])]
            if value > 63 { isSound = false }
            word = word << 6 | UInt32(value & 63)
          }
          for (place, shift) in [(0, 16), (1, 8), (2, 0)] as [(Int, UInt32)] where written < count {
            _ = place
            out[written] = UInt8(truncatingIfNeeded: word >> shift)
            written += 1
          }
        }
      }
    }
    return isSound ? bytes : nil
  }
}
