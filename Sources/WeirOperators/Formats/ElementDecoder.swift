import WeirCore

/// Records within records: each element of an array in an outer record is a record of its own, as the files of AWS CloudTrail have them.
///
/// An outer record that is not JSON, or has no array there, is one rejected record as a whole; one whose array is empty has no records.
/// It ends where the source says: a block ends with an outer record, so no cut falls between its elements (see ``SequenceNumber``).
package final class ElementDecoder: BlockDecoder {
  /// Elements of an outer record. One with more is rejected.
  package static let elementsMax = 1 << 18

  private let path: [PathStep]
  private let inner: any BlockDecoder
  private let keepsBlankLines: Bool

  /// - Parameters:
  ///   - path: of the array; empty: the outer record is the array.
  ///   - inner: decodes the elements.
  init(_ path: [PathStep], _ inner: any BlockDecoder, keepsBlankLines: Bool) {
    (self.path, self.inner, self.keepsBlankLines) = (path, inner, keepsBlankLines)
  }

  /// Rows of a block: elements, and outer records that have none because they are wrong.
  private struct Rows {
    var offset: [UInt32] = []
    var length: [UInt32] = []
    /// The outer record of each.
    var outer: [UInt32] = []
    /// The number of the element; -1: the outer record itself.
    var number: [Int32] = []
    var faults: [(row: Int, rejection: Rejection)] = []

    mutating func add(_ offset: Int, _ length: Int, outer: Int, number: Int32) {
      self.offset.append(UInt32(offset))
      self.length.append(UInt32(length))
      self.outer.append(UInt32(outer))
      self.number.append(number)
    }
  }

  package func decode(_ raw: RawBlock) -> DecodedBlock {
    let (offset, length, blankLines) = raw.records(keepsBlankLines: keepsBlankLines)
    var rows = Rows()
    for outer in offset.indices {
      let (at, count) = (Int(offset[outer]), Int(length[outer]))
      let start = UnsafePointer(raw.text.base) + at
      do {
        var number: Int32 = 0
        for element in try elements(start, start + count) {
          rows.add(at + element.lowerBound, element.count, outer: outer, number: number)
          number += 1
        }
      } catch {
        let isTombstone = raw.details?.isTombstone(outer) == true
        rows.faults.append(
          (
            rows.outer.count,
            isTombstone
              ? Rejection(stage: .decode, reason: RecordDetails.noValue)
              : Rejection(stage: .decode, reason: error.reason, byte: error.at - start)
          ))
        rows.add(at, count, outer: outer, number: -1)
      }
    }
    var block = decode(raw, rows)
    block.blankLines = blankLines
    return block
  }

  /// Rows that are wrong are handed over as empty, and get their own reason.
  private func decode(_ raw: RawBlock, _ rows: Rows) -> DecodedBlock {
    var lengths = rows.length
    for fault in rows.faults { lengths[fault.row] = 0 }
    var framed = raw
    framed.framing = .spans(offset: rows.offset, length: lengths)
    framed.details = raw.details?.repeated(rows.outer)
    var block = inner.decode(framed)
    if !rows.faults.isEmpty {
      let own = Dictionary(uniqueKeysWithValues: rows.faults.map { ($0.row, $0.rejection) })
      block.rejections = block.rejections.map { ($0.row, own[$0.row] ?? $0.rejection) }
    }
    // Of the outer records: they are what the shard is known by, and a part of the block is decoded again.
    (block.raw, block.details) = (raw, framed.details)
    (block.offset, block.length, block.elements) = (rows.offset, rows.length, rows.number)
    return block
  }

  // MARK: One outer record

  /// Where the elements are in the record. All of it is read first: what is cut off has none.
  private func elements(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) throws(DecodeError) -> [Range<Int>] {
    var scanner = JSONScanner(at: start, end: end)
    scanner.space()
    if scanner.byteOrderMark() { scanner.space() }
    guard scanner.at < end else { throw DecodeError(reason: "blank line", at: start) }
    let value = scanner.at
    var found: [Range<Int>]?
    var fault: DecodeError?
    try read(path[...], &scanner, start) { (elements: [Range<Int>]?, error: DecodeError?) in (found, fault) = (elements, error) }
    scanner.space()
    guard scanner.at == end else { throw scanner.fail("unexpected text after the record") }
    if let fault { throw fault }
    guard let found else { throw DecodeError(reason: "there is no array at \(place)", at: value) }
    return found
  }

  private var place: String { path.isEmpty ? "$" : FieldPath.text(path) }

  /// Reads a value, and reports what is at the rest of the path in it. Of a member that comes twice the last one counts.
  private func read(
    _ rest: ArraySlice<PathStep>, _ scanner: inout JSONScanner, _ start: UnsafePointer<UInt8>,
    _ report: ([Range<Int>]?, DecodeError?) -> Void
  ) throws(DecodeError) {
    guard scanner.at < scanner.end else { throw scanner.fail("a value is missing") }
    let first = scanner.at
    switch (rest.first, first.pointee) {
    case (nil, 0x5B):
      var elements: [Range<Int>] = []
      try forEachElement(&scanner) { (_: Int, scanner: inout JSONScanner) throws(DecodeError) in
        let from = scanner.at - start
        try scanner.skipRecord()
        guard elements.count < ElementDecoder.elementsMax else {
          throw DecodeError(reason: "more than \(ElementDecoder.elementsMax) elements at \(place) (framing_elements)", at: first)
        }
        elements.append(from..<scanner.at - start)
      }
      report(elements, nil)
    case (nil, let byte):
      try scanner.skipValue()
      report(nil, DecodeError(reason: "\(place) is not an array but \(FieldSink.kind(byte))", at: first))
    case (.name(let name), 0x7B):
      report(nil, nil)
      try forEachMember(&scanner) { (member: JSONScanner.Text, scanner: inout JSONScanner) throws(DecodeError) in
        guard try ElementDecoder.isName(member, name) else { return try scanner.skipValue() }
        try read(rest.dropFirst(), &scanner, start, report)
      }
    case (.index(let index), 0x5B):
      report(nil, nil)
      try forEachElement(&scanner) { (number: Int, scanner: inout JSONScanner) throws(DecodeError) in
        guard number == index else { return try scanner.skipValue() }
        try read(rest.dropFirst(), &scanner, start, report)
      }
    default:
      try scanner.skipValue()
      report(nil, nil)
    }
  }

  private typealias Body<Key> = (Key, inout JSONScanner) throws(DecodeError) -> Void

  private func forEachMember(_ scanner: inout JSONScanner, _ body: Body<JSONScanner.Text>) throws(DecodeError) {
    try forEach(&scanner, until: 0x7D) { (_: Int, scanner: inout JSONScanner) throws(DecodeError) in
      guard scanner.at < scanner.end, scanner.at.pointee == 0x22 else { throw scanner.fail("a member name expected") }
      let name = try scanner.string()
      scanner.space()
      guard scanner.at < scanner.end, scanner.at.pointee == 0x3A else { throw scanner.fail("':' expected") }
      scanner.at += 1
      scanner.space()
      try body(name, &scanner)
    }
  }

  private func forEachElement(_ scanner: inout JSONScanner, _ body: Body<Int>) throws(DecodeError) {
    try forEach(&scanner, until: 0x5D, body)
  }

  private func forEach(_ scanner: inout JSONScanner, until end: UInt8, _ body: Body<Int>) throws(DecodeError) {
    scanner.at += 1
    scanner.space()
    if scanner.at < scanner.end, scanner.at.pointee == end {
      scanner.at += 1
      return
    }
    var number = 0
    while true {
      try body(number, &scanner)
      number += 1
      scanner.space()
      guard scanner.at < scanner.end else { throw scanner.fail("the record is cut off") }
      let c = scanner.at.pointee
      guard c == 0x2C || c == end else { throw scanner.fail(end == 0x5D ? "',' or ']' expected" : "',' or '}' expected") }
      scanner.at += 1
      if c == end { return }
      scanner.space()
    }
  }

  /// Whether it is the name of a member, which may be written with escapes.
  static func isName(_ text: JSONScanner.Text, _ name: String) throws(DecodeError) -> Bool {
    guard text.hasEscapes else { return UnsafeBufferPointer(start: text.start, count: text.count).elementsEqual(name.utf8) }
    let arena = Arena(chunkBytes: 64)
    // A name with a lone surrogate is in no path.
    guard let plain = try? JSONScanner.unescape(text, into: arena) else { return false }
    return withExtendedLifetime(arena) { plain.bytes.elementsEqual(name.utf8) }
  }
}

extension RecordSpec {
  /// A decoder of the records, which serves one block at a time. The parameters are those of ``DecoderRequest``.
  package func decoder(read: [Bool]?, keepsBlankLines: Bool) -> any BlockDecoder {
    let request = DecoderRequest(fields: fields, read: read, keepsBlankLines: keepsBlankLines)
    var decoder = route.map { RouteDecoder($0, self, request) as any BlockDecoder } ?? recordFormat.decoder(request)
    if let each { decoder = ElementDecoder(each, decoder, keepsBlankLines: keepsBlankLines) }
    if envelope == .connect { decoder = EnvelopeDecoder(decoder, keepsBlankLines: keepsBlankLines) }
    if tombstones == .drop { decoder = TombstoneDecoder(decoder, holdsJSON: recordFormat.holdsJSON) }
    return decoder
  }
}
