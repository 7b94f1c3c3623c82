/// Records of one shard with everything that a live source knew of them: what a capture of a live stream keeps.
///
/// Parts of records are in ``text`` one after another: key, value, then name and value of each header, record by record.
public struct RecordedBlock: Sendable {
  /// Whose clock the timestamps are.
  public enum TimeKind: UInt8, Sendable {
    /// No times.
    case none = 0
    /// The producer's.
    case created = 1
    /// The broker's.
    case appended = 2
  }

  public struct Header: Sendable, Equatable {
    public var nameLength: UInt32
    /// -1: null.
    public var valueLength: Int32

    public init(nameLength: UInt32, valueLength: Int32) {
      self.nameLength = nameLength
      self.valueLength = valueLength
    }
  }

  /// The shard's name: `topic/3`.
  public var shard: String
  /// Every position of the shard in `first..<next` is in this block, or does not exist.
  public var first: Int64
  public var next: Int64
  /// There are no records: the source lost `first..<next` before they were read.
  public var isLost = false
  /// Ascending, in `first..<next`. Of a counted source: how many records of the shard were captured before (see ``ShardPoint``).
  public var positions: [Int64] = []
  /// Of each record of a counted source, ascending; else empty.
  public var sequences: [SequenceNumber] = []
  /// UTC milliseconds since 1970; -1: none.
  public var timestamps: [Int64] = []
  public var timeKind = TimeKind.none
  /// -1: no key.
  public var keyLength: [Int32] = []
  /// -1: no value (a tombstone).
  public var valueLength: [Int32] = []
  /// How many of ``headers`` are the record's.
  public var headerCount: [UInt32] = []
  public var headers: [Header] = []
  public var text: [UInt8] = []

  public init(shard: String, first: Int64, next: Int64) {
    self.shard = shard
    self.first = first
    self.next = next
  }

  public var count: Int { positions.count }

  /// Where the shard continues after the block.
  /// - Parameter start: where the block begins.
  public func end(from start: ShardPoint) -> ShardPoint {
    guard start.sequence != nil else { return ShardPoint(next) }
    // As a place to read on from, the sub-sequence counts what was consumed of an outer record.
    let last = sequences.last.flatMap { SequenceNumber($0.digits, sub: $0.sub + 1) }
    return ShardPoint(ordinal: next, sequence: last ?? start.sequence)
  }

  /// Takes over the records of the block that follows.
  public mutating func append(_ other: RecordedBlock) {
    precondition(other.first == next && other.shard == shard && !isLost && !other.isLost, "blocks of a shard follow one another")
    next = other.next
    if count == 0 { timeKind = other.timeKind }
    positions += other.positions
    sequences += other.sequences
    timestamps += other.timestamps
    keyLength += other.keyLength
    valueLength += other.valueLength
    headerCount += other.headerCount
    headers += other.headers
    text += other.text
  }

  /// The first records only, as if the shard continued after them.
  public func prefix(_ records: Int) -> RecordedBlock {
    guard records < count else { return self }
    var cut = self
    var bytes = 0
    var headerEnd = 0
    for row in 0..<records {
      bytes += Int(max(0, keyLength[row])) + Int(max(0, valueLength[row]))
      for header in headers[headerEnd..<headerEnd + Int(headerCount[row])] {
        bytes += Int(header.nameLength) + Int(max(0, header.valueLength))
      }
      headerEnd += Int(headerCount[row])
    }
    cut.next = records == 0 ? first : positions[records - 1] + 1
    cut.positions = Array(positions.prefix(records))
    cut.sequences = Array(sequences.prefix(records))
    cut.timestamps = Array(timestamps.prefix(records))
    cut.keyLength = Array(keyLength.prefix(records))
    cut.valueLength = Array(valueLength.prefix(records))
    cut.headerCount = Array(headerCount.prefix(records))
    cut.headers = Array(headers.prefix(headerEnd))
    cut.text = Array(text.prefix(bytes))
    return cut
  }
}

extension RecordedBlock {
  /// What the engine decodes: the records at positions in `range`, as a live source hands them out. nil: there are none.
  public func raw(in range: Range<Int64>) -> RawBlock? { pieces(in: range, bytesMax: .max).first }

  /// The same in blocks of at most `bytesMax` bytes of text, or of one record that has more.
  public func pieces(in range: Range<Int64>, bytesMax: Int) -> [RawBlock] {
    let first = positions.firstIndex { $0 >= range.lowerBound } ?? count
    let end = positions.firstIndex { $0 >= range.upperBound } ?? count
    var pieces: [RawBlock] = []
    var (row, at, header) = (0, 0, 0)
    var (begin, bytes) = (first, 0)
    while row < end {
      let length = self.length(of: row, from: &header)
      if row > begin, bytes + length > bytesMax {
        pieces.append(raw(begin..<row, from: at - bytes, bytes: bytes, header: header - Int(headerCount[row])))
        (begin, bytes) = (row, 0)
      }
      if row >= begin { bytes += length }
      at += length
      row += 1
    }
    if first < end { pieces.append(raw(begin..<end, from: at - bytes, bytes: bytes, header: header)) }
    return pieces
  }

  /// Bytes of a record's key, value and headers. Steps over its headers.
  private func length(of row: Int, from header: inout Int) -> Int {
    var length = Int(max(0, keyLength[row])) + Int(max(0, valueLength[row]))
    for _ in 0..<headerCount[row] {
      length += Int(headers[header].nameLength) + Int(max(0, headers[header].valueLength))
      header += 1
    }
    return length
  }

