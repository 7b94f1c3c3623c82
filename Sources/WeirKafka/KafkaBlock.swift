import WeirCore

/// Offsets of a partition that will never come: left by compaction, transactions or retention. Half open.
package struct KafkaGap: Hashable, Sendable {
  package var from: Int64
  package var to: Int64

  package init(from: Int64, to: Int64) {
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
package struct KafkaBlock: Sendable {
  package var partition: KafkaPartition
  /// The values; its position is the first record's offset.
  package var raw: RawBlock
  /// Kafka's offset of each record, ascending.
  package var offsets: [Int64]
  /// UTC milliseconds since 1970 of each record; -1: it has none.
  package var timestamps: [Int64]
  /// Whose clock the timestamps are; the topic's setting, so the same for all records unless it was changed.
  package var timestampKind: TimestampKind
  /// Where each key begins in the text, and its length; -1: no key.
  package var keyOffset: [UInt32]
  package var keyLength: [Int32]
  /// Rows whose value is null, ascending.
  package var tombstones: [UInt32]
  /// Headers of row `i` are `headers[headerStart[i]..<headerStart[i + 1]]`. Empty if no record has one.
  package var headerStart: [UInt32]
  package var headers: [Header]
  /// Offsets that were passed over before or between the records, or after the last.
  package var gaps: [KafkaGap]
  /// Everything before this offset is in this block, in one before, or will never come.
  package var next: Int64

  package enum TimestampKind: Int32, Sendable {
    /// No times.
    case none = 0
    /// The producer's clock.
    case created = 1
    /// The broker's clock.
    case appended = 2
  }

  /// A header of one record: spans of the text.
  package struct Header: Sendable {
    package var nameOffset: UInt32
    package var nameLength: UInt32
    package var valueOffset: UInt32
    /// -1: null.
    package var valueLength: Int32
  }

  package var count: Int { offsets.count }

  /// The value of a row, copied; nil is a tombstone.
  package func value(_ row: Int) -> [UInt8]? {
    guard case .spans(let offset, let length) = raw.framing else { return nil }
    return isTombstone(row) ? nil : bytes(offset[row], length[row])
  }

  /// The key of a row, copied.
  package func key(_ row: Int) -> [UInt8]? {
    keyLength[row] < 0 ? nil : bytes(keyOffset[row], UInt32(keyLength[row]))
  }

  /// The headers of a row, copied.
  package func headers(_ row: Int) -> [(name: String, value: [UInt8]?)] {
    guard !headerStart.isEmpty else { return [] }
    return headers[Int(headerStart[row])..<Int(headerStart[row + 1])].map { header in
      (
        String(decoding: bytes(header.nameOffset, header.nameLength), as: UTF8.self),
        header.valueLength < 0 ? nil : bytes(header.valueOffset, UInt32(header.valueLength))
      )
    }
  }

  package func isTombstone(_ row: Int) -> Bool { tombstones.holdsAscending(UInt32(row)) }

  private func bytes(_ offset: UInt32, _ length: UInt32) -> [UInt8] {
    Array(UnsafeBufferPointer(start: raw.text.base + Int(offset), count: Int(length)))
  }
}
