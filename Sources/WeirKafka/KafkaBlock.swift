import WeirCore

/// Offsets of a partition that will never come: left by compaction, transactions or retention. Half open.
public struct KafkaGap: Hashable, Sendable {
  public var from: Int64
  public var to: Int64

  public init(from: Int64, to: Int64) {
    self.from = from
    self.to = to
  }
}

/// Records of one partition, in offset order, copied once into one buffer.
///
/// The values are the spans of ``raw``, which is what the engine decodes; keys and headers are in the same text:
/// ```
/// text   | key 0 | value 0 | headers 0 | key 1 | value 1 | ...
/// raw      spans of the values; a null value (tombstone) is an empty span that `tombstones` names
/// ```
public struct KafkaBlock: Sendable {
  public var partition: KafkaPartition
  /// The values; its position is the first record's offset.
  public var raw: RawBlock
  /// Kafka's offset of each record, ascending.
  public var offsets: [Int64]
  /// UTC milliseconds since 1970 of each record; -1: it has none.
  public var timestamps: [Int64]
  /// Whose clock the timestamps are; the topic's setting, so the same for all records unless it was changed.
  public var timestampKind: TimestampKind
  /// Where each key begins in the text, and its length; -1: no key.
  public var keyOffset: [UInt32]
  public var keyLength: [Int32]
  /// Rows whose value is null, ascending.
  public var tombstones: [UInt32]
  /// Headers of row `i` are `headers[headerStart[i]..<headerStart[i + 1]]`. Empty if no record has one.
  public var headerStart: [UInt32]
  public var headers: [Header]
  /// Offsets that were passed over before or between the records, or after the last.
  public var gaps: [KafkaGap]
  /// Everything before this offset is in this block, in one before, or will never come.
  public var next: Int64

  public enum TimestampKind: Int32, Sendable {
    /// No times.
    case none = 0
    /// The producer's clock.
    case created = 1
    /// The broker's clock.
    case appended = 2
  }

  /// A header of one record: spans of the text.
  public struct Header: Sendable {
    public var nameOffset: UInt32
    public var nameLength: UInt32
    public var valueOffset: UInt32
    /// -1: null.
    public var valueLength: Int32
  }

  public var count: Int { offsets.count }

  /// The value of a row, copied; nil is a tombstone.
  public func value(_ row: Int) -> [UInt8]? {
    guard case .spans(let offset, let length) = raw.framing else { return nil }
    return isTombstone(row) ? nil : bytes(offset[row], length[row])
  }

  /// The key of a row, copied.
  public func key(_ row: Int) -> [UInt8]? {
    keyLength[row] < 0 ? nil : bytes(keyOffset[row], UInt32(keyLength[row]))
  }

  /// The headers of a row, copied.
  public func headers(_ row: Int) -> [(name: String, value: [UInt8]?)] {
    guard !headerStart.isEmpty else { return [] }
    return headers[Int(headerStart[row])..<Int(headerStart[row + 1])].map { header in
      (
        String(decoding: bytes(header.nameOffset, header.nameLength), as: UTF8.self),
        header.valueLength < 0 ? nil : bytes(header.valueOffset, UInt32(header.valueLength))
      )
    }
  }

  public func isTombstone(_ row: Int) -> Bool { tombstones.holdsAscending(UInt32(row)) }

  private func bytes(_ offset: UInt32, _ length: UInt32) -> [UInt8] {
    Array(UnsafeBufferPointer(start: raw.text.base + Int(offset), count: Int(length)))
  }
}
