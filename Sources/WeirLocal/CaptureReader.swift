import CWeir
import Glibc
import WeirCore

/// Turns capture files into blocks and cuts, in order: the files are one sequence of uncompressed bytes.
///
/// Where a file does not end with a line end, its last line goes on in the next file. Blocks, so it runs on a thread of its
/// own; no clock, no state outside. Cuts depend on the bytes and on where it starts alone.
final class CaptureReader {
  struct Options: Sendable {
    var files: [String]
    var startAt: Int64
    /// What the ledger says of the bytes before `startAt`.
    var expectedPrefix: Hash128?
    /// A cut stands behind the first record that ends at or behind a multiple of this many bytes, counted from the beginning of the
    /// capture: so cuts stand where they do, wherever a run starts.
    var cutBytes: Int64
    var blockBytes: Int
    /// Records of a block at most.
    var blockRows: Int
    /// More may be appended: a last line without a line end is left for another time.
    var keepOpen: Bool
  }

  /// A longer record is refused with its position.
  static let recordBytesMax = 64 << 20

  private let options: Options
  private let hash = RunningHash()
  private var nextFile = 0
  private var file: CaptureBytes?
  /// Bytes read behind the last block.
  private var carry: [UInt8] = []
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

  init(_ options: Options) { self.options = options }

  /// Bytes read from files so far, compressed ones as they are: for a progress bar.
  var fileBytesRead: Int64 { finishedFileBytes + (file?.fileBytesRead ?? 0) }

  func next() throws(WeirError) -> SourceEvent {
    if !isPositioned { try skipPrefix() }
    if cutIsDue { return cut() }
    if ended { return .end }
    if let block = try block() {
      handedOut = true
      if position >= nextCut { cutIsDue = true }
      return .block(block)
    }
    ended = true
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

  /// The next bytes of the sequence; 0 at the end of the last file.
  private func read(_ target: UnsafeMutablePointer<UInt8>, _ count: Int) throws(WeirError) -> Int {
    while true {
      if let n = try file?.read(into: target, count: count), n > 0 { return n }
      guard try openNext() else { return 0 }
    }
  }

  /// Opens the next file; false when there is none.
  private func openNext() throws(WeirError) -> Bool {
    if let file { finishedFileBytes += file.fileBytesRead }
    file = nil
    guard nextFile < options.files.count else { return false }
    file = try CaptureBytes(options.files[nextFile])
    nextFile += 1
    return true
  }

  private func skipPrefix() throws(WeirError) {
    isPositioned = true
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 20)
    defer { buffer.deallocate() }
    while position < options.startAt {
      let n = try read(buffer, min(1 << 20, Int(options.startAt - position)))
      guard n > 0 else { throw changed("it is shorter than what was consumed: \(position) of \(options.startAt) bytes") }
      hash.update(UnsafeRawBufferPointer(start: buffer, count: n))
      position += Int64(n)
    }
    setNextCut()
    if let expected = options.expectedPrefix, options.startAt > 0, hash.digest != expected {
      throw changed("its first \(options.startAt) bytes differ from those consumed before")
    }
  }

  private func changed(_ why: String) -> WeirError {
    WeirError(
      "capture_changed", "this is not the capture that the ledger was started with: \(why)",
      advice: "Give the same files in the same order, or replay into a new lake (--lake DIR --store DIR).")
  }

  // MARK: Blocks

  /// The next block: whole records, at most to the next cut. Where it ends depends on where it begins and on the bytes alone, not on
  /// what was read ahead: a run that starts at a block's end makes the same blocks.
  private func block() throws(WeirError) -> RawBlock? {
    var limit = options.blockBytes
    var capacity = max(limit, carry.count)
    var text = TextBuffer(bytes: capacity)
    var count = carry.count
    carry.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
    carry.removeAll(keepingCapacity: true)
    var searchedTo = 0
    while true {
      while count < limit, !filesEnded {
        let n = try read(text.base + count, limit - count)
        if n == 0 { filesEnded = true }
        count += n
      }
      let seen = min(count, limit)
      if let end = lastLineEnd(text.base, from: searchedTo, to: seen) { return hand(text, blockEnd(text.base, upTo: end), of: count) }
      if seen == count, filesEnded { return count > 0 && !options.keepOpen ? hand(text, count, of: count) : nil }
      guard limit < CaptureReader.recordBytesMax else {
        throw WeirError(
          "record_too_long", "the record at position \(position) is longer than \(CaptureReader.recordBytesMax >> 20) MiB",
          advice: "Is this a file of one JSON record a line? Split or remove that line.")
      }
      searchedTo = seen
      limit = min(limit * 2, CaptureReader.recordBytesMax)
      guard limit > capacity else { continue }
      capacity = limit
      let larger = TextBuffer(bytes: capacity)
      larger.base.update(from: text.base, count: count)
      text = larger
    }
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

  /// Where a block ends whose records could go on to `limit`.
  private func blockEnd(_ base: UnsafeMutablePointer<UInt8>, upTo limit: Int) -> Int {
    let end = firstCutEnd(base, upTo: limit) ?? limit
    guard end > options.blockRows, let full = weir_line_end(base, end, options.blockRows) else { return end }
    return UnsafePointer(full) - UnsafePointer(base)
  }

  /// Behind the first record that ends at or behind the next cut, if that is before `limit`.
  private func firstCutEnd(_ base: UnsafeMutablePointer<UInt8>, upTo limit: Int) -> Int? {
    let due = nextCut - position
    guard due <= Int64(limit) else { return nil }
    let from = max(0, Int(due) - 1)
    guard let found = memchr(base + from, 0x0A, limit - from) else { return nil }
    return found.assumingMemoryBound(to: UInt8.self) - base + 1
  }

  /// Makes a block of the first `end` bytes and keeps the rest.
  private func hand(_ text: TextBuffer, _ end: Int, of count: Int) -> RawBlock {
    carry.append(contentsOf: UnsafeBufferPointer(start: text.base + end, count: count - end))
    hash.update(UnsafeRawBufferPointer(start: text.base, count: end))
    var block = RawBlock(text: CaptureReader.fitted(text, to: end), count: end, framing: .lines, position: position)
    position += Int64(end)
    block.prefixHash = hash.digest
    return block
  }

  /// A block may be held until its epoch is committed: it must not hold much more memory than it has bytes.
  private static func fitted(_ text: TextBuffer, to count: Int) -> TextBuffer {
    guard count * 2 < text.capacity - TextBuffer.slack else { return text }
    let own = TextBuffer(bytes: count)
    own.base.update(from: text.base, count: count)
    return own
  }
}
