import WeirCore

/// `format: {protobuf: {descriptor: FILE, message: NAME, framing: …}}`: a message a record.
package struct ProtobufFormat: RecordFormat {
  package static let name = "protobuf"

  /// What is around a message.
  package enum Framing: String, Hashable, Sendable, Codable, CaseIterable {
    /// In files: each message comes after its length, a varint, as `writeDelimitedTo` of Protobuf's libraries writes it.
    case delimited
    /// The id of a schema and the place of the message in it, as Confluent's serialisers write them. The id is not looked up: the
    /// numbers of fields say what they are.
    case confluent
  }

  /// With its package.
  package var message: String
  /// nil: nothing is around it. Ledgers keep plans: only added, and optional.
  package var framing: Framing?
  /// Of the message, and of those in it.
  package var schema: ProtobufSchema

  /// No message: a plan cannot name the format alone.
  package init() { self.init(message: "", schema: ProtobufSchema()) }

  package init(message: String, framing: Framing? = nil, schema: ProtobufSchema) {
    (self.message, self.framing, self.schema) = (message, framing, schema)
  }

  package var readsLines: Bool { false }
  package var captureFraming: (any CaptureFraming)? { framing == .delimited ? DelimitedFraming() : nil }

  package func problem(with field: Field) -> String? {
    guard !schema.messages.isEmpty else { return nil }
    do throws(ProtobufProgram.Fault) {
      _ = try ProtobufProgram(schema, fields: [field])
      return nil
    } catch { return error.reason }
  }

  package func problem(with fields: [Field]) -> String? {
    guard !schema.messages.isEmpty, fields.allSatisfy({ problem(with: $0) == nil }) else { return nil }
    do throws(ProtobufProgram.Fault) {
      _ = try ProtobufProgram(schema, fields: fields)
      return nil
    } catch { return error.reason }
  }

  package func problem(withCoercionOf field: Field) -> String? { "records of format protobuf have types of their own" }

  package func narrowed(to fields: [Field]) -> any RecordFormat {
    guard !schema.messages.isEmpty else { return self }
    return ProtobufFormat(message: message, framing: framing, schema: schema.narrowed(to: fields))
  }

  package func hint(for rejection: Rejection, of record: UnsafeBufferPointer<UInt8>, _ spec: RecordSpec) -> String? {
    guard rejection.stage == .decode, framing == nil, record.count > 6 else { return nil }
    if record[0] == 0 { return "the record begins with a byte 0, as Confluent's serialisers write it: write framing: confluent" }
    return record[0] == 0x7B && record[record.count - 1] == 0x7D ? "the record looks like JSON: write format: json" : nil
  }
}

// MARK: What is around a message

extension ProtobufFormat {
  /// Why a record has no values.
  struct Refusal: Error, @unchecked Sendable {
    // Unchecked: as ``DecodeError``.
    var stage = Rejection.Stage.decode
    var reason: String
    /// nil: of no byte.
    var at: UnsafePointer<UInt8>?

    init(_ error: DecodeError) { (reason, at) = (error.reason, error.at) }
    init(_ stage: Rejection.Stage, _ reason: String, at: UnsafePointer<UInt8>? = nil) {
      (self.stage, self.reason, self.at) = (stage, reason, at)
    }
  }

  private static let header = "__value_schema_id"

  /// The message of a record.
  @inline(__always)
  func body(_ record: StringRef, _ details: RecordDetails?, _ row: Int) throws(Refusal) -> StringRef {
    if let details, details.isTombstone(row) { throw Refusal(.decode, RecordDetails.noValue) }
    switch framing {
    case nil: return record
    case .delimited: return try delimited(record)
    case .confluent:
      // The id is there, and the value is the message.
      if let headers = details?.headers(row), headers.contains(ProtobufFormat.header) { return record }
      return try confluent(record)
    }
  }

  private func delimited(_ record: StringRef) throws(Refusal) -> StringRef {
    var cursor = ProtobufCursor(record)
    do throws(DecodeError) {
      let length = try cursor.varint()
      guard length == UInt64(cursor.left) else { throw cursor.fail("the record is cut off: \(cursor.left) of \(length) bytes") }
    } catch { throw Refusal(error) }
    return StringRef(start: cursor.at, count: cursor.left)
  }

  /// Byte 0 and an id of 4 bytes, or byte 1 and a GUID of 16; then how many indexes, and the indexes, as zigzag varints. No index is the
  /// first message.
  /// Source: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
  private func confluent(_ record: StringRef) throws(Refusal) -> StringRef {
    let prefix = record.count == 0 ? 0 : record.start[0] == 0 ? 5 : record.start[0] == 1 ? 17 : 0
    guard prefix > 0, record.count > prefix else {
      throw Refusal(.schema, "the record names no schema: its first byte is neither 0 nor 1 followed by an id")
    }
    var cursor = ProtobufCursor(at: record.start + prefix, end: record.start + record.count)
    var found: [Int] = []
    do throws(DecodeError) {
      let count = try index(&cursor)
      guard count >= 0, count <= 64 else { throw cursor.fail("\(count) indexes of a message") }
      for _ in 0..<count { found.append(Int(try index(&cursor))) }
    } catch { throw Refusal(error) }
    if found.isEmpty { found = [0] }
    guard found == schema.indexes else {
      throw Refusal(
        .schema,
        "the record is the message at \(found) of its schema, and \(message.shortened(toBytes: 200)) is at \(schema.indexes) of the descriptor",
        at: record.start + prefix)
    }
    return StringRef(start: cursor.at, count: cursor.left)
  }

  private func index(_ cursor: inout ProtobufCursor) throws(DecodeError) -> Int64 {
    let bits = try cursor.varint()
    return Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
  }
}

/// Finds messages that come after their lengths. A record has its length with it, so that one that is cut off is known by it; after a length
/// that cannot be, the rest of a file is one record.
struct DelimitedFraming: CaptureFraming {
  func frames(_ text: FramedText) -> RecordFrames {
    var frames = RecordFrames()
    while frames.offset.count < text.rowsMax, frames.end < text.count {
      guard let end = DelimitedFraming.end(of: frames.end, text) else { break }
      frames.offset.append(UInt32(frames.end))
      frames.length.append(UInt32(end - frames.end))
      frames.end = end
      guard frames.end < text.stop else { break }
    }
    return frames
  }

  /// Where the record that begins at a place ends; nil: it is not known yet.
  private static func end(of start: Int, _ text: FramedText) -> Int? {
    var cursor = ProtobufCursor(at: text.base + start, end: text.base + text.count)
    let rest = text.isEnd ? text.count : nil
    guard let length = try? cursor.varint(), length <= UInt64(cursor.left) else { return rest }
    return cursor.at - text.base + Int(length)
  }
}
