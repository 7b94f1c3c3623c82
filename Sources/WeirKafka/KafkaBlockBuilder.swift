import CKafka
import Glibc
import WeirCore

/// Copies librdkafka's messages into one ``KafkaBlock``.
struct KafkaBlockBuilder {
  private let partition: KafkaPartition
  private var text: TextBuffer
  private var used = 0
  private var limit: Int
  private var valueOffset: [UInt32] = []
  private var valueLength: [UInt32] = []
  private var offsets: [Int64] = []
  private var timestamps: [Int64] = []
  private var timestampKind = KafkaBlock.TimestampKind.none
  private var keyOffset: [UInt32] = []
  private var keyLength: [Int32] = []
  private var tombstones: [UInt32] = []
  private var headerStart: [UInt32] = []
  private var headers: [KafkaBlock.Header] = []
  private var gaps: [KafkaGap] = []

  /// - Parameters:
  ///   - bytes: of text; one record that is larger makes the buffer as large as itself.
  ///   - records: how many are expected.
  init(partition: KafkaPartition, bytes: Int, records: Int) {
    self.partition = partition
    text = TextBuffer(bytes: bytes)
    limit = bytes
    valueOffset.reserveCapacity(records)
    valueLength.reserveCapacity(records)
    offsets.reserveCapacity(records)
    timestamps.reserveCapacity(records)
    keyOffset.reserveCapacity(records)
    keyLength.reserveCapacity(records)
  }

  var isEmpty: Bool { offsets.isEmpty && gaps.isEmpty }

  mutating func addGap(_ gap: KafkaGap) { gaps.append(gap) }

  /// Adds the message, or says that it belongs into the next block.
  mutating func add(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> Bool {
    let keySize = message.pointee.key == nil ? 0 : message.pointee.key_len
    let valueSize = message.pointee.payload == nil ? 0 : message.pointee.len
    var messageHeaders: OpaquePointer?
    if rd_kafka_message_headers(message, &messageHeaders) != RD_KAFKA_RESP_ERR_NO_ERROR { messageHeaders = nil }
    let headerSize = messageHeaders.map(KafkaBlockBuilder.size) ?? 0
    guard makeRoom(keySize + valueSize + headerSize) else { return false }

    keyOffset.append(UInt32(truncatingIfNeeded: used))
    keyLength.append(message.pointee.key == nil ? -1 : Int32(truncatingIfNeeded: keySize))
    append(message.pointee.key, keySize)
    if message.pointee.payload == nil { tombstones.append(UInt32(truncatingIfNeeded: offsets.count)) }
    valueOffset.append(UInt32(truncatingIfNeeded: used))
    valueLength.append(UInt32(truncatingIfNeeded: valueSize))
    append(message.pointee.payload, valueSize)
    if messageHeaders != nil || !headerStart.isEmpty { addHeaders(messageHeaders) }

    var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
    timestamps.append(rd_kafka_message_timestamp(message, &kind))
    if kind != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE { timestampKind = kind == RD_KAFKA_TIMESTAMP_CREATE_TIME ? .created : .appended }
    offsets.append(message.pointee.offset)
    return true
  }

  /// Offsets in the text are 32 bits wide, and a block stays under 2 GiB; librdkafka's messages under 1 GB.
  private mutating func makeRoom(_ bytes: Int) -> Bool {
    if used + bytes <= limit { return true }
    guard offsets.isEmpty else { return false }
    text = TextBuffer(bytes: bytes)
    limit = bytes
    return true
  }

  private mutating func append(_ bytes: UnsafeRawPointer?, _ count: Int) {
    guard count > 0, let bytes else { return }
    UnsafeMutableRawPointer(text.base + used).copyMemory(from: bytes, byteCount: count)
    used += count
  }

  // MARK: Headers

  private static func size(of headers: OpaquePointer) -> Int {
    var size = 0
    var index = 0
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var valueSize = 0
    while rd_kafka_header_get_all(headers, index, &name, &value, &valueSize) == RD_KAFKA_RESP_ERR_NO_ERROR {
      size += name.map { strlen($0) } ?? 0
      size += valueSize
      index += 1
    }
    return size
  }

  /// The first record with headers gives all records before it an empty range.
  private mutating func addHeaders(_ list: OpaquePointer?) {
    if headerStart.isEmpty { headerStart = Array(repeating: 0, count: offsets.count + 1) }
    if let list {
      var index = 0
      var name: UnsafePointer<CChar>?
      var value: UnsafeRawPointer?
      var valueSize = 0
      while rd_kafka_header_get_all(list, index, &name, &value, &valueSize) == RD_KAFKA_RESP_ERR_NO_ERROR {
        addHeader(name: name, value: value, size: valueSize)
        index += 1
      }
    }
    headerStart.append(UInt32(headers.count))
  }

  private mutating func addHeader(name: UnsafePointer<CChar>?, value: UnsafeRawPointer?, size: Int) {
    let nameOffset = used
    let nameSize = name.map { strlen($0) } ?? 0
    append(name, nameSize)
    headers.append(
      .init(
        nameOffset: UInt32(nameOffset), nameLength: UInt32(nameSize), valueOffset: UInt32(used),
        valueLength: value == nil ? -1 : Int32(size)))
    append(value, value == nil ? 0 : size)
  }

  // MARK: The end

  /// The block of what was added; `next` is where the partition continues.
  consuming func finish(next: Int64) -> KafkaBlock {
    // A block of a few records must not hold a whole buffer: the engine keeps many of them at once.
    if used < limit / 4 {
      let small = TextBuffer(bytes: used)
      withExtendedLifetime(text) { small.base.update(from: text.base, count: used) }
      text = small
    } else {
      (text.base + used).update(repeating: 0, count: TextBuffer.slack)
    }
    let raw = RawBlock(
      text: text, count: used, framing: .spans(offset: valueOffset, length: valueLength),
      position: offsets.first ?? next)
    return KafkaBlock(
      partition: partition, raw: raw, offsets: offsets, timestamps: timestamps, timestampKind: timestampKind,
      keyOffset: keyOffset, keyLength: keyLength, tombstones: tombstones, headerStart: headerStart, headers: headers,
      gaps: gaps, next: next)
  }
}
