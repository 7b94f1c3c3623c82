import WeirCore

/// A part of a record's text; null where `count` is -1.
struct TextCell: BitwiseCopyable {
  var start: UnsafePointer<UInt8>
  var count: Int

  static var null: TextCell { TextCell(start: StringRef.empty.start, count: -1) }
}

/// Takes a record of text apart.
protocol CellParser {
  /// Cells of each record.
  var width: Int { get }
  /// A record that is not a line is taken as it is: with a byte order mark, with a line end, and if it is blank.
  static var keepsAll: Bool { get }
  /// Before a block. Cells are parts of the block's text or of `arena`.
  /// - Parameter isLines: its records are lines, so they have no line ends.
  mutating func begin(_ arena: Arena, isLines: Bool)
  /// Whether a line has no record. It has no line end.
  func isBlank(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool
  /// - Returns: why it is a line without a record, such as a comment; nil: `cells` has the record's.
  mutating func parse(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ cells: UnsafeMutablePointer<TextCell>
  ) throws(DecodeError) -> StaticString?
}

extension CellParser {
  static var keepsAll: Bool { false }

  func isBlank(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    TextValue.trimmed(StringRef(start: start, count: end - start)).count == 0
  }
}

/// Decodes blocks of text records into columns.
final class CellDecoder<Parser: CellParser>: BlockDecoder {
  private var parser: Parser
  private let fields: [Field]
  /// By field, its cell.
  private let places: [Int]
  private let values: [TextValue]
  private let keepsBlankLines: Bool
  /// One a field. A pointer, since they are written for each value.
  private let sinks: UnsafeMutablePointer<FieldSink>
  private let cells: UnsafeMutablePointer<TextCell>

  /// - Parameters:
  ///   - places: by field, its cell.
  ///   - values: by field, how it is read.
  init(_ parser: Parser, _ request: DecoderRequest, places: [Int], values: [TextValue]) {
    self.parser = parser
    fields = request.fields
    (self.places, self.values) = (places, values)
    keepsBlankLines = request.keepsBlankLines
    sinks = .allocate(capacity: fields.count)
    for (i, field) in fields.enumerated() { (sinks + i).initialize(to: FieldSink(field, isRead: request.read?[i] ?? true)) }
    cells = .allocate(capacity: max(1, parser.width))
    cells.initialize(repeating: .null, count: max(1, parser.width))
  }

  deinit {
    for i in fields.indices { sinks[i].destroy() }
    sinks.deinitialize(count: fields.count)
    sinks.deallocate()
    cells.deallocate()
  }

  func decode(_ raw: RawBlock) -> DecodedBlock {
    var (offset, length, _) = raw.records()
    for i in fields.indices { sinks[i].begin(rows: offset.count) }
    let arena = Arena()
    var isLines = false
    if case .lines = raw.framing { isLines = true }
    parser.begin(arena, isLines: isLines)
    var valid = [Bool](repeating: true, count: offset.count)
    var rejections: [(row: Int, rejection: Rejection)] = []
    let base = UnsafePointer(raw.text.base)
    var row = 0
    for i in offset.indices {
      let start = base + Int(offset[i])
      do {
        let isMissing = Parser.keepsAll && raw.details?.isTombstone(row) == true
        guard try record(start, Int(length[i]), row, isLines: isLines, isMissing: isMissing) else { continue }
      } catch {
        valid[row] = false
        for i in fields.indices { sinks[i].clear(row) }
        let isTombstone = raw.details?.isTombstone(row) == true
        let reason = isTombstone ? RecordDetails.noValue : error.reason
        // A value that was put together is elsewhere.
        let at = error.at - start
        let isInside = !isTombstone && at >= 0 && at <= Int(length[i])
        rejections.append((row, Rejection(stage: .decode, reason: reason, byte: isInside ? at : nil)))
      }
      if row != i { (offset[row], length[row]) = (offset[i], length[i]) }
      row += 1
    }
    let blank = offset.count - row
    if blank > 0 {
      offset.removeLast(blank)
      length.removeLast(blank)
      valid.removeLast(blank)
    }
    let text = [raw.text as any AnyObject & Sendable, arena]
    let columns = fields.indices.map { sinks[$0].finish(rows: row, text: text, valid: valid) }
    var block = DecodedBlock(raw: raw, offset: offset, length: length, columns: columns, valid: valid, rejections: rejections)
    block.blankLines = blank
    return block
  }

  /// - Parameter isMissing: the record has no value.
  /// - Returns: false: the line has no record.
  @inline(__always)
  private func record(
    _ first: UnsafePointer<UInt8>, _ count: Int, _ row: Int, isLines: Bool, isMissing: Bool
  ) throws(DecodeError) -> Bool {
    if isMissing { throw DecodeError(reason: RecordDetails.noValue, at: first) }
    var (start, end) = (first, first + count)
    let keepsAll = Parser.keepsAll && !isLines
    // A byte order mark is no part of a record.
    if !keepsAll, count >= 3, start[0] == 0xEF, start[1] == 0xBB, start[2] == 0xBF { start += 3 }
    // A record that is not a line may have a line's end.
    if !isLines, !keepsAll, end > start, end[-1] == 0x0A { end -= 1 }
    if !keepsAll, end > start, end[-1] == 0x0D { end -= 1 }
    if !keepsAll, parser.isBlank(start, end) {
      if isLines, !keepsBlankLines { return false }
      throw DecodeError(reason: "blank line", at: start)
    }
    if let what = try parser.parse(start, end, cells) {
      if isLines { return false }
      throw DecodeError(reason: "\(what), and no record", at: start)
    }
    for i in fields.indices {
      let cell = cells[places[i]]
      if cell.count >= 0 {
        try values[i].read(StringRef(start: cell.start, count: cell.count), into: &sinks[i], row)
      } else if sinks[i].required {
        throw DecodeError(reason: "required field \(fields[i].title) is missing or null", at: end)
      }
    }
    return true
  }
}

extension Field {
  /// The name of its cell; nil: its path has more than one step.
  var cellName: String? {
    let steps = steps
    guard steps.count == 1, case .name(let name) = steps[0] else { return nil }
    return name
  }

  /// Why the cells of text cannot be values of it.
  var cellProblem: String? {
    if type.isNested { return "\(type.name) cannot be read from text" }
    return cellName == nil ? "a path in a record of text is one name" : nil
  }
}
