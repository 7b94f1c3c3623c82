import Glibc

/// Memory of one block's text. Written by the reader before it is shared, read only after.
public final class TextBuffer: @unchecked Sendable {
  // Unchecked: see above.
  /// `capacity` bytes, of which the last ``slack`` are never part of a record.
  public let base: UnsafeMutablePointer<UInt8>
  public let capacity: Int

  /// Readable bytes after the last byte of a record, so that scans may load 16 bytes (or 32) at once.
  public static let slack = 64

  /// A buffer for `bytes` bytes of text and the slack after it (which is zeroed).
  public init(bytes: Int) {
    capacity = bytes + TextBuffer.slack
    base = .allocate(capacity: capacity)
    (base + bytes).update(repeating: 0, count: TextBuffer.slack)
  }

  deinit { base.deallocate() }
}

/// Some thousands of records as they came from the source, not yet decoded. All of one shard, in shard order.
public struct RawBlock: Sendable {
  /// How records are stored in the text.
  public enum Framing: Sendable {
    /// One record a line; lines end with "\n", the last one perhaps with the end of the text.
    case lines
    /// Record `i` is `length[i]` bytes from `offset[i]`; it may hold any bytes.
    case spans(offset: [UInt32], length: [UInt32])
  }

  public var text: TextBuffer
  /// Bytes of text in use, at most `text.capacity - TextBuffer.slack`. Under 2 GiB.
  public var count: Int
  public var framing: Framing
  /// Position of the first byte of the text: for a capture its uncompressed byte. Record positions are this plus the offset,
  /// unless `details` has them.
  public var position: Int64
  /// Of a live source, which knows more of a record than its value; only with ``Framing/spans(offset:length:)``.
  public var details: RecordDetails?
  /// Over all bytes of the capture through the end of this block; nil where the source has no such hash. With it an epoch may be cut
  /// after the block.
  public var prefixHash: Hash128?
  /// Of a capture that may grow: with it an epoch may be cut after any record of the block.
  public var hashBefore: HashBefore?
  /// The schemas of the records' ids, in formats that have ids.
  public var schemas: BlockSchemas?

  public init(text: TextBuffer, count: Int, framing: Framing, position: Int64) {
    self.text = text
    self.count = count
    self.framing = framing
    self.position = position
  }

  /// A block of separate records, copied: for in-memory sources and tests.
  public init(records: [[UInt8]], position: Int64 = 0) {
    let total = records.reduce(0) { $0 + $1.count }
    let text = TextBuffer(bytes: total)
    var offsets: [UInt32] = []
    var lengths: [UInt32] = []
    var at = 0
    for record in records {
      record.withUnsafeBufferPointer { if let base = $0.baseAddress { (text.base + at).update(from: base, count: $0.count) } }
      offsets.append(UInt32(at))
      lengths.append(UInt32(record.count))
      at += record.count
    }
    self.init(text: text, count: total, framing: .spans(offset: offsets, length: lengths), position: position)
  }

  /// A block of NDJSON text, copied: for tests.
  public init(lines: [UInt8], position: Int64 = 0) {
    let text = TextBuffer(bytes: lines.count)
    lines.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
    self.init(text: text, count: lines.count, framing: .lines, position: position)
  }
}

extension RawBlock {
  /// The longest of its records, with its line end where it has one; nil: the block is empty.
  public var longestRecord: (position: Int64, bytes: Int)? {
    var longest: (row: Int, at: Int, bytes: Int)?
    func take(_ row: Int, _ at: Int, _ bytes: Int) { if bytes > longest?.bytes ?? -1 { longest = (row, at, bytes) } }
    switch framing {
    // With its key and headers, which are in the text, too.
    case .spans(let offset, _) where offset.count == 1: take(0, 0, count)
    case .spans(let offset, let length): for row in length.indices { take(row, Int(offset[row]), Int(length[row])) }
    case .lines:
      var (row, at) = (0, 0)
      while at < count {
        let end = memchr(text.base + at, 0x0A, count - at).map { UnsafeRawPointer($0) - UnsafeRawPointer(text.base) + 1 } ?? count
        take(row, at, end - at)
        (row, at) = (row + 1, end)
      }
    }
    return longest.map { (details?.positions[$0.row] ?? position + Int64($0.at), $0.bytes) }
  }
}

