import CWeirScan
import Glibc
import WeirCore

/// Turns capture files into blocks and cuts, in order: the files are one sequence of uncompressed bytes.
///
/// The end of a file ends a record, unless ``FileEnds/join`` says otherwise; no byte is added for it, so positions are the same with both
/// rules. Blocks (waits), so it runs on a thread of its own; no clock, no state outside. Cuts depend only on the bytes, on where files end
/// without a line end, and on where it starts.
final class CaptureReader {
  struct Options: Sendable {
    var store: any CaptureStore = LocalCaptureStore()
    var files: [CaptureItem]
    var startAt: Int64
    /// What the ledger says of the bytes before `startAt`.
    var expectedPrefix: Hash128?
    /// A cut is after the first record that ends at or after a multiple of this many bytes, counted from the beginning of the
    /// capture: so cuts are at the same places wherever a run starts.
    var cutBytes: Int64
    var blockBytes: Int
    /// Records of a block at most.
    var blockRows: Int
    /// A longer record is refused with its position.
    var recordBytes: Int
    /// More may be appended: the last file's last line, if it has no line end, is left for another time.
    var keepOpen: Bool
    var fileEnds: FileEnds = .record
    /// Where records are; nil: each is a line.
    var framing: (any CaptureFraming)?
    /// What the files hold.
    var content = CaptureContent.jsonLines
    /// Called with what a user must know of a file that changed in a way that does no harm now.
    var tell: @Sendable (Wording) -> Void = { _ in }
  }

  private let options: Options
  private var hash = PrefixHash()
  private var nextFile = 0
  private var file: CaptureBytes?
  /// Bytes read after the last block.
  private var carry: [UInt8] = []
  /// The bytes after the last block end where a file ended without a line end: their end ends a record, and nothing follows before.
  private var carryEndsFile = false
  /// Of the bytes before the next block the last one that is not white space; nil: there is none in its file.
  private var previous: UInt8?
  /// The first byte of their file that is not white space; nil: there is none before the next block.
  private var first: UInt8?
  /// Set when all files are used up.
  private var filesEnded = false
  private(set) var position: Int64 = 0
  /// Where the next cut is due.
  private var nextCut: Int64 = 0
  private var cutIsDue = false
  private var handedOut = false
  private var ended = false
  private var isPositioned = false
  /// File bytes of the files that were read whole.
  private var finishedFileBytes: Int64 = 0
  private let reading: any CaptureReading

  init(_ options: Options) {
    self.options = options
    reading = options.store.reading(options.files, isPeek: false)
  }

  /// Bytes read from files so far, compressed ones as they are: for a progress bar.
  var fileBytesRead: Int64 { finishedFileBytes + (file?.fileBytesRead ?? 0) }

  func next() throws(WeirError) -> SourceEvent {
    if !isPositioned { try skipPrefix() }
    if cutIsDue { return cut() }
    if ended { return .end }
    if let block = try block() {
      handedOut = true
      if position >= nextCut { cutIsDue = true }
      return .block(block, next: ShardPoint(block.position + Int64(block.count)))
    }
    ended = true
    try recheckFiles()
    return handedOut ? cut() : .end
  }

  private func cut() -> SourceEvent {
    cutIsDue = false
    handedOut = false
    setNextCut()
    return .cut(position: position, prefixHash: hash.digest)
  }

  private func setNextCut() { nextCut = (position / options.cutBytes + 1) * options.cutBytes }

  // MARK: Files

  private enum Step {
    /// The number of bytes that were read; at least one.
    case read(Int)
    /// A file ended, and there is another.
    case nextFile
    /// The last file ended.
    case end
  }

  private func step(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Step {
    if let n = try file?.read(into: target, count: count), n > 0 { return .read(n) }
    let isFirst = nextFile == 0
    guard try openNext() else { return .end }
    return isFirst ? try step(target, count) : .nextFile
  }

  /// Opens the next file; false when there is none.
  private func openNext() throws(WeirError) -> Bool {
    if let file {
      finishedFileBytes += file.fileBytesRead
      reading.endFile()
    }
    file = nil
    guard nextFile < options.files.count else { return false }
    file = try CaptureBytes(try reading.open(nextFile), options.content)
    nextFile += 1
    return true
  }

  /// Before the last cut: what was read must be what is there.
  private func recheckFiles() throws(WeirError) {
    for word in try reading.recheck() {
      guard word.hasSuffix("read"), !options.keepOpen else {
        options.tell(Wording(word))
        continue
      }
      options.tell(
        "\(word): the end of the input is recorded, and what is appended from now on is refused (capture_grew); replay a file that is still written \(.keepingOpen)"
      )
    }
  }

  private func skipPrefix() throws(WeirError) {
    isPositioned = true
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 20)
    defer { buffer.deallocate() }
    while position < options.startAt {
      switch try step(buffer, Int(min(1 << 20, options.startAt - position))) {
      case .read(let n):
        hash.update(UnsafeRawBufferPointer(start: buffer, count: n), at: position)
        position += Int64(n)
        pass(buffer, n)
      case .nextFile: if options.fileEnds == .record { endFile() }
      case .end: throw changed("it is shorter than what was consumed: \(position) of \(options.startAt) bytes")
      }
    }
    setNextCut()
    if let expected = options.expectedPrefix, options.startAt > 0, hash.digest != expected {
      throw changed("its first \(options.startAt) bytes differ from those consumed before, or other files end in them")
    }
    // The ledger's position ends a record. Without a line end it does so only where a file ends.
    guard options.fileEnds == .record, position > 0, !hash.isBehindLineEnd else { return }
    if case .read = try step(buffer, 1) {
      guard options.framing == nil else { return carry.append(buffer[0]) }
      throw changed(
        "a file ended at byte \(position), and now \(options.files[nextFile - 1].name) continues there",
        advice: " Replay a file that is still written \(.keepingOpen): a last line without a line end is then left for a later run.")
    }
    endFile()
  }