  /// - Parameters:
  ///   - start: where the first of the rows begins in the text.
  ///   - headerEnd: the number of the first header after those of the rows.
  private func raw(_ rows: Range<Int>, from start: Int, bytes: Int, header headerEnd: Int) -> RawBlock {
    let buffer = TextBuffer(bytes: bytes)
    text[start..<start + bytes].withUnsafeBufferPointer { if let base = $0.baseAddress { buffer.base.update(from: base, count: $0.count) } }
    var (keyOffset, offset, length): ([UInt32], [UInt32], [UInt32]) = ([], [], [])
    var headerTexts: [String?] = []
    var (at, header) = (start, headerEnd - rows.reduce(0) { $0 + Int(headerCount[$1]) })
    for row in rows {
      keyOffset.append(UInt32(at - start))
      at += Int(max(0, keyLength[row]))
      offset.append(UInt32(at - start))
      length.append(UInt32(max(0, valueLength[row])))
      at += Int(max(0, valueLength[row]))
      let all = headerList(of: row, from: &header, at: &at, isWanted: !headers.isEmpty)
      if !headers.isEmpty { headerTexts.append(RecordHeaders.text(all)) }
    }
    var block = RawBlock(
      text: buffer, count: bytes, framing: .spans(offset: offset, length: length), position: positions[rows.lowerBound])
    block.details = RecordDetails(
      shard: shard, positions: Array(positions[rows]),
      arrivals: timestamps[rows].map(RecordDetails.arrival), isAppendTime: timeKind == .appended,
      keyOffset: keyOffset, keyLength: Array(keyLength[rows]), headers: headerTexts,
      tombstones: rows.filter { valueLength[$0] < 0 }.map { UInt32($0 - rows.lowerBound) },
      sequences: sequences.isEmpty ? [] : Array(sequences[rows]))
    return block
  }

  /// Of the record in a row, as a live source's block gives it; nil: there is no such row.
  public func fingerprint(_ row: Int) -> Fingerprint? {
    guard positions.indices.contains(row) else { return nil }
    return raw(in: positions[row]..<positions[row] + 1)?.fingerprint(0)
  }

  /// Steps over the headers of a row; copies them if they are wanted.
  private func headerList(
    of row: Int, from header: inout Int, at: inout Int, isWanted: Bool
  ) -> [(name: String, value: [UInt8]?)] {
    var all: [(name: String, value: [UInt8]?)] = []
    for _ in 0..<headerCount[row] {
      let (name, value) = (Int(headers[header].nameLength), Int(max(0, headers[header].valueLength)))
      if isWanted {
        all.append(
          (
            String(decoding: text[at..<at + name], as: UTF8.self),
            headers[header].valueLength < 0 ? nil : Array(text[at + name..<at + name + value])
          ))
      }
      at += name + value
      header += 1
    }
    return all
  }

  /// Hands out each record: key, value (nil: null) and headers.
  public func forEachRecord(
    _ body: (_ row: Int, _ key: ArraySlice<UInt8>?, _ value: ArraySlice<UInt8>?, _ headers: [(name: String, value: [UInt8]?)]) throws ->
      Void
  ) rethrows {
    var (at, header) = (0, 0)
    for row in 0..<count {
      let key = keyLength[row] < 0 ? nil : text[at..<at + Int(keyLength[row])]
      at += Int(max(0, keyLength[row]))
      let value = valueLength[row] < 0 ? nil : text[at..<at + Int(valueLength[row])]
      at += Int(max(0, valueLength[row]))
      try body(row, key, value, headerList(of: row, from: &header, at: &at, isWanted: true))
    }
  }
}

// MARK: - Captures of live streams

/// Positions `from..<to` of one shard of a capture.
public struct RecordedRange: Sendable, Equatable {
  public var shard: String
  public var from: Int64
  public var to: Int64
  /// Parts of it that the source lost before they were captured.
  public var lost: [Range<Int64>]
  /// Why it could not be verified, within the range or right before it, that the shard is the one of the records before.
  public var unverified: [String] = []
  /// The same as ``lost`` where records are counted, so that what is lost takes no positions: where, and in words what.
  public var gaps: [RecordedGap] = []
  /// The shard ended at the source after this range: those that have its keys from then on; nil: it did not.
  public var children: [SourceShard]?

  public init(shard: String, from: Int64, to: Int64, lost: [Range<Int64>] = []) {
    self.shard = shard
    self.from = from
    self.to = to
    self.lost = lost
  }
}

/// Records of a counted source that it lost before they were captured.
public struct RecordedGap: Sendable, Equatable {
  /// The position of the next record.
  public var position: Int64
  public var reason: String

  public init(position: Int64, reason: String) { (self.position, self.reason) = (position, reason) }
}

/// A capture of a live stream: records by shard and position, any part of it at any time.
public protocol RecordedStream: Sendable {
  var shards: [SourceShard] { get }
  /// Where each shard's records begin in the capture, and after which position they end.
  var bounds: [String: ShardBounds] { get }
  /// What is after `positions`, in the order of recording, in steps of about `bytes` of input. They depend on the capture and
  /// on `positions` alone. A shard without a position begins where the capture does. One that ended is not in a step after the one that says
  /// so, and its children are not in that one, or in an earlier one.
  func steps(after positions: [String: Int64], bytes: Int64) -> [[RecordedRange]]
  /// Reads steps: the blocks of each, then a cut whose position is the number of the step; then the end. The hash of a cut
  /// means nothing here.
  func source(_ steps: [[RecordedRange]]) -> any RecordSource
}