/// Why a record could not be used; the stage and text of its quarantine row.
public struct Rejection: Sendable, Hashable {
  public enum Stage: String, Sendable, Hashable, Codable {
    /// The record's schema is not known, or cannot give the declared fields.
    case schema
    /// The record is of no kind that the pipeline has.
    case route
    case decode, time, check, expression
  }
  /// Bytes of a reason; the rest is left out. Each rejected record's goes into a row, and perhaps into a header and a log line.
  public static let reasonBytesMax = 2000

  public var stage: Stage
  private var cause: String
  /// Byte of the record; -1: not known.
  private var byte: Int
  /// Of ``reason``, about.
  public var byteCount: Int { cause.utf8.count + 16 }

  /// - Parameters:
  ///   - reason: cut at ``reasonBytesMax``.
  ///   - byte: where in the record it was found; appended to the text.
  public init(stage: Stage, reason: String, byte: Int? = nil) {
    self.stage = stage
    cause = reason.shortened(toBytes: Rejection.reasonBytesMax)
    self.byte = byte ?? -1
  }

  /// What is wrong, for people: `field amount: expected decimal(12,2), found string`, with the byte column in the record.
  /// Put together when asked for: of a block's rejections each lane asks for its own.
  public var reason: String { byte < 0 ? cause : "\(cause) (byte \(byte))" }

  /// Where in the record it was found; nil: not known.
  public var place: Int? { byte < 0 ? nil : byte }

  /// Of a record that begins this number of bytes later.
  public func moved(by bytes: Int) -> Rejection {
    var moved = self
    if byte >= 0 { moved.byte = byte + bytes }
    return moved
  }
}

/// A block decoded into columns. Immutable, shared by the lanes.
public struct DecodedBlock: Sendable {
  public var raw: RawBlock
  /// Where record `i` is in the text, without its line end.
  public var offset: [UInt32]
  public var length: [UInt32]
  /// One column for each declared field, in order of declaration; `offset.count` rows. Rows of rejected records are null. Those
  /// that no reader needs, according to the decoder's settings, are empty.
  public var columns: [Column]
  /// True where every declared field was valid and the grammar was kept.
  public var valid: [Bool]
  /// The reason for each row that is not valid, ascending by row.
  public var rejections: [(row: Int, rejection: Rejection)]
  /// Rows that are not valid and are counted as filtered instead of rejected, ascending.
  public var dropped: [Int] = []
  /// Lines that hold nothing but white space, and are not records: they have no row.
  public var blankLines = 0
  /// Of records that are elements of an array in an outer record: each one's number in it from 0; -1: the outer record itself, which is
  /// rejected. nil: records are what the source stores.
  public var elements: [Int32]?
  /// Where there are several kinds of records: of each its kind's number, ``RouteSpec/unknown`` or ``RouteSpec/dropped``.
  public var kinds: [UInt8]?
  /// Of the rows: where records are elements of outer records, those of each one's.
  public var details: RecordDetails?

  public init(
    raw: RawBlock, offset: [UInt32], length: [UInt32], columns: [Column], valid: [Bool],
    rejections: [(row: Int, rejection: Rejection)]
  ) {
    self.raw = raw
    details = raw.details
    self.offset = offset
    self.length = length
    self.columns = columns
    self.valid = valid
    self.rejections = rejections
  }

  public var count: Int { offset.count }

  /// The record is of no kind, and is left out.
  public func isDropped(_ row: Int) -> Bool { kinds?[row] == RouteSpec.dropped }

  /// The number of the element that the record is; nil: it is not one.
  public func number(_ row: Int) -> Int64? { elements.flatMap { $0[row] < 0 ? nil : Int64($0[row]) } }
}
