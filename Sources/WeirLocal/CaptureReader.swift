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
    /// Input bytes from cut to cut.
    var cutBytes: Int64
    var blockBytes: Int
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
  private var lastCut: Int64 = 0
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
      if position >= lastCut + options.cutBytes { cutIsDue = true }
      return .block(block)
    }
    ended = true
    return handedOut ? cut() : .end
  }

  private func cut() -> SourceEvent {
    cutIsDue = false
    handedOut = false
    lastCut = position
    return .cut(position: position, prefixHash: hash.digest)
  }

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
    lastCut = position
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

  /// The next block: whole records, at most to the next cut.
  private func block() throws(WeirError) -> RawBlock? {
    var capacity = max(options.blockBytes, carry.count)
    var text = TextBuffer(bytes: capacity)
    var count = carry.count
    carry.withUnsafeBufferPointer { if let base = $0.baseAddress { text.base.update(from: base, count: $0.count) } }
    carry.removeAll(keepingCapacity: true)
    var searchedTo = 0
    while true {
      while count < capacity, !filesEnded {
        let n = try read(text.base + count, capacity - count)
        if n == 0 { filesEnded = true }
        count += n
      }
      if let end = lastLineEnd(text.base, from: searchedTo, to: count) {
        return hand(text, firstCutEnd(text.base, upTo: end) ?? end, of: count)
      }
      if filesEnded { return count > 0 && !options.keepOpen ? hand(text, count, of: count) : nil }
      guard count < CaptureReader.recordBytesMax else {
        throw WeirError(
          "record_too_long", "the record at position \(position) is longer than \(CaptureReader.recordBytesMax >> 20) MiB",
          advice: "Is this a file of one JSON record a line? Split or remove that line.")
      }
      searchedTo = count
      capacity = min(capacity * 2, CaptureReader.recordBytesMax)
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

  /// Behind the first record that ends at or behind the next cut, if that is before `limit`.
  private func firstCutEnd(_ base: UnsafeMutablePointer<UInt8>, upTo limit: Int) -> Int? {
    let due = lastCut + options.cutBytes - position
    guard due <= Int64(limit) else { return nil }
    let from = max(0, Int(due) - 1)
    guard let found = memchr(base + from, 0x0A, limit - from) else { return nil }
    return found.assumingMemoryBound(to: UInt8.self) - base + 1
  }

  /// Makes a block of the first `end` bytes and keeps the rest.
  private func hand(_ text: TextBuffer, _ end: Int, of count: Int) -> RawBlock {
    carry.append(contentsOf: UnsafeBufferPointer(start: text.base + end, count: count - end))
    hash.update(UnsafeRawBufferPointer(start: text.base, count: end))
    let block = RawBlock(text: text, count: end, framing: .lines, position: position)
    position += Int64(end)
    return block
  }
}
