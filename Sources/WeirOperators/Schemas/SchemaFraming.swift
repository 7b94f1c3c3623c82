import WeirCore

/// Finds the schema ids of a block's records, as Confluent's serialisers write them.
///
/// Sources: Confluent's wire format (byte 0, id of 4 bytes big-endian, body) and the form of its newer serialisers, where the id is in
/// the header `__value_schema_id` and the value is the body alone: byte 1, GUID of 16 bytes. Either form is taken in either
/// place, the header first, as Confluent's deserialisers do.
extension SchemaFraming {
  private static let header = "__value_schema_id"

  package init(_ raw: RawBlock) {
    var ids: [SchemaID] = []
    var known: [SchemaID: Int32] = [:]
    let (offset, length, _) = raw.records()
    var places = [Int32](repeating: -1, count: offset.count)
    var prefixes = [UInt8](repeating: 0, count: offset.count)
    var last: (text: String, id: SchemaID?)?
    for row in 0..<offset.count {
      let value = UnsafeBufferPointer(start: UnsafePointer(raw.text.base) + Int(offset[row]), count: Int(length[row]))
      var found: SchemaID?
      if let text = raw.details?.headers(row) {
        // Producers mostly send the same headers with each record.
        if last?.text != text { last = (text, SchemaFraming.id(inHeaders: text)) }
        found = last?.id
      }
      if found == nil, let (id, prefix) = SchemaFraming.id(value) {
        found = id
        prefixes[row] = UInt8(prefix)
      }
      guard let found else { continue }
      if known[found] == nil {
        known[found] = Int32(ids.count)
        ids.append(found)
      }
      places[row] = known[found]!
    }
    self.init(ids: ids, places: places, prefixes: prefixes)
  }

  private static func id(inHeaders text: String) -> SchemaID? {
    guard text.contains(header), let headers = RecordHeaders.parse(text.utf8), let value = headers.last(where: { $0.name == header })?.value
    else { return nil }
    return value.withUnsafeBufferPointer { bytes in id(bytes).flatMap { $0.bytes == bytes.count ? $0.id : nil } }
  }

  /// An id at the beginning of some bytes, and how many it takes.
  private static func id(_ bytes: UnsafeBufferPointer<UInt8>) -> (id: SchemaID, bytes: Int)? {
    switch bytes.first {
    case 0 where bytes.count >= 5: (.number(bytes[1...4].reduce(0) { $0 << 8 | UInt32($1) }), 5)
    case 1 where bytes.count >= 17: (.guid(UUIDText.text(UnsafeBufferPointer(rebasing: bytes[1...16]))), 17)
    default: nil
    }
  }
}
