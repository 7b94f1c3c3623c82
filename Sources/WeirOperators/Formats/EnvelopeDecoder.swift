import WeirCore

/// Records in the envelope of Kafka Connect's JSON converter: `{"schema": …, "payload": …}`. An object that has both is its payload;
/// any other record is read as it is, since converters write the same record without the envelope if schemas are off.
///
/// A payload that is null has no record; with a schema that is null it is how older converters write a record without a value.
/// Source: Kafka's `org.apache.kafka.connect.json.JsonConverter`.
final class EnvelopeDecoder: BlockDecoder {
  static let missing = "required field payload is missing or null"

  private let inner: any BlockDecoder
  private let keepsBlankLines: Bool

  /// - Parameter inner: decodes the payloads.
  init(_ inner: any BlockDecoder, keepsBlankLines: Bool) { (self.inner, self.keepsBlankLines) = (inner, keepsBlankLines) }

  func decode(_ raw: RawBlock) -> DecodedBlock {
    let (offset, length, blankLines) = raw.records(keepsBlankLines: keepsBlankLines)
    var (offsets, lengths) = (offset, length)
    var own: [Int: Rejection] = [:]
    for row in offset.indices {
      let start = UnsafePointer(raw.text.base) + Int(offset[row])
      switch EnvelopeDecoder.content(start, start + Int(length[row])) {
      case .all: break
      case .payload(let part):
        offsets[row] += UInt32(part.lowerBound)
        lengths[row] = UInt32(part.count)
      case .none(let hasSchema, let place):
        lengths[row] = 0
        own[row] =
          hasSchema
          ? Rejection(stage: .decode, reason: EnvelopeDecoder.missing, byte: place)
          : Rejection(stage: .decode, reason: RecordDetails.noValue)
      }
    }
    var framed = raw
    framed.framing = .spans(offset: offsets, length: lengths)
    var block = inner.decode(framed)
    block.rejections = block.rejections.map { row, rejection in
      (row, own[row] ?? rejection.moved(by: Int(offsets[row] - offset[row])))
    }
    // The record as received is what tables keep.
    (block.raw, block.offset, block.length, block.blankLines) = (raw, offset, length, blankLines)
    return block
  }

  private enum Content {
    /// No envelope, or no JSON.
    case all
    case payload(Range<Int>)
    /// The payload is null, at this byte.
    case none(hasSchema: Bool, Int)
  }

  private static func content(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Content {
    var scanner = JSONScanner(at: start, end: end)
    return (try? members(&scanner, start)) ?? .all
  }

  /// - Throws: it is not JSON.
  private static func members(_ scanner: inout JSONScanner, _ start: UnsafePointer<UInt8>) throws(DecodeError) -> Content {
    scanner.space()
    if scanner.byteOrderMark() { scanner.space() }
    guard scanner.at < scanner.end, scanner.at.pointee == 0x7B else { return .all }
    var (schema, payload): (Range<Int>?, Range<Int>?) = (nil, nil)
    repeat {
      scanner.at += 1
      scanner.space()
      guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { return .all }
      let name = try scanner.string()
      let isPayload = try ElementDecoder.isName(name, "payload")
      if !isPayload { guard try ElementDecoder.isName(name, "schema") else { return .all } }
      scanner.space()
      guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { return .all }
      scanner.at += 1
      scanner.space()
      let from = scanner.at - start
      guard scanner.at < scanner.end else { return .all }
      try scanner.skipValue()
      if isPayload { payload = from..<scanner.at - start } else { schema = from..<scanner.at - start }
      scanner.space()
    } while scanner.at < scanner.end && scanner.at.pointee == 0x2C
    guard scanner.at < scanner.end, scanner.at.pointee == 0x7D else { return .all }
    scanner.at += 1
    scanner.space()
    guard scanner.at == scanner.end, let schema, let payload else { return .all }
    guard start[payload.lowerBound] == 0x6E else { return .payload(payload) }
    return .none(hasSchema: start[schema.lowerBound] != 0x6E, payload.lowerBound)
  }
}

extension RecordSpec {
  /// What is in a record's envelope, if it has one.
  func unwrapped(_ record: JSONValue) -> JSONValue {
    guard envelope == .connect, record.members?.count == 2, record["schema"] != nil, let payload = record["payload"] else { return record }
    return payload
  }
}