  /// Bytes are before the next block.
  private func pass(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard options.framing != nil else { return }
    var at = count
    while at > 0, CaptureReader.space.contains(bytes[at - 1]) { at -= 1 }
    if first == nil {
      first = UnsafeBufferPointer(start: bytes, count: at).first { !CaptureReader.space.contains($0) && !CaptureReader.mark.contains($0) }
    }
    // A byte order mark at the beginning of a file is none of its text.
    if at > 0, first != nil { previous = bytes[at - 1] }
  }

  private static let space: [UInt8] = [0x20, 0x09, 0x0A, 0x0D]
  private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

  private func endFile() {
    hash.endFile()
    (previous, first) = (nil, nil)
  }

  private func changed(_ why: String, advice: Wording = "") -> WeirError {
    WeirError(
      .captureChanged, "this is not the capture that the ledger was started with: \(why)",
      advice: "Give the same files in the same order, or replay into \(.newLake).\(advice)")
  }

  // MARK: Blocks

  /// The next block: whole records, at most to the next cut. Where it ends depends on where it begins and on the bytes alone, not on
  /// what was read ahead: a run that starts at a block's end makes the same blocks.
  private func block() throws(WeirError) -> RawBlock? {
    var limit = options.blockBytes
    var capacity = max(limit, carry.count)
    var text = TextBuffer(bytes: capacity)
    // Its bytes are read by address, which keeps nothing alive: an optimiser may free a buffer after the last use of its name.
    defer { withExtendedLifetime(text) {} }
    var count = carry.count
    carry.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
    carry.removeAll(keepingCapacity: true)
    var endsFile = carryEndsFile
    carryEndsFile = false
    var searchedTo = 0
    while true {
      while count < limit, !filesEnded, !endsFile {
        switch try step(text.base + count, limit - count) {
        case .read(let n): count += n
        case .nextFile: endsFile = options.fileEnds == .record && endsRecord(text.base, count)
        case .end: filesEnded = true
        }
      }
      let seen = min(count, limit)
      if let framing = options.framing {
        let isEnd = seen == count && (endsFile || filesEnded && !options.keepOpen)
        if seen > 0, let block = frames(framing, text, seen, isEnd: isEnd, of: count, endsFile: endsFile) { return block }
        if filesEnded, seen == count { return nil }
        guard limit < options.recordBytes else { throw .recordTooLong(at: position, of: nil, bytes: nil, max: options.recordBytes) }
        grow(&text, &limit, &capacity, count)
        continue
      }
      if endsFile, seen == count { return hand(text, blockEnd(text.base, upTo: count), of: count, endsFile: true) }
      if let end = lastLineEnd(text.base, from: searchedTo, to: seen) {
        return hand(text, blockEnd(text.base, upTo: end), of: count, endsFile: endsFile)
      }
      if seen == count, filesEnded { return count > 0 && !options.keepOpen ? hand(text, count, of: count) : nil }
      guard limit < options.recordBytes else { throw .recordTooLong(at: position, of: nil, bytes: nil, max: options.recordBytes) }
      searchedTo = seen
      grow(&text, &limit, &capacity, count)
    }
  }

  private func grow(_ text: inout TextBuffer, _ limit: inout Int, _ capacity: inout Int, _ count: Int) {
    limit = min(limit * 2, options.recordBytes)
    guard limit > capacity else { return }
    capacity = limit
    let larger = TextBuffer(bytes: capacity)
    withExtendedLifetime(text) { larger.base.update(from: text.base, count: count) }
    text = larger
  }

  /// Whether the end of a file after `count` bytes of a block ends a record. Lines have their own ends.
  private func endsRecord(_ base: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
    guard count == 0 else { return options.framing != nil || base[count - 1] != 0x0A }
    // The record that the file ends with was handed out before its end was read.
    endFile()
    return false
  }

