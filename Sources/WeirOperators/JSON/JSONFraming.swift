import WeirCore

/// Finds JSON values that follow each other in a file, with white space or nothing between them: each is a record, in one line or several.
///
/// With `opensArrays` the elements of a file's arrays are the records; a separator belongs to the element before it. What is not JSON is one
/// record up to where a value evidently begins, see ``JSONDamage``.
struct JSONFraming: CaptureFraming {
  let opensArrays: Bool

  func frames(_ text: FramedText) -> RecordFrames {
    var finder = JSONFrameFinder(text, opensArrays: opensArrays)
    finder.find()
    return finder.frames
  }
}

/// One pass over a text.
private struct JSONFrameFinder {
  typealias Bytes = UnsafePointer<UInt8>

  private let text: FramedText
  private let opensArrays: Bool
  private let end: Bytes
  private var at: Bytes
  /// Where the record before ends with its separator.
  private var last: Bytes
  /// The last byte before `at` that is not white space; nil: the file begins here. All that arrays need to be known by.
  private var previous: UInt8?
  /// The first byte of the file that is not white space.
  private var first: UInt8?
  private(set) var frames = RecordFrames()

  init(_ text: FramedText, opensArrays: Bool) {
    (self.text, self.opensArrays) = (text, opensArrays)
    (at, last, end) = (text.base, text.base, text.base + text.count)
    (previous, first) = (text.previous, text.first)
  }

  mutating func find() {
    while frames.offset.count < text.rowsMax {
      space()
      guard at < end else { return text.isEnd ? endFile() : skip(to: at) }
      if first == nil { first = at.pointee }
      if opensArrays, takesSeparator() {
        guard frames.end < text.stop else { return }
        continue
      }
      let start = at
      guard let stop = value(start), let next = separated(stop) else { return skip(to: start) }
      frames.offset.append(UInt32(start - text.base))
      frames.length.append(UInt32(stop - start))
      use(next)
      guard frames.end < text.stop else { return }
    }
  }

  private mutating func use(_ next: Bytes) {
    (at, last, previous) = (next, next, next[-1])
    frames.end = next - text.base
  }

  /// What is before the next record is no part of it, however long it is.
  private mutating func skip(to start: Bytes) {
    if text.isFull, frames.end == 0 { frames.end = start - text.base }
  }

  private mutating func endFile() {
    frames.end = text.count
    guard opensArrays, let previous, previous != 0x5D else { return }
    if first == 0x5B {
      frames.unended = "]"
    } else {
      frames.other = "holds no JSON array: each of its values is a record; write framing: concatenated, or leave framing out for lines"
    }
  }

  /// White space and byte order marks.
  private mutating func space() {
    var scanner = JSONScanner(at: at, end: end)
    repeat { scanner.space() } while scanner.byteOrderMark()
    at = scanner.at
  }

  /// An array begins or ends, or an element's separator was not read with it.
  private mutating func takesSeparator() -> Bool {
    let isClosed = previous == nil || previous == 0x5D
    switch at.pointee {
    case 0x5B where isClosed:
      previous = 0x5B
      at += 1
      return true
    case 0x2C where previous != nil && previous != 0x2C && previous != 0x5B, 0x5D where !isClosed:
      use(at + 1)
      return true
    default: return false
    }
  }

  /// After the separator of an element that ends at `stop`; nil: it is not known yet.
  private func separated(_ stop: Bytes) -> Bytes? {
    guard opensArrays else { return stop }
    var scanner = JSONScanner(at: stop, end: end)
    scanner.space()
    guard scanner.at < end else { return text.isEnd || text.isFull && frames.offset.isEmpty ? stop : nil }
    return scanner.at.pointee == 0x2C || scanner.at.pointee == 0x5D ? scanner.at + 1 : stop
  }

  /// Where the record that begins at `start` ends; nil: it is not known yet.
  private func value(_ start: Bytes) -> Bytes? {
    var scanner = JSONScanner(at: start, end: end)
    do {
      try scanner.skipRecord()
    } catch { return !text.isEnd && scanner.isCutOff(error) ? nil : damage(start, error.at) }
    // Only what has brackets or quotes says where it ends.
    guard start.pointee != 0x7B, start.pointee != 0x5B, start.pointee != 0x22 else { return scanner.at }
    guard scanner.at < end else { return text.isEnd ? end : nil }
    let isSeparate = scanner.at.pointee <= 0x20 || [0x7B, 0x5B, 0x2C, 0x5D].contains(scanner.at.pointee)
    return isSeparate ? scanner.at : damage(start, scanner.at)
  }

  /// - Parameter wrong: where it is no JSON.
  private func damage(_ start: Bytes, _ wrong: Bytes) -> Bytes? {
    JSONDamage(
      start: start, wrong: wrong, end: end, isEnd: text.isEnd, isInArray: opensArrays,
      column: JSONDamage.column(of: start, after: last, beginsFile: last == text.base && text.previous == nil)
    ).recordEnd
  }
}

extension JSONScanner {
  /// More bytes could make text JSON that failed with an error.
  func isCutOff(_ error: DecodeError) -> Bool {
    // Words, escapes and characters are shorter than 16 bytes.
    error.reason == JSONScanner.unendedString || end - error.at < 16
  }
}
