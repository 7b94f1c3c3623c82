import WeirCore

/// Kafka Connect's `{"schema": …, "payload": …}` around the records of a sample. A replay reads it by `envelope: connect`.
enum SampleEnvelope {
  enum Content {
    case record(JSONValue)
    /// Schema and payload are null.
    case noValue
    /// There is a schema, but no payload.
    case missing
  }

  /// Records at most that are looked at for it.
  private static let recordsMax = 1000

  /// Most of the first objects are in the envelope. A record of one's own may have members of these names: a schema of Connect is an object
  /// with a type, or null.
  static func isUsed(by sample: RecordSample) -> Bool {
    var (inside, others) = (0, 0)
    for number in 0..<min(sample.count, recordsMax) {
      guard let record = try? JSONValue(parsing: sample[number]), record.members != nil else { continue }
      if isEnvelope(record) { inside += 1 } else { others += 1 }
    }
    return inside > others
  }

  private static func isEnvelope(_ record: JSONValue) -> Bool {
    guard record.members?.count == 2, let schema = record["schema"], let payload = record["payload"] else { return false }
    return (schema == .null || schema["type"] != nil) && (payload == .null || payload.members != nil)
  }

  /// What is in a record's envelope; a record without one is its own content.
  static func content(_ record: JSONValue) -> Content {
    guard record.members?.count == 2, let schema = record["schema"], let payload = record["payload"] else { return .record(record) }
    guard payload == .null else { return .record(payload) }
    return schema == .null ? .noValue : .missing
  }
}