  /// A block of the records that a framing finds in the first `seen` bytes; nil: there is none.
  private func frames(
    _ framing: any CaptureFraming, _ text: TextBuffer, _ seen: Int, isEnd: Bool, of count: Int, endsFile: Bool
  ) -> RawBlock? {
    let frames = framing.frames(
      FramedText(
        base: text.base, count: seen, isEnd: isEnd, isFull: !isEnd && seen >= options.recordBytes, previous: previous, first: first,
        rowsMax: options.blockRows, stop: Int(clamping: nextCut - position)))
    guard frames.end > 0 else { return nil }
    if let missing = frames.unended, nextFile > 0 {
      options.tell("\(options.files[nextFile - (endsFile ? 2 : 1)].name) ends without \(missing): was it cut off?")
    }
    if let other = frames.other, nextFile > 0 { options.tell("\(options.files[nextFile - (endsFile ? 2 : 1)].name) \(other)") }
    var block = hand(text, frames.end, of: count, endsFile: endsFile)
    block.framing = .spans(offset: frames.offset, length: frames.length)
    return block
  }

  /// Behind the last line end in the range.
  private func lastLineEnd(_ base: UnsafeMutablePointer<UInt8>, from: Int, to: Int) -> Int? {
    var at = to
    while at > from {
      if base[at - 1] == 0x0A { return at }
      at -= 1
    }
    return nil
  }

  /// Where a block ends whose records could extend to `limit`.
  private func blockEnd(_ base: UnsafeMutablePointer<UInt8>, upTo limit: Int) -> Int {
    let end = firstCutEnd(base, upTo: limit) ?? limit
    guard end > options.blockRows, let full = weir_line_end(base, end, options.blockRows) else { return end }
    return UnsafePointer(full) - UnsafePointer(base)
  }

  /// After the first record that ends at or after the next cut, if that is before `limit`.
  private func firstCutEnd(_ base: UnsafeMutablePointer<UInt8>, upTo limit: Int) -> Int? {
    let due = nextCut - position
    guard due <= Int64(limit) else { return nil }
    let from = max(0, Int(due) - 1)
    guard let found = memchr(base + from, 0x0A, limit - from) else { return nil }
    return found.assumingMemoryBound(to: UInt8.self) - base + 1
  }

  /// Makes a block of the first `end` bytes and keeps the rest.
  /// - Parameter endsFile: a file ends at `count` without a line end.
  private func hand(_ text: TextBuffer, _ end: Int, of count: Int, endsFile: Bool = false) -> RawBlock {
    defer { withExtendedLifetime(text) {} }
    carry.append(contentsOf: UnsafeBufferPointer(start: text.base + end, count: count - end))
    var block = RawBlock(text: CaptureReader.fitted(text, to: end), count: end, framing: .lines, position: position)
    if options.keepOpen, end > 0 { block.hashBefore = hash.before(position) }
    hash.update(UnsafeRawBufferPointer(start: text.base, count: end), at: position)
    position += Int64(end)
    pass(text.base, end)
    carryEndsFile = endsFile && end < count
    if endsFile, end == count { endFile() }
    block.prefixHash = hash.digest
    return block
  }

  /// A block may be held until its epoch is committed: it must not hold much more memory than it has bytes.
  private static func fitted(_ text: TextBuffer, to count: Int) -> TextBuffer {
    defer { withExtendedLifetime(text) {} }
    guard count * 2 < text.capacity - TextBuffer.slack else { return text }
    let own = TextBuffer(bytes: count)
    own.base.update(from: text.base, count: count)
    return own
  }
}

/// The hash of a capture's bytes before a position, and of where records end in them without a line end.
///
/// Without such ends it is the hash of the bytes alone, as in ledgers from before files ended records. An end counts when bytes follow it:
/// the end of the last file is not known to be one.
private struct PrefixHash {
  private let running = RunningHash()
  private var last: UInt8 = 0x0A
  /// A file ended after the bytes so far, without a line end.
  private var endsFile = false

  /// The last byte is a line end, or there is none.
  var isBehindLineEnd: Bool { last == 0x0A }
  var digest: Hash128 { running.digest }

  /// - Parameter position: of the first byte.
  mutating func update(_ bytes: UnsafeRawBufferPointer, at position: Int64) {
    guard let byte = bytes.last else { return }
    markFileEnd(at: position)
    running.update(bytes)
    last = byte
  }

  /// - Parameter position: of the bytes that follow.
  mutating func before(_ position: Int64) -> HashBefore {
    markFileEnd(at: position)
    return HashBefore(running)
  }

  private mutating func markFileEnd(at position: Int64) {
    guard endsFile else { return }
    withUnsafeBytes(of: (UInt64(0x646E_6520_656C_6966).littleEndian, position.littleEndian)) { running.update($0) }
    endsFile = false
  }

  mutating func endFile() { endsFile = last != 0x0A }
}
