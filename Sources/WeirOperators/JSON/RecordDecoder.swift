import WeirCore

/// Decodes blocks of JSON records into columns: the first half of the hot path.
///
/// The trick is key prediction. Records of one stream nearly always have the same keys in the same order, so the decoder
/// keeps the raw bytes of every key (with quotes and colon) of the record before, and compares them at each key's place
/// first: one compare of a few words checks key, grammar and field at once. Everything else is the full grammar, so a
/// record that looks different is decoded all the same, only slower.
///
/// Serves one block at a time; what it returns is immutable.
package final class RecordDecoder: BlockDecoder {
  private let fields: [Field]
  /// A blank line is a record, which is rejected; else it is skipped.
  private let keepsBlankLines: Bool
  /// One a field. A pointer, since they are written for each value.
  let sinks: UnsafeMutablePointer<FieldSink>
  /// Targets of the record's members, see ``NestedFields``.
  private var byName: [[UInt8]: Int] = [:]
  let nested: NestedFields
  /// Collects what no field reads; nil: it is not kept.
  let rescue: RescuedMembers?

  /// The keys of the record before, in order: raw bytes from the opening quote to the colon, and the field, a node below which
  /// there are fields, or -1.
  private struct Prediction {
    var start: Int
    var count: Int
    var field: Int
  }
  private var predictions: [Prediction] = []
  private var predicted: [UInt8] = []
  /// Keys of a record beyond this are looked up, not predicted.
  private static let predictionsMax = 256

  /// - Parameters:
  ///   - read: by field, whether its column is read; default: all. A column that is not read is checked all the same.
  ///   - keepsBlankLines: a line of white space is a record, which is rejected; else it has no row, and is counted.
  package init(fields: [Field], read: [Bool]? = nil, keepsBlankLines: Bool = true) {
    self.fields = fields
    self.keepsBlankLines = keepsBlankLines
    sinks = .allocate(capacity: fields.count)
    for (i, field) in fields.enumerated() { (sinks + i).initialize(to: FieldSink(field, isRead: read?[i] ?? true)) }
    nested = NestedFields(fields)
    rescue = fields.indices.first { fields[$0].encoding == .rescued && read?[$0] != false }.map { RescuedMembers(field: $0) }
    for (name, target) in nested.members { byName[name] = target }
  }

  deinit {
    for i in fields.indices { sinks[i].destroy() }
    sinks.deinitialize(count: fields.count)
    sinks.deallocate()
  }

  package func decode(_ raw: RawBlock) -> DecodedBlock {
    let (offset, length, blankLines) = raw.records(keepsBlankLines: keepsBlankLines)
    let count = offset.count
    for i in fields.indices { sinks[i].begin(rows: count) }
    var valid = [Bool](repeating: true, count: count)
    var rejections: [(row: Int, rejection: Rejection)] = []
    let base = UnsafePointer(raw.text.base)
    // Records without their overridden members.
    var copies: Arena?
    for row in 0..<count {
      let start = base + Int(offset[row])
      do {
        try record(start, start + Int(length[row]), row)
      } catch {
        guard let error = again(start, start + Int(length[row]), row, error, &copies) else { continue }
        valid[row] = false
        for i in fields.indices { sinks[i].clear(row) }
        if rejections.isEmpty { rejections.reserveCapacity(16) }
        let isTombstone = raw.details?.isTombstone(row) == true
        rejections.append(
          (
            row,
            isTombstone
              ? Rejection(stage: .decode, reason: RecordDetails.noValue)
              : Rejection(stage: .decode, reason: error.reason, byte: error.at - start)
          ))
      }
    }
    var text = [raw.text as any AnyObject & Sendable]
    if let copies { text.append(copies) }
    let columns = fields.indices.map { sinks[$0].finish(rows: count, text: text, valid: valid) }
    var block = DecodedBlock(raw: raw, offset: offset, length: length, columns: columns, valid: valid, rejections: rejections)
    block.blankLines = blankLines
    return block
  }

  // MARK: One record

  private func record(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ row: Int) throws(DecodeError) {
    var scanner = JSONScanner(at: start, end: end)
    rescue?.begin()
    scanner.space()
    if scanner.at < end, scanner.at.pointee != 0x7B {
      // RFC 8259, section 8.1: a reader may ignore a byte order mark.
      guard scanner.byteOrderMark() else { throw notAnObject(&scanner) }
      scanner.space()
    }
    guard scanner.at < end else { throw DecodeError(reason: "blank line", at: start) }
    guard scanner.at.pointee == 0x7B else { throw notAnObject(&scanner) }
    scanner.at += 1
    scanner.space()
    if scanner.at < end, scanner.at.pointee == 0x7D {
      scanner.at += 1
    } else {
      try members(&scanner, row)
    }
    scanner.space()
    guard scanner.at == end else { throw scanner.fail("unexpected text after the record") }
    if let rescue { rescue.finish(into: &sinks[rescue.field], row) }
    for i in fields.indices where sinks[i].required && !sinks[i].isValid(row) {
      throw DecodeError(reason: "required field \(fields[i].title) is missing or null", at: end)
    }
  }

  /// Judges a record that was rejected without the members that a later one overrides: they must be JSON, but need not fit their fields.
  ///
  /// - Returns: why the record is rejected all the same; nil: it is valid, and the fields have its values.
  private func again(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ row: Int, _ error: DecodeError, _ copies: inout Arena?
  ) -> DecodeError? {
    guard error.isOfField, let overridden = OverriddenMembers(from: start, to: end) else { return error }
    for i in fields.indices { sinks[i].clear(row) }
    let arena = copies ?? Arena()
    copies = arena
    let copy = overridden.record(in: arena)
    do {
      try record(copy.start, copy.end, row)
      return nil
    } catch { return DecodeError(reason: error.reason, at: start + overridden.original(error.at - copy.start)) }
  }

  private func notAnObject(_ scanner: inout JSONScanner) -> DecodeError {
    let start = scanner.at
    do {
      try scanner.skipValue()
      scanner.space()
      guard scanner.at == scanner.end else { return scanner.fail("unexpected text after the record") }
    } catch { return error }
    return DecodeError(reason: "record is not a JSON object but \(FieldSink.kind(start.pointee))", at: start)
  }

  private func members(_ scanner: inout JSONScanner, _ row: Int) throws(DecodeError) {
    let end = scanner.end
    var place = 0
    while true {
      let start = scanner.at
      let field = try key(&scanner, place)
      place += 1
      scanner.space()
      guard scanner.at < end else { throw scanner.fail("a value is missing") }
      if field >= 0 {
        try sinks[field].read(&scanner, row)
      } else if field == -1 {
        try scanner.skipValue()
        if let rescue { rescue.add(start, scanner.at) }
      } else {
        try other(field, &scanner, row, from: start)
      }
      scanner.space()
      guard scanner.at < end else { throw scanner.fail("the record is cut off") }
      let c = scanner.at.pointee
      scanner.at += 1
      if c == 0x2C {
        scanner.space()
        continue
      }
      guard c == 0x7D else {
        scanner.at -= 1
        throw scanner.fail("',' or '}' expected")
      }
      return
    }
  }

  /// Reads a key and its colon; returns its target.
  @inline(__always)
  private func key(_ scanner: inout JSONScanner, _ place: Int) throws(DecodeError) -> Int {
    if place < predictions.count {
      let prediction = predictions[place]
      let matches =
        scanner.end - scanner.at >= prediction.count
        && predicted.withUnsafeBufferPointer { memoryEqual($0.baseAddress! + prediction.start, scanner.at, prediction.count) }
      if matches {
        scanner.at += prediction.count
        return prediction.field
      }
    }
    return try lookUp(&scanner, place)
  }

  private func lookUp(_ scanner: inout JSONScanner, _ place: Int) throws(DecodeError) -> Int {
    guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { throw scanner.fail("a member name expected") }
    let start = scanner.at
    let text = try scanner.string()
    var name = StringRef(start: text.start, count: text.count)
    var arena: Arena?
    if text.hasEscapes {
      arena = Arena(chunkBytes: 64)
      // A key with a lone surrogate matches no declared field.
      name = (try? JSONScanner.unescape(text, into: arena!)) ?? name
    }
    let field = withExtendedLifetime(arena) { byName[Array(name.bytes)] ?? -1 }
    let isTight = scanner.at < scanner.end && scanner.at.pointee == 0x3A
    scanner.space()
    guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { throw scanner.fail("':' expected") }
    scanner.at += 1
    if isTight, place <= predictions.count, place < RecordDecoder.predictionsMax { predict(start, scanner.at - start, field, place) }
    return field
  }

  private func predict(_ start: UnsafePointer<UInt8>, _ count: Int, _ field: Int, _ place: Int) {
    // What follows this place was learnt from another order of keys: learn it again.
    if place < predictions.count {
      predicted.removeLast(predicted.count - predictions[place].start)
      predictions.removeLast(predictions.count - place)
    }
    predictions.append(Prediction(start: predicted.count, count: count, field: field))
    predicted.append(contentsOf: UnsafeBufferPointer(start: start, count: count))
  }
}
